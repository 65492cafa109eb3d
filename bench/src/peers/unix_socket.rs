//! A Unix socket between the two processes, both of which look again and again instead of sleeping.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::floors::polled;
use crate::harness::{BenchError, Contender, Window, check};
use crate::process::{PartnerProcess, Serve, Service, Setup};

/// Messages there and back over a socket pair.
#[derive(Debug)]
pub struct UnixSocket {
    socket: UnixStream,
    there: Service,
    message: Vec<u8>,
}

impl UnixSocket {
    /// Messages of `bytes` to `partner` and back.
    ///
    /// # Errors
    /// The socket's, or the partner's.
    pub fn new(partner: &Rc<PartnerProcess>, bytes: usize) -> Result<Self, BenchError> {
        let failed = |error| BenchError::contender("unix socket", error);
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let there = partner.open(Setup::UnixSocket { bytes }, &[theirs.as_fd()])?;
        let message = vec![0; bytes];
        Ok(Self {
            socket,
            there,
            message,
        })
    }
}

fn send(mut socket: &UnixStream, message: &[u8]) -> std::io::Result<()> {
    polled(message.len(), |done| socket.write(&message[done..]))
}

fn receive(mut socket: &UnixStream, message: &mut [u8]) -> std::io::Result<()> {
    polled(message.len(), |done| socket.read(&mut message[done..]))
}

impl Contender for UnixSocket {
    fn name(&self) -> &'static str {
        "unix socket"
    }

    fn note(&self) -> Option<&'static str> {
        Some("both ends poll")
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let serving = self.there.serve(window.calls())?;
        let (mut number, mut right, mut failed) = (0_u64, 0, None);
        window.time(|| {
            number += 1;
            self.message[..8].copy_from_slice(&number.to_ne_bytes());
            let sent = send(&self.socket, &self.message);
            match sent.and_then(|()| receive(&self.socket, &mut self.message)) {
                Ok(()) => right += u64::from(self.message[..8] == number.to_ne_bytes()),
                Err(error) => failed = Some(error),
            }
        });
        if let Some(error) = failed {
            return Err(BenchError::contender("unix socket", error));
        }
        check("unix socket", window.calls(), serving.join()?)?;
        check("unix socket", window.calls(), right)
    }
}

/// The other side of [`UnixSocket`].
pub(crate) struct UnixSocketThere {
    socket: UnixStream,
    message: Vec<u8>,
}

impl UnixSocketThere {
    pub(crate) fn new(socket: UnixStream, bytes: usize) -> Self {
        // The flag is of the open file, which each end has for itself.
        let _blocks_otherwise = socket.set_nonblocking(true);
        let message = vec![0; bytes];
        Self { socket, message }
    }
}

impl Serve for UnixSocketThere {
    fn serve(&mut self, calls: u64) -> Result<u64, String> {
        for _ in 0..calls {
            receive(&self.socket, &mut self.message).map_err(|error| error.to_string())?;
            send(&self.socket, &self.message).map_err(|error| error.to_string())?;
        }
        Ok(calls)
    }
}
