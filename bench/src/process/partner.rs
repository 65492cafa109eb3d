//! The first process's side of the second one.

use std::cell::Cell;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::frame;
use super::setup::Setup;
use crate::child;
use crate::harness::{BenchError, Context, Offer, Skip};

/// Set for a second process: the core that it is to be pinned to.
pub(super) const VARIABLE: &str = "MASERBENCH_PARTNER";

/// Seconds it gets to end by itself.
const GRACE_S: f64 = 2.0;

/// What the second process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Take on a service; they are numbered from 0.
    Open(Setup),
    /// Do so many operations of a service.
    Serve { service: usize, calls: u64 },
}

/// What it answers: the number that came out, or why it could not.
pub(super) type Reply = Result<u64, String>;

/// Owner of the second process (QX-1).
#[derive(Debug)]
pub struct PartnerProcess {
    socket: UnixStream,
    child: Child,
    services: Cell<usize>,
}

/// Something that the second process can do.
#[derive(Debug)]
pub struct Service {
    process: Rc<PartnerProcess>,
    number: usize,
    /// What it sent when it was opened.
    pub files: Vec<OwnedFd>,
    /// What it said when it was opened.
    pub said: u64,
}

/// A service at work.
#[derive(Debug)]
#[must_use = "its answer says whether the work was done"]
pub struct Serving<'a>(&'a PartnerProcess);

impl PartnerProcess {
    /// Starts it on the run's core 1.
    ///
    /// # Errors
    /// The system's.
    pub fn start(context: &Context) -> Result<Offer<Rc<Self>>, BenchError> {
        let Some(core) = context.cores.id(1).or(context.cores.id(0)) else {
            return Ok(Err(Skip("needs a core".to_owned())));
        };
        if !child::is_offered() {
            return Ok(Err(child::not_offered()));
        }
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        let exe = std::env::current_exe().map_err(failed)?;
        let child = Command::new(exe)
            .env_remove(child::VARIABLE)
            .env(VARIABLE, core.to_string())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let services = Cell::new(0);
        Ok(Ok(Rc::new(Self {
            socket,
            child,
            services,
        })))
    }

    /// Has it take on a service.
    ///
    /// # Errors
    /// The socket's, or why it cannot.
    pub fn open(
        self: &Rc<Self>,
        setup: Setup,
        files: &[BorrowedFd<'_>],
    ) -> Result<Service, BenchError> {
        frame::send(&self.socket, &Order::Open(setup), files).map_err(failed)?;
        let (said, files) = self.reply()?;
        let number = self.services.replace(self.services.get() + 1);
        Ok(Service {
            process: Rc::clone(self),
            number,
            files,
            said,
        })
    }

    fn reply(&self) -> Result<(u64, Vec<OwnedFd>), BenchError> {
        let reply = frame::receive::<Reply>(&self.socket).map_err(failed)?;
        let (reply, files) = reply.ok_or_else(|| failed("it is gone"))?;
        Ok((reply.map_err(failed)?, files))
    }
}

impl Service {
    /// Has it do `calls` operations (QX-2).
    ///
    /// # Errors
    /// The socket's.
    pub fn serve(&self, calls: u64) -> Result<Serving<'_>, BenchError> {
        let order = Order::Serve {
            service: self.number,
            calls,
        };
        frame::send(&self.process.socket, &order, &[]).map_err(failed)?;
        // It is awake and at it (QX-1): no sample has its waking in it.
        self.process.reply()?;
        Ok(Serving(&self.process))
    }
}

impl Serving<'_> {
    /// Waits until it is done and gives what came out.
    ///
    /// # Errors
    /// The socket's, or why it failed.
    pub fn join(self) -> Result<u64, BenchError> {
        Ok(self.0.reply()?.0)
    }
}

impl Drop for PartnerProcess {
    fn drop(&mut self) {
        // QX-3. Left to itself it gives back what its services took.
        let _told = self.socket.shutdown(Shutdown::Both);
        if !child::ends_in_time(&self.child, GRACE_S).unwrap_or(false) {
            // It spins for something that never comes.
            let _killed = self.child.kill();
        }
        let _waited = self.child.wait();
    }
}

fn failed(why: impl ToString) -> BenchError {
    BenchError::contender("the second process", why)
}
