//! Bare sockets: what nothing that goes over TCP can beat.
//!
//! - KT-1 a driver that fails shuts its socket down, so that the other side, which would look for ever, ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use crate::ends::Net;
use crate::harness::{Answer, BenchError, Contender, Window, check};

/// Bytes that the other side of a stream writes to, part by part.
const TARGET_BYTES: usize = 16 << 20;
/// Bytes that it takes at once at the most.
const TAKE_BYTES: usize = 1 << 20;

/// Does `step` until all of `bytes` are done; a socket that does not block is asked again and again.
///
/// # Errors
/// The socket's.
#[inline]
pub fn polled(
    bytes: usize,
    mut step: impl FnMut(usize) -> std::io::Result<usize>,
) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes {
        match step(done) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[inline]
fn send(mut socket: &TcpStream, message: &[u8]) -> std::io::Result<()> {
    polled(message.len(), |done| socket.write(&message[done..]))
}

#[inline]
fn receive(mut socket: &TcpStream, message: &mut [u8]) -> std::io::Result<()> {
    polled(message.len(), |done| socket.read(&mut message[done..]))
}

/// What both sides do while nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sockets {
    /// They look again.
    Polled,
    /// They sleep in the system call.
    Blocking,
}

impl Sockets {
    fn pair(self, net: &Net) -> Result<(TcpStream, Arc<TcpStream>), BenchError> {
        let (here, there) = net.sockets()?;
        for socket in [&here, &there] {
            let set = socket.set_nonblocking(self == Self::Polled);
            set.map_err(|error| BenchError::contender("a socket", error))?;
        }
        Ok((here, Arc::new(there)))
    }
}

/// What the driver found, and what the other side says.
fn outcome(
    name: &'static str,
    here: &TcpStream,
    failed: Option<std::io::Error>,
    answer: Answer<std::io::Result<u64>>,
) -> Result<u64, BenchError> {
    if let Some(error) = failed {
        // KT-1.
        let _down = here.shutdown(Shutdown::Both);
        let _ended = answer.join();
        return Err(BenchError::contender(name, error));
    }
    answer
        .join()?
        .map_err(|error| BenchError::contender(name, error))
}

/// Messages there and back.
#[derive(Debug)]
pub struct SocketRoundTrip {
    name: &'static str,
    here: TcpStream,
    there: Arc<TcpStream>,
    message: Vec<u8>,
}

impl SocketRoundTrip {
    /// Messages of `bytes`, 8 at least.
    ///
    /// # Errors
    /// The socket's.
    pub fn new(
        name: &'static str,
        net: &Net,
        sockets: Sockets,
        bytes: usize,
    ) -> Result<Self, BenchError> {
        let (here, there) = sockets.pair(net)?;
        Ok(Self {
            name,
            here,
            there,
            message: vec![0; bytes],
        })
    }
}

impl Contender for SocketRoundTrip {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (calls, there) = (window.calls(), Arc::clone(&self.there));
        let mut message = vec![0; self.message.len()];
        let answer = window.partner().run(move || {
            for _ in 0..calls {
                receive(&there, &mut message)?;
                send(&there, &message)?;
            }
            Ok(calls)
        });
        let (mut number, mut right, mut failed) = (0_u64, 0, None);
        window.time(|| {
            number += 1;
            self.message[..8].copy_from_slice(&number.to_ne_bytes());
            let sent = send(&self.here, &self.message);
            match sent.and_then(|()| receive(&self.here, &mut self.message)) {
                Ok(()) => right += u64::from(self.message[..8] == number.to_ne_bytes()),
                Err(error) => failed = Some(error),
            }
        });
        let answered = outcome(self.name, &self.here, failed, answer)?;
        check(self.name, (calls, calls), (right, answered))
    }
}

/// Bytes one way, in bursts whose end the other side says.
#[derive(Debug)]
pub struct SocketStream {
    name: &'static str,
    here: TcpStream,
    there: Arc<TcpStream>,
    message: Vec<u8>,
    burst: u64,
    target: Vec<u8>,
}

impl SocketStream {
    /// Bursts of `burst` writes of `bytes` each.
    ///
    /// # Errors
    /// The socket's.
    pub fn new(
        name: &'static str,
        net: &Net,
        sockets: Sockets,
        bytes: usize,
        burst: u64,
    ) -> Result<Self, BenchError> {
        let (here, there) = sockets.pair(net)?;
        Ok(Self {
            name,
            here,
            there,
            message: vec![7; bytes],
            burst,
            target: vec![0; TARGET_BYTES],
        })
    }
}

/// Receives `bytes` into `target`, part by part; how many there were.
fn take(mut socket: &TcpStream, target: &mut [u8], bytes: usize) -> std::io::Result<()> {
    polled(bytes, |done| {
        let at = done % target.len();
        let room = TAKE_BYTES.min(target.len() - at).min(bytes - done);
        socket.read(&mut target[at..at + room])
    })
}

impl Contender for SocketStream {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (calls, burst, there) = (window.calls(), self.burst, Arc::clone(&self.there));
        let bytes = self.message.len() * burst as usize;
        let mut target = std::mem::take(&mut self.target);
        let (given, kept) = std::sync::mpsc::channel();
        let answer = window.partner().run(move || {
            let mut taken = 0;
            let served = (0..calls).try_for_each(|_| {
                take(&there, &mut target, bytes)?;
                taken += 1;
                send(&there, &[1; 8])
            });
            // The window waits for it.
            let _given = given.send(target);
            served.map(|()| taken)
        });
        let (mut acknowledged, mut failed) = (0, None);
        window.time_many(burst, || {
            let sent = (0..burst).try_for_each(|_| send(&self.here, &self.message));
            match sent.and_then(|()| receive(&self.here, &mut [0; 8])) {
                Ok(()) => acknowledged += 1,
                Err(error) => failed = Some(error),
            }
        });
        let taken = outcome(self.name, &self.here, failed, answer)?;
        self.target = kept
            .recv()
            .map_err(|gone| BenchError::contender(self.name, gone))?;
        check(self.name, (calls, calls), (acknowledged, taken))?;
        check(self.name, true, self.target.first() == self.message.first())
    }
}
