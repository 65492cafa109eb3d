//! Calls of the protocol there and back, one at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use maser_shm::sync::atomic::{AtomicBool, Ordering};
use maser_shm::sync::hint::spin_loop;
use maser_transport::protocol::{CallOptions, Notice, Options, Peer, Protocol};
use maser_transport::{Message, Transport};

use super::net::Net;
use super::open::Open;
use crate::harness::{BenchError, Contender, Offer, Window, check};
use maser_transport::wire::Integrity;

/// What two ends of one machine need at most to find each other.
const CONNECT: Duration = Duration::from_secs(20);
/// Empty looks between two looks at whether the other side is there.
const LOOKS: u32 = 1024;

/// Which way payloads travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the transport's thresholds say.
    Chosen,
    /// Copied.
    Eager,
    /// Lent, and fetched.
    Rendezvous,
}

/// See the module's page: the payload goes there, and one of its bytes comes back.
pub struct Calls<T: Transport> {
    name: &'static str,
    client: Protocol<T>,
    peer: Peer,
    /// Not here while the helper has it.
    server: Option<Protocol<T>>,
    payload: Message,
    began: Instant,
}

impl<T: Transport + 'static> Calls<T> {
    /// Two ends of `O` that are connected; payloads of `bytes`, 1 at least.
    ///
    /// # Errors
    /// The transport's.
    pub fn open<O: Open<End = T>>(
        name: &'static str,
        net: &Net,
        bytes: usize,
        way: Way,
    ) -> Result<Offer<Self>, BenchError> {
        let failed = |why: String| BenchError::contender(name, why);
        let [here, there] = match O::ends(net, Integrity::None)? {
            Ok(ends) => ends,
            Err(skip) => return Ok(Err(skip)),
        };
        let open = |end: T, epoch| {
            let mut options = Options::new(epoch, end.kind(), &end.limits());
            match way {
                Way::Chosen => {}
                Way::Eager => options.thresholds.rendezvous_bytes = bytes + 1,
                // What is sent back is shorter, and is copied.
                Way::Rendezvous => options.thresholds.rendezvous_bytes = bytes,
            }
            Protocol::with(end, options).map_err(|error| failed(error.to_string()))
        };
        let (mut client, mut server) = (open(here, 1)?, open(there, 2)?);
        let began = Instant::now();
        let address = server.transport().address();
        let peer = client.connect(&address);
        let peer = peer.map_err(|error| failed(error.to_string()))?;
        let mut is_up = false;
        while !is_up {
            for end in [&mut client, &mut server] {
                end.advance(began.elapsed().as_nanos() as u64);
            }
            server.poll();
            is_up = matches!(client.poll(), Some(Notice::Up { .. }));
            if began.elapsed() > CONNECT {
                return Err(failed(format!("not connected after {CONNECT:?}")));
            }
        }
        let payload: Vec<u8> = (0..bytes).map(|at| (at * 7 % 251) as u8).collect();
        Ok(Ok(Self {
            name,
            client,
            peer,
            server: Some(server),
            payload: payload.into(),
            began,
        }))
    }
}

/// Replies to whatever comes until `over`, with its last byte and its length; how many came.
fn serve<T: Transport>(server: &mut Protocol<T>, over: &AtomicBool) -> Result<u64, String> {
    let mut served = 0;
    let mut looks = 0_u32;
    loop {
        match server.poll() {
            Some(Notice::Call {
                peer,
                call,
                payload,
                ..
            }) => {
                let mut answer = [0; 9];
                answer[..8].copy_from_slice(&(payload.len() as u64).to_le_bytes());
                answer[8] = payload.last().copied().unwrap_or(0);
                let outcome = server.reply(peer, call, answer.as_slice());
                outcome.map_err(|error| error.to_string())?;
                served += 1;
            }
            Some(Notice::Lost { reason, .. }) => return Err(reason.to_string()),
            Some(_) => {}
            None => {
                spin_loop();
                looks = looks.wrapping_add(1);
                if looks.is_multiple_of(LOOKS) && over.load(Ordering::Acquire) {
                    return Ok(served);
                }
            }
        }
    }
}

/// One call; whether the answer is right.
fn call<T: Transport>(
    client: &mut Protocol<T>,
    peer: Peer,
    payload: &Message,
) -> Result<bool, String> {
    let mut asked = None;
    loop {
        if asked.is_none() {
            match client.call(peer, 1, payload.clone(), CallOptions::default()) {
                Ok(call) => asked = Some(call),
                // It goes on when the peer has said that it may.
                Err(refused) if client.unacknowledged(peer).is_none() => {
                    return Err(refused.to_string());
                }
                Err(_) => {}
            }
        }
        match client.poll() {
            Some(Notice::Reply { outcome, .. }) => {
                let answer = outcome.map_err(|error| error.to_string())?;
                let mut right = [0; 9];
                right[..8].copy_from_slice(&(payload.len() as u64).to_le_bytes());
                right[8] = payload.last().copied().unwrap_or(0);
                return Ok(*answer == right);
            }
            Some(Notice::Lost { reason, .. }) => return Err(reason.to_string()),
            Some(_) => {}
            None => spin_loop(),
        }
    }
}

impl<T: Transport + 'static> Contender for Calls<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let name = self.name;
        let failed = |why: String| BenchError::contender(name, why);
        let lost = || failed("its far end was lost in a window that failed".to_owned());
        let mut server = self.server.take().ok_or_else(lost)?;
        let now_ns = self.began.elapsed().as_nanos() as u64;
        self.client.advance(now_ns);
        server.advance(now_ns);
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let answer = window.partner().run(move || {
            let outcome = serve(&mut server, &told);
            (server, outcome)
        });
        let (mut right, mut why) = (0, None);
        let (client, peer, payload) = (&mut self.client, self.peer, &self.payload);
        window.time(|| match call(client, peer, payload) {
            Ok(is_right) => right += u64::from(is_right),
            Err(error) => why = Some(error),
        });
        over.store(true, Ordering::Release);
        let (server, served) = answer.join()?;
        self.server = Some(server);
        if let Some(why) = why {
            return Err(failed(why));
        }
        let calls = window.calls();
        check(name, (calls, calls), (right, served.map_err(failed)?))
    }
}
