//! Who is dead, although its id still answers, and who is not, although its id is another's now.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use maser_shm::liveness::{LivenessError, ProcessHandle, ProcessIdentity};
use rustix::process::{Pid, Signal};

use crate::child::{self, Child};
use crate::namespace;
use crate::row::{Outcome, Row, Run, Stop, Tally, broken, check};
use crate::stepper::PATIENCE;

/// Times that each case is tried.
const ROUNDS: u64 = 200;

/// The rows of this file.
pub const ROWS: [Row; 2] = [
    Row {
        name: "A5.zombie",
        claim: "a dead process that nobody has waited for, or whose fork lives on with all its \
                descriptors, is known to be dead; a living or stopped one is not",
        canary: "a process is taken for alive while its id answers",
        run: zombies,
    },
    Row {
        name: "A5.reuse",
        claim: "a process that has the id of a dead one is not taken for it",
        canary: "a process is told by its id alone",
        run: reuse,
    },
];

fn zombies(run: &Run) -> Outcome<Tally> {
    let rounds = run.share_of(ROUNDS);
    for round in 0..rounds {
        let (mut victim, grandchild) = with_a_fork()?;
        let handle = victim.handle()?;
        let identity = identity(victim.pid())?;
        check(
            !is_dead(&handle, &identity, victim.pid(), run.planted)?,
            || "a living process was taken for dead".into(),
        )?;
        if round % 4 == 0 {
            child::stop(&victim)?;
            check(
                !is_dead(&handle, &identity, victim.pid(), run.planted)?,
                || "a stopped process was taken for dead".into(),
            )?;
        }
        victim.signal(Signal::KILL);
        check(handle.wait(Some(PATIENCE)).map_err(broken)?, || {
            "the death of a process was not noticed".into()
        })?;
        check(
            is_dead(&handle, &identity, victim.pid(), run.planted)?,
            || "a dead process that nobody has waited for was taken for alive".into(),
        )?;
        check(grandchild.still_holds()?, || {
            "the fork of the dead process should have lived on".into()
        })?;
        victim.wait();
        check(identity.is_dead().map_err(broken)?, || {
            "a dead process was taken for alive after it was waited for".into()
        })?;
    }
    Ok(Tally::of(rounds))
}

/// Whether that process is dead; with the planted bug, as the id says it.
fn is_dead(
    handle: &ProcessHandle,
    identity: &ProcessIdentity,
    pid: Pid,
    planted: bool,
) -> Outcome<bool> {
    if planted {
        return Ok(rustix::process::test_kill_process(pid).is_err());
    }
    let (one, other) = (handle.is_dead(), identity.is_dead());
    let (one, other) = (one.map_err(broken)?, other.map_err(broken)?);
    check(one == other, || {
        format!("the handle says dead = {one}, the identity {other}")
    })?;
    Ok(one)
}

fn identity(pid: Pid) -> Outcome<ProcessIdentity> {
    ProcessIdentity::of(pid.as_raw_nonzero().get().unsigned_abs()).map_err(broken)
}

/// The fork of a victim, which holds the other end of a socket.
struct Grandchild(UnixStream);

impl Grandchild {
    /// Whether it has not ended: its end of the socket is open.
    fn still_holds(&self) -> Outcome<bool> {
        self.0.set_nonblocking(true).map_err(broken)?;
        let peeked = rustix::net::recv(
            self.0.as_fd(),
            &mut [0u8; 1][..],
            rustix::net::RecvFlags::PEEK,
        );
        Ok(peeked == Err(rustix::io::Errno::AGAIN))
    }
}

/// A process that waits for its death, and a fork of it that outlives it until it is let go.
fn with_a_fork() -> Outcome<(Child, Grandchild)> {
    let (ours, theirs) = UnixStream::pair().map_err(broken)?;
    let mut ours = Some(ours);
    let victim = child::fork(|| {
        // The copy that came with the fork would keep the link open for ever.
        ours.take();
        let forked = child::fork_orphan(|| wait_for_the_end(&theirs));
        match forked {
            Ok(()) => {
                // Says that both are there.
                let _said = rustix::io::write(&theirs, b"2");
                wait_for_the_end(&theirs)
            }
            Err(_) => 1,
        }
    })?;
    drop(theirs);
    let ours = ours.ok_or_else(|| broken("no link"))?;
    ours.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    rustix::io::read(&ours, &mut [0u8; 1][..]).map_err(broken)?;
    Ok((victim, Grandchild(ours)))
}

fn wait_for_the_end(link: &UnixStream) -> i32 {
    let _ended = rustix::io::read(link, &mut [0u8; 1][..]);
    0
}

fn reuse(run: &Run) -> Outcome<Tally> {
    let rounds = run.share_of(ROUNDS);
    let planted = run.planted;
    // The namespace is for the children of whoever makes it; there ids can be dealt as one likes.
    let limit = Duration::from_secs(120);
    let said = child::in_a_child(limit, || {
        namespace::own_mounts_and_ids().map_err(|error| {
            Stop::Skipped(format!("no pid namespace of its own ({error}); be root"))
        })?;
        child::in_a_child(limit, || reused(rounds, planted))
    })?;
    Ok(Tally::of(said.parse().map_err(broken)?))
}

fn reused(rounds: u64, planted: bool) -> Outcome<String> {
    // `/proc` has to speak of this namespace.
    namespace::mount_proc()
        .map_err(|error| Stop::Skipped(format!("cannot mount /proc: {error}")))?;
    for _ in 0..rounds {
        let mut first = child::fork(park)?;
        let pid = first.pid();
        let before = identity(pid)?;
        let handle = first.handle()?;
        // Ids are told apart by when they started, in clock ticks: let one go by.
        next_tick()?;
        first.kill();
        fs::write(
            "/proc/sys/kernel/ns_last_pid",
            (pid.as_raw_nonzero().get() - 1).to_string(),
        )
        .map_err(|error| Stop::Skipped(format!("ids cannot be dealt: {error}")))?;
        let second = child::fork(park)?;
        check(second.pid() == pid, || "the id was not used again".into())?;
        let dead = if planted {
            rustix::process::test_kill_process(pid).is_err()
        } else {
            before.is_dead().map_err(broken)?
        };
        check(dead, || {
            "a process with a used id was taken for the dead one".into()
        })?;
        check(handle.is_dead().map_err(broken)?, || {
            "the handle of a dead process moved to another with its id".into()
        })?;
        let error = ProcessHandle::of(&before).err();
        check(
            matches!(error, Some(LivenessError::OtherProcess { .. })),
            || format!("a handle of the dead process was to be had: {error:?}"),
        )?;
        check(!identity(pid)?.is_dead().map_err(broken)?, || {
            "the living process was taken for dead".into()
        })?;
    }
    Ok(rounds.to_string())
}

fn park() -> i32 {
    loop {
        std::thread::park();
    }
}

/// Waits until the kernel counts another clock tick.
fn next_tick() -> Outcome<()> {
    let ticks = || -> Outcome<String> {
        let uptime = fs::read_to_string("/proc/uptime").map_err(broken)?;
        Ok(uptime.split(' ').next().unwrap_or_default().to_owned())
    };
    let before = ticks()?;
    while ticks()? == before {
        std::thread::yield_now();
    }
    Ok(())
}
