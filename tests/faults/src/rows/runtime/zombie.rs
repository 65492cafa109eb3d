//! A worker that is dead and cannot be waited for, because somebody traces it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::actors::busy;
use super::{PATIENCE, becomes, longest, names_the_dead, signal, state, with_runtime};
use crate::child;
use crate::level::Level;
use crate::row::{Outcome, Row, Run, Stop, Tally, broken, check};
use crate::trace;

/// The row of this file.
pub const ROW: Row = Row {
    name: "A5.runtime_zombie",
    claim: "a worker that was killed and that nobody can wait for is dead to its driver: who waits for \
            it is told, others start, and it is waited for when that can be",
    canary: "a worker is taken for alive while its id answers",
    run,
};

fn run(run: &Run) -> Outcome<Tally> {
    let rounds = run.share_of(50);
    let limit = longest(run, Duration::from_secs(2));
    let (talk, theirs) = UnixStream::pair().map_err(broken)?;
    talk.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    let mut ours = Some(talk);
    let tracer = child::fork(|| {
        ours.take();
        i32::from(trace_some(&theirs).is_err())
    })?;
    drop(theirs);
    let talk = ours.ok_or_else(|| broken("no link"))?;
    with_runtime(run.seed, || one_death(&talk, run.planted, limit))?;
    let level = Level::now()?;
    with_runtime(run.seed, || {
        (0..rounds).try_for_each(|_| one_death(&talk, run.planted, limit))
    })?;
    level.is_back()?;
    drop(talk);
    drop(tracer);
    Ok(Tally::of(rounds))
}

/// The tracer: gets the number of a process, and later a word to let it go.
fn trace_some(mut talk: &UnixStream) -> std::io::Result<()> {
    let mut pid = [0; 4];
    while talk.read_exact(&mut pid).is_ok() {
        let pid = u32::from_ne_bytes(pid);
        talk.write_all(&[u8::from(trace::seize(pid))])?;
        talk.read_exact(&mut [0])?;
        talk.write_all(&[u8::from(trace::let_go(pid))])?;
    }
    Ok(())
}

fn asks(mut talk: &UnixStream, question: &[u8]) -> Outcome<bool> {
    let mut answer = [0];
    talk.write_all(question).map_err(broken)?;
    talk.read_exact(&mut answer).map_err(broken)?;
    Ok(answer == [1])
}

fn one_death(talk: &UnixStream, planted: bool, limit: Duration) -> Outcome<()> {
    let victim = busy();
    let pid = victim.pid().remote().get_timeout(PATIENCE);
    let pid = pid.map_err(broken)?;
    if !asks(talk, &pid.to_ne_bytes())? {
        return Err(Stop::Skipped("a worker may not be traced; be root".into()));
    }
    check(signal(pid, Signal::KILL)?, || "the worker is gone".into())?;
    let told = victim.pid().remote().get_timeout(limit);
    let named = told.is_err_and(|error| names_the_dead(&error, &[pid]));
    check(named, || "the death of a traced worker is not told".into())?;
    check(state(pid) == Some('Z'), || {
        "somebody could wait for the traced worker".into()
    })?;
    if planted {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let answers = id.is_some_and(|id| rustix::process::test_kill_process(id).is_ok());
        check(!answers, || "a dead worker is taken for alive".into())?;
    }
    let other = busy();
    let answer = other.echo().remote(1, "text").get_timeout(limit);
    let answer = answer.map_err(|error| broken(format!("beside a traced worker: {error}")))?;
    check(answer.0 == 1, || "another one answers wrongly".into())?;
    check(asks(talk, &[0])?, || "the tracer had no process".into())?;
    // The keeper looks when it has something to do.
    let next = busy();
    next.pid().remote().get_timeout(limit).map_err(broken)?;
    let is_waited_for = || Ok(state(pid).is_none());
    becomes("the dead worker is waited for", limit, is_waited_for).map(drop)
}
