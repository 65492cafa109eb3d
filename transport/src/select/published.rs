//! What a set tells about itself to `maser status`.
//!
//! A set that publishes listens at an abstract Unix socket whose name has its user and its process; who
//! connects is sent one text and nothing is read from it. The names are listed by the kernel
//! (`/proc/net/unix`), so nothing is left behind by whoever dies, and nothing has to be found by another
//! way.
//!
//! - XQ-1 processes of the same user alone are answered, and believed.
//! - XQ-2 it is answered from a poll: a process that does not poll is listed and says nothing.

use super::selection::by_name;
use super::{Preference, Selection, Transports};
use crate::endpoint::{Endpoint, TransportKind};
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use serde::Serialize;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const PREFIX: &str = "maser-status-";
/// Bytes of a text at most.
const MAX_TEXT_BYTES: usize = 128 << 10;
const BACKLOG: i32 = 16;

/// Where a set answers.
pub(super) struct Published(OwnedFd);

impl Published {
    /// `number` tells sets of one process apart.
    pub(super) fn open(number: u64) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let name = format!("{}{}-{number}", own_prefix(), std::process::id());
        rustix::net::bind(
            &socket,
            &SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        )?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self(socket))
    }

    /// Answers who asks, if somebody does.
    pub(super) fn serve(&self, text: impl FnOnce() -> String) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let Ok(socket) = rustix::net::accept_with(&self.0, flags) else {
            return;
        };
        if is_own(&socket) {
            let text = text();
            // Who is gone does not want it; a fresh socket has room.
            let _sent = rustix::net::send(&socket, text.as_bytes(), SendFlags::NOSIGNAL);
        }
    }
}

fn own_prefix() -> String {
    format!("{PREFIX}{}-", rustix::process::geteuid().as_raw())
}

/// XQ-1.
fn is_own(socket: &OwnedFd) -> bool {
    socket_peercred(socket).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// A set of a running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The process.
    pub pid: u32,
    /// What it says, as JSON; nothing if it does not answer within the limit.
    pub text: Option<String>,
}

/// All sets of this user in this network namespace that publish what they chose.
///
/// # Errors
/// Of reading `/proc/net/unix`.
pub fn processes(limit: Duration) -> io::Result<Vec<Process>> {
    let table = fs::read_to_string("/proc/net/unix")?;
    let prefix = format!("@{}", own_prefix());
    let names = table
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().last());
    let mut found: Vec<&str> = names.filter(|name| name.starts_with(&prefix)).collect();
    found.sort_unstable();
    // A connection that waits to be accepted has the name as well.
    found.dedup();
    let process = |name: &str| {
        let (pid, _) = name.strip_prefix(&prefix)?.split_once('-')?;
        Some(Process {
            pid: pid.parse().ok()?,
            text: ask(&name[1..], limit),
        })
    };
    Ok(found.into_iter().filter_map(process).collect())
}

/// What the set of this name says.
fn ask(name: &str, limit: Duration) -> Option<String> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = socket.ok()?;
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).ok()?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) if is_own(&socket) => {}
        _ => return None,
    }
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(false).ok()?;
    socket.set_read_timeout(Some(limit)).ok()?;
    let mut text = Vec::new();
    let mut limited = socket.take(MAX_TEXT_BYTES as u64);
    limited.read_to_end(&mut text).ok()?;
    String::from_utf8(text).ok().filter(|text| !text.is_empty())
}

/// A connection that was joined, as a set tells of it.
#[derive(Serialize)]
pub(super) struct Connection {
    #[serde(skip)]
    pub(super) endpoint: Endpoint,
    #[serde(serialize_with = "by_name")]
    pub(super) kind: TransportKind,
    pub(super) selection: Selection,
}

/// What a set tells of itself.
#[derive(Serialize)]
struct Told<'a> {
    pid: u32,
    preference: &'a Preference,
    is_forced: bool,
    /// Those that were joined from here, the newest last.
    connections: &'a [Connection],
    /// How many there are, if there are more than are told.
    joined: usize,
    /// Those that others began.
    accepted: usize,
}

/// Connections that a set tells of.
const MAX_TOLD: usize = 64;

impl Transports {
    /// Lets `maser status` see what this set chooses, as long as it polls.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn publish(&mut self) -> io::Result<()> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        self.published = Some(Published::open(number)?);
        Ok(())
    }

    /// Answers who asks what this set chose.
    #[cold]
    pub(super) fn answer(&mut self) {
        let Some(published) = &self.published else {
            return;
        };
        let all = &self.connections;
        let told = Told {
            pid: std::process::id(),
            preference: &self.preference,
            is_forced: self.preference.is_forced(),
            connections: &all[all.len().saturating_sub(MAX_TOLD)..],
            joined: all.len(),
            accepted: self.accepted.len(),
        };
        published.serve(|| match serde_json::to_string(&told) {
            Ok(text) => text,
            Err(error) => unreachable!("plain data: {error}"),
        });
    }
}
