//! Bare sockets whose ends sleep in epoll until something comes.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::ends::Net;
use crate::floors::polled;
use crate::harness::{BenchError, Contender, Window, check};

/// One end.
#[derive(Debug)]
struct Asleep {
    socket: TcpStream,
    epoll: OwnedFd,
    message: Vec<u8>,
}

impl Asleep {
    fn new(socket: TcpStream, bytes: usize) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &socket, EventData::new_u64(1), EventFlags::IN)?;
        Ok(Self {
            socket,
            epoll,
            message: vec![0; bytes],
        })
    }

    fn send(&mut self) -> std::io::Result<()> {
        polled(self.message.len(), |done| {
            self.socket.write(&self.message[done..])
        })
    }

    /// Sleeps until there is something, and takes it.
    fn receive(&mut self) -> std::io::Result<()> {
        polled(self.message.len(), |done| {
            let mut space = [const { MaybeUninit::uninit() }; 1];
            epoll::wait(&self.epoll, &mut space, None)?;
            self.socket.read(&mut self.message[done..])
        })
    }
}

/// Messages there and back.
#[derive(Debug)]
pub struct EpollSocket {
    here: Asleep,
    /// Not here while the helper has it.
    there: Option<Asleep>,
}

impl EpollSocket {
    /// Messages of `bytes`, 8 at least.
    ///
    /// # Errors
    /// The system's.
    pub fn new(net: &Net, bytes: usize) -> Result<Self, BenchError> {
        let failed = |error| BenchError::contender("epoll", error);
        let (here, there) = net.sockets()?;
        Ok(Self {
            here: Asleep::new(here, bytes).map_err(failed)?,
            there: Some(Asleep::new(there, bytes).map_err(failed)?),
        })
    }
}

impl Contender for EpollSocket {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn note(&self) -> Option<&'static str> {
        Some("both ends sleep in epoll_wait")
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let failed = |error: std::io::Error| BenchError::contender("epoll", error);
        let lost = || BenchError::contender("epoll", "its far end was lost");
        let mut there = self.there.take().ok_or_else(lost)?;
        let answer = window.partner().run(move || {
            let served = (0..calls).try_for_each(|_| {
                there.receive()?;
                there.send()
            });
            (there, served)
        });
        let (mut number, mut right, mut broken) = (0_u64, 0, None);
        window.time(|| {
            number += 1;
            self.here.message[..8].copy_from_slice(&number.to_ne_bytes());
            let sent = self.here.send();
            match sent.and_then(|()| self.here.receive()) {
                Ok(()) => right += u64::from(self.here.message[..8] == number.to_ne_bytes()),
                Err(error) => broken = Some(error),
            }
        });
        if let Some(error) = broken {
            // The far end would sleep for ever.
            let _down = self.here.socket.shutdown(Shutdown::Both);
            let _ended = answer.join();
            return Err(failed(error));
        }
        let (there, served) = answer.join()?;
        self.there = Some(there);
        served.map_err(failed)?;
        check("epoll", calls, right)
    }
}
