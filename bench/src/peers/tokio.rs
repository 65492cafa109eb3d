//! tokio: current-thread runtimes, so that nothing is handed between cores unless the row is about
//! that. An actor is the usual one: a loop over an mpsc channel whose messages carry a oneshot.
//!
//! tokio's workers cannot spin: a call across cores wakes a sleeping thread both ways.

use std::hint::black_box;
use std::pin::pin;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::harness::{BenchError, Contender, Offer, Skip, Window, check};

/// Said of every contender here that crosses cores.
const ASLEEP: &str = "two current-thread runtimes; neither can spin, both sleep and are woken";

fn runtime() -> Offer<Runtime> {
    Builder::new_current_thread()
        .build()
        .map_err(|error| Skip(format!("tokio cannot start: {error}")))
}

/// A question and where the answer goes.
type Message = (u64, oneshot::Sender<u64>);

/// Answers `questions` until all askers are gone; gives how many there were.
async fn actor(mut questions: mpsc::Receiver<Message>) -> u64 {
    let mut asked = 0;
    while let Some((value, answer)) = questions.recv().await {
        asked += 1;
        // An asker that went away is its own affair.
        let _ = answer.send(black_box(value) + 1);
    }
    asked
}

/// Asks one question and waits for the answer; 0 if the actor is gone.
async fn ask(actor: &mpsc::Sender<Message>, value: u64) -> u64 {
    let (answer, awaited) = oneshot::channel();
    if actor.send((value, answer)).await.is_err() {
        return 0;
    }
    awaited.await.unwrap_or(0)
}

/// Spawn a task and await it, one by one.
#[derive(Debug)]
pub struct SpawnJoin(Runtime);

impl SpawnJoin {
    /// A runtime on the driver's thread.
    ///
    /// # Errors
    /// A skip if it cannot start.
    pub fn new() -> Offer<Self> {
        runtime().map(Self)
    }
}

impl Contender for SpawnJoin {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let sum = self.0.block_on(async {
            let mut sum = 0;
            while let Some(calls) = window.start() {
                for _ in 0..calls {
                    sum += tokio::spawn(async { black_box(1_u64) }).await.unwrap_or(0);
                }
                window.stop(1);
            }
            sum
        });
        check("tokio spawn and join", calls, sum)
    }
}

/// Spawn many tasks, then await them all.
#[derive(Debug)]
pub struct SpawnBatch {
    runtime: Runtime,
    at_once: u64,
}

impl SpawnBatch {
    /// A runtime on the driver's thread that spawns `at_once` tasks at a time.
    ///
    /// # Errors
    /// A skip if it cannot start.
    pub fn new(at_once: u64) -> Offer<Self> {
        runtime().map(|runtime| Self { runtime, at_once })
    }
}

impl Contender for SpawnBatch {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (expected, at_once) = (window.calls() * self.at_once, self.at_once);
        let sum = self.runtime.block_on(async {
            let mut sum = 0;
            let mut tasks = Vec::with_capacity(at_once as usize);
            while let Some(calls) = window.start() {
                for _ in 0..calls {
                    tasks.extend((0..at_once).map(|_| tokio::spawn(async { black_box(1_u64) })));
                    for task in tasks.drain(..) {
                        sum += task.await.unwrap_or(0);
                    }
                }
                window.stop(at_once);
            }
            sum
        });
        check("tokio spawn and join of many", expected, sum)
    }
}

/// Calls of an actor on the same thread.
#[derive(Debug)]
pub struct ActorLocal(Runtime);

impl ActorLocal {
    /// A runtime on the driver's thread.
    ///
    /// # Errors
    /// A skip if it cannot start.
    pub fn new() -> Offer<Self> {
        runtime().map(Self)
    }
}

impl Contender for ActorLocal {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let (sum, asked) = self.0.block_on(async {
            let (sender, questions) = mpsc::channel(64);
            let running = tokio::spawn(actor(questions));
            let mut sum = 0;
            while let Some(calls) = window.start() {
                for _ in 0..calls {
                    sum += ask(&sender, 1).await;
                }
                window.stop(1);
            }
            drop(sender);
            (sum, running.await.unwrap_or(0))
        });
        check(
            "tokio actor on one thread",
            (2 * calls, calls),
            (sum, asked),
        )
    }
}

/// Calls of an actor in a runtime of its own on the other core, [`ActorCross::new`]'s `depth` in
/// flight.
#[derive(Debug)]
pub struct ActorCross(Runtime);

impl ActorCross {
    /// A runtime on the driver's thread; the actor's is made in each window.
    ///
    /// # Errors
    /// A skip if it cannot start.
    pub fn new() -> Offer<Self> {
        runtime().map(Self)
    }
}

impl Contender for ActorCross {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn note(&self) -> Option<&'static str> {
        Some(ASLEEP)
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let (sender, questions) = mpsc::channel(64);
        let there = runtime().map_err(|skip| BenchError::contender("tokio", skip.0))?;
        let partner = window
            .partner()
            .run(move || there.block_on(actor(questions)));
        let sum = self.0.block_on(async {
            let mut sum = 0;
            while let Some(calls) = window.start() {
                for _ in 0..calls {
                    sum += ask(&sender, 1).await;
                }
                window.stop(1);
            }
            sum
        });
        drop(sender);
        check(
            "tokio actor on the other core",
            (2 * calls, calls),
            (sum, partner.join()?),
        )
    }
}

/// Calls of an actor on the other core with many in flight.
#[derive(Debug)]
pub struct ActorPipelined {
    runtime: Runtime,
    in_flight: u64,
    across: bool,
}

impl ActorPipelined {
    /// `in_flight` calls at once, to an actor on the other core if `across`.
    ///
    /// # Errors
    /// A skip if it cannot start.
    pub fn new(in_flight: u64, across: bool) -> Offer<Self> {
        runtime().map(|runtime| Self {
            runtime,
            in_flight,
            across,
        })
    }

    /// Asks the whole window's questions, `in_flight` at a time.
    async fn drive(&self, window: &mut Window<'_>, sender: mpsc::Sender<Message>) -> u64 {
        let mut sum = 0;
        let mut awaited = Vec::with_capacity(self.in_flight as usize);
        while let Some(calls) = window.start() {
            for _ in 0..calls {
                for _ in 0..self.in_flight {
                    let (answer, result) = oneshot::channel();
                    if sender.send((1, answer)).await.is_ok() {
                        awaited.push(result);
                    }
                }
                for result in awaited.drain(..) {
                    sum += pin!(result).await.unwrap_or(0);
                }
            }
            window.stop(self.in_flight);
        }
        sum
    }
}

impl Contender for ActorPipelined {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn note(&self) -> Option<&'static str> {
        self.across.then_some(ASLEEP)
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let expected = window.calls() * self.in_flight;
        let (sender, questions) = mpsc::channel(2 * self.in_flight as usize);
        let (sum, asked) = if self.across {
            let there = runtime().map_err(|skip| BenchError::contender("tokio", skip.0))?;
            let partner = window
                .partner()
                .run(move || there.block_on(actor(questions)));
            let sum = self.runtime.block_on(self.drive(window, sender));
            (sum, partner.join()?)
        } else {
            self.runtime.block_on(async {
                let running = tokio::spawn(actor(questions));
                let sum = self.drive(window, sender).await;
                (sum, running.await.unwrap_or(0))
            })
        };
        check(
            "tokio actor, pipelined",
            (2 * expected, expected),
            (sum, asked),
        )
    }
}

/// Tasks on the driver's thread that each call one actor on the other core, one call after the
/// other.
#[derive(Debug)]
pub struct ActorCallers {
    runtime: Runtime,
    callers: u64,
    calls_each: u64,
}

impl ActorCallers {
    /// `callers` tasks that make `calls_each` calls before new ones are started.
    ///
    /// # Errors
    /// A skip if it cannot start.
    pub fn new(callers: u64, calls_each: u64) -> Offer<Self> {
        runtime().map(|runtime| Self {
            runtime,
            callers,
            calls_each,
        })
    }
}

impl Contender for ActorCallers {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn note(&self) -> Option<&'static str> {
        Some(ASLEEP)
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (callers, calls_each) = (self.callers, self.calls_each);
        let expected = window.calls() * callers * calls_each;
        let (sender, questions) = mpsc::channel(64);
        let there = runtime().map_err(|skip| BenchError::contender("tokio", skip.0))?;
        let partner = window
            .partner()
            .run(move || there.block_on(actor(questions)));
        let sum = self.runtime.block_on(async {
            let mut sum = 0;
            while let Some(calls) = window.start() {
                for _ in 0..calls {
                    let tasks: Vec<_> = (0..callers)
                        .map(|_| {
                            let sender = sender.clone();
                            tokio::spawn(async move {
                                let mut sum = 0;
                                for _ in 0..calls_each {
                                    sum += ask(&sender, 1).await;
                                }
                                sum
                            })
                        })
                        .collect();
                    for task in tasks {
                        sum += task.await.unwrap_or(0);
                    }
                }
                window.stop(callers * calls_each);
            }
            sum
        });
        drop(sender);
        check(
            "tokio actor with many callers",
            (2 * expected, expected),
            (sum, partner.join()?),
        )
    }
}
