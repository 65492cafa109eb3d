//! tokio: sockets on two current-thread runtimes, which sleep and are woken.

use std::net::{Shutdown, TcpStream as Socket};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::ends::Net;
use crate::harness::{BenchError, Contender, Window, check};

/// One end, and the runtime that it belongs to.
#[derive(Debug)]
struct End {
    stream: TcpStream,
    message: Vec<u8>,
    runtime: Runtime,
}

impl End {
    fn new(socket: Socket, bytes: usize) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let stream = {
            let _inside = runtime.enter();
            TcpStream::from_std(socket)?
        };
        Ok(Self {
            stream,
            message: vec![0; bytes],
            runtime,
        })
    }

    /// Sends back what comes.
    fn serve(&mut self, calls: u64) -> std::io::Result<u64> {
        let (stream, message) = (&mut self.stream, &mut self.message);
        self.runtime.block_on(async {
            for _ in 0..calls {
                stream.read_exact(message).await?;
                stream.write_all(message).await?;
            }
            Ok(calls)
        })
    }

    /// Sends and awaits answers for a whole window; how many were right.
    fn drive(&mut self, window: &mut Window<'_>) -> std::io::Result<u64> {
        let (stream, message) = (&mut self.stream, &mut self.message);
        self.runtime.block_on(async {
            let (mut number, mut right) = (0_u64, 0);
            while let Some(calls) = window.start() {
                for _ in 0..calls {
                    number += 1;
                    message[..8].copy_from_slice(&number.to_ne_bytes());
                    stream.write_all(message).await?;
                    stream.read_exact(message).await?;
                    right += u64::from(message[..8] == number.to_ne_bytes());
                }
                window.stop(1);
            }
            Ok(right)
        })
    }
}

/// Messages there and back.
#[derive(Debug)]
pub struct TokioSocket {
    here: End,
    /// To end the far side if this one fails.
    line: Socket,
    /// Not here while the helper has it.
    there: Option<End>,
}

impl TokioSocket {
    /// Messages of `bytes`, 8 at least.
    ///
    /// # Errors
    /// The system's.
    pub fn new(net: &Net, bytes: usize) -> Result<Self, BenchError> {
        let failed = |error| BenchError::contender("tokio", error);
        let (here, there) = net.sockets()?;
        Ok(Self {
            line: here.try_clone().map_err(failed)?,
            here: End::new(here, bytes).map_err(failed)?,
            there: Some(End::new(there, bytes).map_err(failed)?),
        })
    }
}

impl Contender for TokioSocket {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn note(&self) -> Option<&'static str> {
        Some("two current-thread runtimes; neither can spin, both sleep and are woken")
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let failed = |error: std::io::Error| BenchError::contender("tokio", error);
        let lost = || BenchError::contender("tokio", "its far end was lost");
        let mut there = self.there.take().ok_or_else(lost)?;
        let answer = window.partner().run(move || {
            let served = there.serve(calls);
            (there, served)
        });
        let right = self.here.drive(window).inspect_err(|_| {
            // The far end would sleep for ever.
            let _down = self.line.shutdown(Shutdown::Both);
        });
        let (there, served) = answer.join()?;
        self.there = Some(there);
        let right = right.map_err(failed)?;
        check("tokio", (calls, calls), (right, served.map_err(failed)?))
    }
}
