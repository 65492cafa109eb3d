//! `SIGKILL` at every instruction of an operation.
//!
//! Three processes: the conductor, with one thread; a survivor, forked once; and for each point a
//! fresh victim, forked from the conductor, with a socket to the survivor. The victim prepares,
//! says that it begins, is stepped `k` instructions into its operation and killed there. The
//! survivor learns of it as it would in life, from a handle of the process, repairs, and looks at
//! everything that must hold. `k` goes from 0 to the end of the operation.
//!
//! - KS-1 the survivor goes through all points, so whatever one of them leaks is seen: after each
//!   round its descriptors and mappings are those it had after the first rounds.
//! - KS-2 the first rounds kill nobody before the end of the operation; they warm up what is made
//!   once, and count the instructions.
//! - KS-3 a system call is one step: the kernel does it whole or not at all as far as a kill goes.
//! - KS-4 the number of instructions varies a little from round to round, so the points end where a
//!   victim comes to the end of its operation, not at the count.
//! - KS-5 an operation of more than [`LENGTH_MAX`] instructions is tried at [`SPREAD`] points that
//!   are evenly spread over it, from a first one drawn by chance, unless all are asked for.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use maser_shm::liveness::ProcessHandle;
use maser_shm::os::shared_memory;
use rustix::process::Signal;

use crate::child::{self, Child, End, panic_text};
use crate::level::Level;
use crate::marks::{Marks, Stage};
use crate::path::Path;
use crate::row::{Outcome, Run, Stop, Tally, broken, check};
use crate::trace::{self, Stopped};

/// After this long without an answer a process is said to hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Rounds before the first kill inside of an operation (KS-2).
const WARM_ROUNDS: u64 = 4;

/// Instructions of an operation that is tried at all of them (KS-5).
const LENGTH_MAX: u64 = 3000;
/// Points of a longer one.
const SPREAD: u64 = 1000;

/// An operation, and who has to live with its sudden end.
pub struct Stepped {
    /// In the victim: prepare, `marks.begin()`, the operation, `marks.end()`.
    pub victim: fn(link: &UnixStream, marks: &Marks, planted: bool) -> Outcome<()>,
    /// In the survivor, once.
    pub survivor: fn(planted: bool) -> Outcome<Box<dyn Survivor>>,
}

/// The one that lives on.
pub trait Survivor {
    /// Meets one victim over `link`, waits for its death, repairs, and checks all that must hold.
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()>;
}

/// The one that dies, as the survivor sees it.
pub struct Victim<'a> {
    handle: ProcessHandle,
    marks: &'a Marks,
}

impl Victim<'_> {
    /// Waits until it is dead, as in life.
    pub fn wait_for_death(&self) -> Outcome<()> {
        // Stepping through it takes as long as it takes; the row as a whole has a limit.
        let dead = self.handle.wait(None).map_err(broken)?;
        check(dead, || "the victim has not died".into())
    }

    /// Whether its operation had returned, so that all of it must be seen.
    pub fn had_finished(&self) -> bool {
        self.marks.stage() == Stage::After
    }
}

impl Stepped {
    /// Tries the points of `run`.
    pub fn run(&self, run: &Run) -> Outcome<Tally> {
        trace::possible()?;
        let (conductor, survivor) = UnixStream::pair().map_err(broken)?;
        conductor.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
        let marks = Marks::new()?;
        let survivor_process = child::fork(|| self.survive(&survivor, &marks, run.planted))?;
        let mut stage = Conductor {
            stepped: self,
            marks,
            planted: run.planted,
            survivor: survivor_process,
            talk: conductor,
            path: Path::default(),
        };
        drop(survivor);
        for _ in 1..WARM_ROUNDS {
            stage.round(Until::End)?;
        }
        let length = stage.round(Until::Written)?.steps;
        let mut random = run.random();
        let stride = 1.0 / run.sample.clamp(1e-6, 1.0);
        let affordable = (run.steps_max as f64 / stage.path.mean_cost().max(1.0)).max(1.0);
        let is_spread = length > LENGTH_MAX && !run.all;
        let points_max = if is_spread {
            run.points_max.min(SPREAD)
        } else {
            run.points_max
        };
        let stride = stride.max(length as f64 / affordable.min(points_max as f64));
        let phase = (random.below(1 << 32) as f64 / (1u64 << 32) as f64) * stride;
        let mut tally = Tally::default();
        loop {
            let at = (phase + stride * tally.points as f64) as u64;
            let round = stage.round_at(at)?;
            tally.points += 1;
            if round.finished {
                break;
            }
        }
        tally.points_of = Some(length.max(tally.points));
        if is_spread && run.points_max > SPREAD {
            tally.notes.push(format!(
                "one in {stride:.1}, evenly spread (--all tries each)"
            ));
        }
        stage.end()?;
        Ok(tally)
    }

    /// The survivor's life; the exit code.
    fn survive(&self, talk: &UnixStream, marks: &Marks, planted: bool) -> i32 {
        let talk_of = |outcome: Outcome<()>| {
            let text = match outcome {
                Ok(()) => String::new(),
                Err(Stop::Broken(text)) => format!("-{text}"),
                Err(Stop::Skipped(text)) => format!("?{text}"),
            };
            say(talk, &text).is_ok()
        };
        let mut survivor = match (self.survivor)(planted) {
            Ok(survivor) => survivor,
            Err(stop) => return i32::from(!talk_of(Err(stop))),
        };
        let mut rounds = 0;
        let mut level = None;
        while let Ok(Some((link, handle))) = next_round(talk) {
            let victim = Victim { handle, marks };
            let caught = catch_unwind(AssertUnwindSafe(|| survivor.round(link, victim)));
            let outcome = caught.unwrap_or_else(|panic| {
                let text = panic_text(&*panic);
                Err(broken(format!("the survivor panicked: {text}")))
            });
            rounds += 1;
            // KS-1
            let outcome = outcome.and_then(|()| match (&level, rounds < WARM_ROUNDS) {
                (Some(level), false) => Level::is_back(level),
                _ => {
                    level = Some(Level::now()?);
                    Ok(())
                }
            });
            if !talk_of(outcome) {
                return 1;
            }
        }
        drop(survivor);
        0
    }
}

struct Conductor<'a> {
    stepped: &'a Stepped,
    marks: Marks,
    planted: bool,
    survivor: Child,
    talk: UnixStream,
    path: Path,
}

/// How far a victim may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// So many steps, with a shortcut or without.
    Steps { steps: u64, shortcut: bool },
    /// The end of its operation.
    End,
    /// The end of its operation, and the way there is written down.
    Written,
}

/// How a round went.
struct Round {
    steps: u64,
    /// The operation came to its end.
    finished: bool,
}

impl Conductor<'_> {
    /// Kills a victim after `steps` instructions of its operation, or at its end.
    fn round_at(&mut self, steps: u64) -> Outcome<Round> {
        let shortcut = steps < self.path.steps();
        let round = self.round(Until::Steps { steps, shortcut })?;
        if round.finished && shortcut {
            // PT-1
            let shortcut = false;
            return self.round(Until::Steps { steps, shortcut });
        }
        Ok(round)
    }

    fn round(&mut self, until: Until) -> Outcome<Round> {
        let (ours, theirs) = UnixStream::pair().map_err(broken)?;
        self.marks.reset();
        let mut theirs = Some(theirs);
        let mut victim = child::fork(|| {
            theirs.take();
            trace::allow();
            match (self.stepped.victim)(&ours, &self.marks, self.planted) {
                Ok(()) => 0,
                Err(stop) => {
                    eprintln!("victim: {stop:?}");
                    1
                }
            }
        })?;
        drop(ours);
        let theirs = theirs.ok_or_else(|| broken("no link"))?;
        let handle = victim.handle()?;
        shared_memory::send(&self.talk, b"r", &[theirs.as_fd(), handle.as_fd()]).map_err(broken)?;
        drop((theirs, handle));
        self.to_the_beginning(&mut victim)?;
        let pid = victim.pid();
        let round = self.go(&mut victim, until)?;
        let place = trace::in_the_file(trace::place(pid));
        let end = victim.kill();
        check(end == End::Signal(Signal::KILL.as_raw()), || {
            format!("the victim ended otherwise: {end:?}")
        })?;
        match listen(&self.talk) {
            Ok(text) if text.is_empty() => Ok(round),
            Ok(text) => match text.strip_prefix('?') {
                Some(reason) => Err(Stop::Skipped(reason.into())),
                None => Err(broken(format!(
                    "{} (killed after {} instructions, at {place:#x})",
                    &text[1..],
                    round.steps
                ))),
            },
            Err(error) => Err(broken(format!(
                "the survivor hangs or is gone ({error}; killed after {} instructions, at {place:#x})",
                round.steps
            ))),
        }
    }

    /// Lets the victim into its operation.
    fn go(&mut self, victim: &mut Child, until: Until) -> Outcome<Round> {
        let pid = victim.pid();
        let mut round = Round {
            steps: 0,
            finished: false,
        };
        let mut most = u64::MAX;
        match until {
            Until::End => {
                trace::go_on(pid, 0)?;
                let stopped = trace::wait(victim)?;
                round.finished = true;
                check(stopped == Stopped::At(libc::SIGSTOP), || {
                    format!("the victim did not come to the end: {stopped:?}")
                })?;
                return Ok(round);
            }
            Until::Steps { steps, shortcut } => {
                most = steps;
                if let Some(cut) = self.path.shortcut(steps).filter(|_| shortcut) {
                    round.finished = !trace::run_to(victim, cut.place, cut.passes)?;
                    round.steps = cut.steps;
                }
            }
            Until::Written => {}
        }
        let mut places = Vec::new();
        while round.steps < most && !round.finished {
            trace::step(victim)?;
            round.steps += 1;
            round.finished = self.marks.stage() == Stage::After;
            if until == Until::Written {
                places.push(trace::place(pid));
            }
        }
        if until == Until::Written {
            self.path = Path::new(places);
        }
        Ok(round)
    }

    /// Lets the victim prepare.
    fn to_the_beginning(&self, victim: &mut Child) -> Outcome<()> {
        let pid = victim.pid();
        let mut tied = false;
        loop {
            match trace::wait(victim)? {
                Stopped::At(signal) => {
                    if !tied {
                        trace::tie(pid)?;
                        tied = true;
                    }
                    if signal == libc::SIGSTOP && self.marks.stage() == Stage::Inside {
                        return Ok(());
                    }
                    trace::go_on(pid, signal)?;
                }
                Stopped::Exited(code) => {
                    return Err(broken(format!("the victim could not prepare: exit {code}")));
                }
                Stopped::Killed(signal) => {
                    return Err(broken(format!(
                        "the victim prepared and got signal {signal}"
                    )));
                }
            }
        }
    }

    /// The survivor goes home, and must be able to.
    fn end(mut self) -> Outcome<()> {
        // Not only dropped: the survivor has inherited this end too.
        self.talk.shutdown(Shutdown::Both).map_err(broken)?;
        let end = self.survivor.wait_for(PATIENCE)?;
        check(end == Some(End::Exit(0)), || {
            format!("the survivor's end was {end:?}")
        })
    }
}

/// The link and the handle of the next victim; `None` when there is none.
fn next_round(talk: &UnixStream) -> io::Result<Option<(UnixStream, ProcessHandle)>> {
    let (count, mut files) = shared_memory::receive(talk, &mut [0; 1])?;
    if count == 0 || files.len() != 2 {
        return Ok(None);
    }
    let handle = files.pop().map(ProcessHandle::from_file);
    let handle = handle.and_then(Result::ok);
    Ok(files.pop().map(UnixStream::from).zip(handle))
}

/// Writes one message.
fn say(mut talk: &UnixStream, text: &str) -> io::Result<()> {
    talk.write_all(&(text.len() as u32).to_ne_bytes())?;
    talk.write_all(text.as_bytes())
}

/// Reads one message.
fn listen(mut talk: &UnixStream) -> io::Result<String> {
    let mut length = [0; 4];
    talk.read_exact(&mut length)?;
    let mut text = vec![0; u32::from_ne_bytes(length) as usize];
    talk.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
