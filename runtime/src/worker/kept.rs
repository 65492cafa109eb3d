//! A worker process, from its start until it is buried.

use super::death;
use super::entry::VARIABLE;
use super::hello::{Hello, ToWorker};
use super::limit::Limit;
use super::output::Files;
use super::peer::Peer;
use super::socket::{self, Wire};
use maser_shm::control::ControlMemory;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// A worker that is to be started.
pub(super) struct Start {
    pub(super) peer: Arc<Peer>,
    pub(super) memory: ControlMemory,
    /// The driver's.
    pub(super) doors: ControlMemory,
    pub(super) hello: Hello,
    /// Where what it prints goes, if not where the driver prints.
    pub(super) output: Option<Files>,
    pub(super) limit: Option<Limit>,
}

/// A worker that was started.
pub(super) struct Kept {
    pub(super) peer: Arc<Peer>,
    pub(super) socket: Wire,
    /// The other end of the socket is closed. The process may live on.
    pub(super) hung_up: bool,
    pub(super) child: Child,
    pub(super) handle: OwnedFd,
    /// What it wrote to standard error, if that went to a file.
    pub(super) output: Option<PathBuf>,
    pub(super) limit: Option<Limit>,
}

/// Starts it, and says hello.
pub(super) fn spawn(start: Start) -> std::io::Result<Kept> {
    let Start {
        peer,
        memory,
        doors,
        hello,
        output,
        limit,
    } = start;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(format!("maser-worker-{}", peer.slot))
        .env(VARIABLE, std::process::id().to_string())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .process_group(0);
    let output = output.map(|Files { out, err, path }| {
        command.stdout(out).stderr(err);
        path
    });
    let child = command.spawn()?;
    peer.has_pid(child.id());
    let handle = death::handle(&child)?;
    let mut files = vec![memory.file(), doors.file()];
    files.extend(limit.as_ref().map(Limit::words));
    let sent = socket::send(&ours, &ToWorker::Hello(Box::new(hello)), &files);
    let mut kept = Kept {
        peer,
        socket: Wire::new(ours),
        hung_up: false,
        child,
        handle,
        output,
        limit,
    };
    if let Err(error) = sent {
        drop(kept.child.kill());
        drop(kept.child.wait());
        return Err(error);
    }
    Ok(kept)
}
