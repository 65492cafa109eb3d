//! A scheduler that is stuck in user code keeps nobody waiting: a helper turns its transport.
//!
//! "Stuck" is a thread that waits at a gate and turns nothing. Time is the tests' own and goes by with what
//! the helper does for others, so nothing here sleeps or is too slow.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::scope;
use std::time::Duration;

use maser_transport::driver::{Drive, Helper, Queued};
use maser_transport::protocol::{CallError, CallOptions, Notice, Peer, Protocol};
use maser_transport::tcp::{TcpOptions, TcpTransport};
use maser_transport::wire::handshake::{Identity, Role};
use maser_transport::{
    Access, Address, EndReason, Endpoint, Event, HeapMemory, Message, RemoteRegion, Transport,
    WorkRequest,
};

/// After so much silence a peer is taken for dead.
const PEER_TIMEOUT: Duration = Duration::from_millis(500);
/// What goes by with each exchange.
const STEP_NS: u64 = 20_000_000;
/// Exchanges that make ten seconds, twenty times the timeout of peers.
const STEPS: u64 = 500;
const REGION_BYTES: usize = 4096;

/// The clock of a test.
#[derive(Clone, Default)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn step(&self) -> u64 {
        self.0.fetch_add(STEP_NS, Ordering::AcqRel) + STEP_NS
    }

    fn helper(&self) -> Helper {
        let time = self.clone();
        Helper::new(move || time.now_ns(), &[])
    }
}

fn tcp() -> TcpTransport {
    let options = TcpOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        identity: Identity {
            job: [1; 16],
            node: 1,
            role: Role::Node,
        },
        integrity: None,
        epoch: 1,
        secret: None,
        peer_timeout: PEER_TIMEOUT,
        handshake_timeout: Duration::from_secs(5),
    };
    TcpTransport::open(options).expect("a port of loopback")
}

/// Waits at the gate. Whoever holds the other end may drop it.
fn stuck_in_user_code(gate: &Receiver<()>) {
    let _opened = gate.recv();
}

/// Gets the region of the stuck end, with a message before it that nobody takes; time goes by with each.
fn exchange(
    client: &mut TcpTransport,
    to: Endpoint,
    region: &RemoteRegion,
    time: &Time,
    steps: u64,
) {
    let memory = Arc::new(HeapMemory::new(REGION_BYTES));
    let here = client
        .register(memory, Access::empty())
        .expect("registered");
    for step in 0..steps {
        let request = WorkRequest::Get {
            from: region.whole(),
            to: here.whole(),
        };
        client.post(to, request, Some(step)).expect("there is room");
        loop {
            client.advance(time.now_ns());
            match client.poll() {
                Some(Event::Completed(done)) if done.token == step => {
                    assert_eq!(done.outcome, Ok(0));
                    break;
                }
                Some(Event::Ended { reason, .. }) => panic!("step {step}: {reason}"),
                _ => std::thread::yield_now(),
            }
        }
        let mut bytes = [0; 8];
        here.read(0, &mut bytes).expect("within");
        assert_eq!(bytes, [7; 8]);
        client.advance(time.step());
    }
}

#[test]
fn a_transport_whose_scheduler_is_stuck_for_ten_seconds_serves_its_peers() {
    let time = Time::default();
    let helper = time.helper();
    let (opened, gate) = channel();
    let (tell, told) = channel();
    scope(|scope| {
        let (time, helper) = (&time, &helper);
        let stuck = scope.spawn(move || {
            let shared = helper.share(Queued::new(tcp())).expect("a thread");
            let region = {
                let mut turn = shared.turn();
                let memory = Arc::new(HeapMemory::new(REGION_BYTES));
                let region = turn
                    .transport()
                    .register(memory, Access::READ)
                    .expect("registered");
                region.write(0, &[7; 8]).expect("within");
                tell.send((turn.transport().address(), region.remote()))
                    .expect("a test");
                region
            };
            while !matches!(shared.turn().poll(), Some(Event::Accepted { .. })) {
                std::thread::yield_now();
            }
            tell.send((shared.turn().transport().address(), region.remote()))
                .expect("a test");
            stuck_in_user_code(&gate);
            // What came meanwhile is there, in its order.
            let mut next = 0_u64;
            while next < 100 {
                shared.turn().advance(time.now_ns());
                match shared.turn().poll() {
                    Some(Event::Message { message, .. }) => {
                        assert_eq!(*message, next.to_le_bytes());
                        next += 1;
                    }
                    Some(Event::Ended { reason, .. }) => panic!("{reason}"),
                    _ => {}
                }
            }
        });
        let (address, _) = told.recv().expect("an address");
        let mut client = tcp();
        let to = client.connect(&address).expect("it listens");
        while !matches!(client.poll(), Some(Event::Connected { .. })) {
            std::thread::yield_now();
        }
        let (_, region) = told.recv().expect("it accepted");
        for number in 0_u64..100 {
            let mut request = WorkRequest::Send(Message::copied(&number.to_le_bytes()));
            while let Err(refused) = client.post(to, request, None) {
                request = refused.request;
                client.poll();
            }
        }
        exchange(&mut client, to, &region, time, STEPS);
        assert!(time.now_ns() >= 10_000_000_000 && helper.stood_in() > 0);
        drop(opened);
        stuck.join().expect("it got everything");
    });
}

/// The next notice that `wanted` takes.
fn until<R>(
    end: &mut Protocol<TcpTransport>,
    time: &Time,
    mut wanted: impl FnMut(Notice) -> Option<R>,
) -> R {
    loop {
        end.advance(time.now_ns());
        match end.poll() {
            Some(Notice::Lost { reason, .. }) => panic!("{reason}"),
            Some(Notice::Down { reason, .. }) => panic!("{reason}"),
            Some(notice) => {
                if let Some(found) = wanted(notice) {
                    return found;
                }
            }
            None => std::thread::yield_now(),
        }
    }
}

fn is_up(notice: Notice) -> Option<Peer> {
    match notice {
        Notice::Up { peer } => Some(peer),
        _ => None,
    }
}

#[test]
fn a_stuck_scheduler_stalls_no_credit_and_no_limit_of_its_own_calls() {
    let time = Time::default();
    let helper = time.helper();
    let (opened, gate) = channel();
    let (tell, told) = channel::<Address>();
    scope(|scope| {
        let (time, helper) = (&time, &helper);
        let stuck = scope.spawn(move || {
            let shared = helper.share(Protocol::open(tcp(), 2)).expect("a thread");
            tell.send(shared.turn().transport().address())
                .expect("a test");
            let peer = until(&mut shared.turn(), time, is_up);
            // It takes what came, and is stuck before it could say so.
            let mut taken = 0;
            while taken < 100 {
                let mut turn = shared.turn();
                turn.advance(time.now_ns());
                taken += u64::from(matches!(turn.poll(), Some(Notice::Message { .. })));
            }
            // More than the peer lets come at once, and a call that nobody will answer in time.
            let limit = Some(Duration::from_secs(2));
            let options = CallOptions {
                limit,
                ..CallOptions::default()
            };
            let call = shared
                .turn()
                .call(peer, 1, b"?".as_slice(), options)
                .expect("taken");
            let mut sent = 0_u32;
            while shared.turn().send(peer, sent, vec![0; 1000]).is_ok() {
                sent += 1;
            }
            tell.send(shared.turn().transport().address())
                .expect("a test");
            stuck_in_user_code(&gate);
            let outcome = until(&mut shared.turn(), time, |notice| match notice {
                Notice::Reply {
                    call: found,
                    outcome,
                    ..
                } if found == call => Some(outcome),
                _ => None,
            });
            let error = outcome.expect_err("nobody replied");
            let CallError::TimedOut { waited, .. } = error else {
                panic!("{error}");
            };
            (sent, waited)
        });
        let address = told.recv().expect("an address");
        let mut client = Protocol::open(tcp(), 1);
        let peer = client.connect(&address).expect("it listens");
        until(&mut client, time, is_up);
        for number in 0..100 {
            client
                .send(peer, number, b"take".as_slice())
                .expect("there is room");
        }
        told.recv().expect("it is stuck");
        // Its messages come, its acknowledgements come, it is alive: for ten seconds. And the call is
        // given up when its limit is over, not when somebody looks.
        let (mut got, mut is_cancelled_ns) = (0, None);
        while time.now_ns() < STEPS * STEP_NS {
            let stood_in = helper.stood_in();
            client.advance(time.step());
            // A transport does not look at every socket each time.
            for _ in 0..64 {
                match client.poll() {
                    Some(Notice::Message { .. }) => got += 1,
                    Some(Notice::Cancelled { .. }) => is_cancelled_ns = Some(time.now_ns()),
                    Some(Notice::Lost { reason, .. }) => panic!("{reason}"),
                    Some(Notice::Down { reason, .. }) => panic!("{reason}"),
                    _ => {}
                }
            }
            // Time goes by for both: not before the helper has had its turn.
            while helper.stood_in() == stood_in {
                std::thread::yield_now();
            }
        }
        let cancelled_ns =
            is_cancelled_ns.expect("the limit of its call was kept while it was stuck");
        assert!(cancelled_ns < STEPS * STEP_NS);
        assert_eq!(
            client.unacknowledged(peer),
            Some(0),
            "its acknowledgements came"
        );
        drop(opened);
        let (sent, waited) = stuck.join().expect("it goes on");
        while got < sent {
            client.advance(time.now_ns());
            got += u32::from(matches!(client.poll(), Some(Notice::Message { .. })));
        }
        assert!(sent > 0 && waited >= Duration::from_secs(2));
    });
}

#[test]
fn an_end_that_sleeps_needs_no_helper() {
    let time = Time::default();
    let helper = time.helper();
    scope(|scope| {
        let (time, helper) = (&time, &helper);
        let shared = helper.share(Queued::new(tcp())).expect("a thread");
        let address = shared.turn().transport().address();
        let (connected, is_connected) = channel();
        let client = scope.spawn(move || {
            let mut client = tcp();
            let to = client.connect(&address).expect("it listens");
            while !matches!(client.poll(), Some(Event::Connected { .. })) {
                std::thread::yield_now();
            }
            connected.send(()).expect("a test");
            let hello = WorkRequest::Send(Message::copied(b"hello"));
            client.post(to, hello, None).expect("there is room");
            loop {
                client.advance(time.now_ns());
                if let Some(Event::Ended { reason, .. }) = client.poll() {
                    return reason;
                }
                std::thread::yield_now();
            }
        });
        loop {
            match shared.turn().poll() {
                Some(Event::Message { message, .. }) => {
                    assert_eq!(&*message, b"hello");
                    break;
                }
                Some(_) => continue,
                None => {}
            }
            shared.park(None).expect("it sleeps");
        }
        is_connected.recv().expect("it is connected");
        drop(shared);
        assert_eq!(client.join().expect("it ends"), EndReason::ClosedByPeer);
    });
}
