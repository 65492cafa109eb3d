//! What the kernel's rings can do: asked once, with a small ring that goes at once.

use std::path::Path;
use std::sync::OnceLock;

use io_uring::{IoUring, Probe, opcode};

use super::refusal::{Refusal, explain};

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Objects that are spilled to files.
    Files,
    /// Sockets, and waiting for them.
    Sockets,
    /// What is faster with it, and works without.
    Speed,
}

/// An operation that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What it does.
    pub name: &'static str,
    /// What for.
    pub use_: Use,
    /// The first version of Linux that has it.
    pub since: &'static str,
    /// Whether this one has.
    pub is_known: bool,
}

const ASKED: [(u8, &str, Use, &str); 11] = [
    (opcode::Read::CODE, "read", Use::Files, "5.6"),
    (opcode::Write::CODE, "write", Use::Files, "5.6"),
    (opcode::Fsync::CODE, "flush", Use::Files, "5.6"),
    (opcode::Fallocate::CODE, "allocate", Use::Files, "5.6"),
    (opcode::AsyncCancel::CODE, "cancel", Use::Files, "5.6"),
    (opcode::PollAdd::CODE, "poll", Use::Sockets, "5.6"),
    (opcode::Accept::CODE, "accept", Use::Sockets, "5.6"),
    (opcode::Recv::CODE, "receive", Use::Sockets, "5.6"),
    (opcode::Send::CODE, "send", Use::Sockets, "5.6"),
    (
        opcode::SendZc::CODE,
        "send without a copy",
        Use::Speed,
        "6.0",
    ),
    (
        opcode::MsgRingData::CODE,
        "wake another ring",
        Use::Speed,
        "5.18",
    ),
];

pub(super) fn ask() -> Result<Vec<Probed>, Refusal> {
    let depth = 2;
    let refused = |error| explain(Path::new("/"), depth, error);
    let ring = IoUring::new(depth).map_err(refused)?;
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(refused)?;
    let asked = ASKED.map(|(code, name, use_, since)| Probed {
        name,
        use_,
        since,
        is_known: probe.is_supported(code),
    });
    Ok(asked.into())
}

/// What this process's rings can do, operation by operation.
///
/// # Errors
/// Why it can have none.
pub fn probed() -> Result<&'static [Probed], &'static Refusal> {
    static ANSWER: OnceLock<Result<Vec<Probed>, Refusal>> = OnceLock::new();
    match ANSWER.get_or_init(ask) {
        Ok(operations) => Ok(operations),
        Err(refusal) => Err(refusal),
    }
}

/// Whether there are rings that wait for sockets ([`Ring::for_waiting`](super::Ring::for_waiting)).
///
/// # Errors
/// Why not.
pub fn waiting_available() -> Result<(), &'static Refusal> {
    static ANSWER: OnceLock<Option<Refusal>> = OnceLock::new();
    match ANSWER.get_or_init(|| ask_waiting().err()) {
        None => Ok(()),
        Some(refusal) => Err(refusal),
    }
}

fn ask_waiting() -> Result<(), Refusal> {
    let operations = ask()?;
    let mut needed = operations.iter().filter(|one| one.use_ == Use::Sockets);
    if let Some(Probed { name, since, .. }) = needed.find(|one| !one.is_known) {
        return Err(Refusal::TooOld {
            operation: name,
            since,
        });
    }
    // Of the same version as accepting several connections by one operation.
    let depth = 2;
    let ring: std::io::Result<IoUring> = IoUring::builder()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .build(depth);
    match ring {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(Refusal::TooOld {
            operation: "accept several connections by one operation",
            since: "5.19",
        }),
        Err(error) => Err(explain(Path::new("/"), depth, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "makes a ring")]
    fn what_rings_can_do_is_listed_or_why_there_are_none() {
        match probed() {
            Ok(operations) => assert!(operations.iter().any(|one| one.is_known)),
            Err(refusal) => println!("skipped: {refusal}"),
        }
    }
}
