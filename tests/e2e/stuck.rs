//! Schedulers that are stuck in user code: whoever waits for their calls is not held up.
//!
//! A scheduler is made stuck by a spin that ends only when what is to happen elsewhere has
//! happened: if it were held up, the test would never end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::scope;

use maser::{Actor, Error, Ref};
use maser_tests::{alone, beside_runtime, quiet, with_runtime};

use crate::program::{Echo, double};
use crate::support::{Count, Counted};

/// Set when what a stuck core waits for has happened, or can no longer happen.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

struct SetWhenDropped(Flag);

impl Drop for SetWhenDropped {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

impl Flag {
    /// The flag is set when this is dropped, also by a panic.
    fn setter(&self) -> SetWhenDropped {
        SetWhenDropped(self.clone())
    }

    /// Computes until the flag is set: no wait that the runtime knows of.
    fn compute_until_set(&self) {
        while !self.0.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    }
}

/// Keeps this core busy until `elsewhere` has ended on a thread of its own.
fn stuck_while<R: Send>(elsewhere: impl FnOnce() -> R + Send) -> R {
    let flag = Flag::default();
    let setter = flag.setter();
    scope(|scope| {
        let thread = scope.spawn(move || {
            let _setter = setter;
            elsewhere()
        });
        flag.compute_until_set();
        thread.join().expect("what runs elsewhere ends well")
    })
}

#[derive(Default)]
struct Log {
    served: Arc<AtomicU64>,
}

#[maser::actor(local)]
impl Log {
    pub fn new(served: Arc<AtomicU64>) -> Self {
        Log { served }
    }
    /// The number of this call.
    pub fn next(&mut self) -> u64 {
        self.served.fetch_add(1, Ordering::AcqRel)
    }
    pub fn next_after(&mut self, _argument: u64) -> u64 {
        self.next()
    }
    pub fn compute_until(&mut self, flag: Flag) {
        flag.compute_until_set();
    }
    pub fn give(&mut self, counted: Counted) -> Counted {
        counted
    }
}

#[track_caller]
fn is<T: PartialEq + std::fmt::Debug>(result: maser::Result<T>, value: T) {
    assert_eq!(result.expect("it is there"), value);
}

/// Gives what it is told.
#[derive(Default)]
struct Waits;

#[maser::actor(local)]
impl Waits {
    pub fn new() -> Self {
        Waits
    }
    pub fn wait(&mut self, given: Arc<Mutex<Receiver<u64>>>) -> u64 {
        let given = given.lock().expect("only this waits");
        given.recv().expect("the test gives it")
    }
}

fn echo_on(scheduler: usize) -> Actor<Echo> {
    let echo = Echo::options().scheduler(scheduler).remote();
    is(echo.echo().remote(1).get(), 1);
    echo
}

fn log_on(scheduler: usize) -> (Actor<Log>, Arc<AtomicU64>) {
    let served = Arc::default();
    let log = Log::options()
        .scheduler(scheduler)
        .remote(Arc::clone(&served));
    (log, served)
}

#[maser::task(local)]
fn tells(setter: Arc<SetWhenDropped>, value: u64) -> u64 {
    drop(setter);
    value
}

#[test]
fn a_thread_gets_a_result_while_the_callers_core_is_stuck() {
    with_runtime(quiet(2), |_| {
        let echo = echo_on(1);
        let result = echo.echo().remote(7);
        is(stuck_while(|| result.get()), 7);
        is(result.get(), 7);
        is(echo.echo().remote(8).get(), 8);
    });
}

#[test]
fn a_task_that_takes_a_result_runs_while_the_callers_core_is_stuck() {
    with_runtime(quiet(2), |_| {
        let echo = echo_on(1);
        let flag = Flag::default();
        let value = tells::remote(Arc::new(flag.setter()), echo.echo().remote(7));
        flag.compute_until_set();
        is(value.get(), 7);
    });
}

#[test]
fn wait_and_futures_see_results_while_the_callers_core_is_stuck() {
    with_runtime(quiet(2), |_| {
        let echo = echo_on(1);
        let refs: Vec<_> = (0..4).map(|x| echo.echo().remote(x)).collect();
        let (ready, rest) = stuck_while(|| maser::wait(&refs, 4, None)).expect("it is told");
        assert_eq!((ready.len(), rest.len()), (4, 0));
        let result = echo.echo().remote(9);
        let waited = stuck_while(|| pollster::block_on(async { (&result).await }));
        is(waited, 9);
    });
}

#[test]
fn calls_that_waited_for_room_are_sent_while_the_callers_core_is_stuck() {
    with_runtime(quiet(2), |_| {
        let (log, served) = log_on(1);
        let results: Vec<_> = (0..1000).map(|_| log.next().remote()).collect();
        while served.load(Ordering::Acquire) != 1000 {
            std::thread::yield_now();
        }
        let results = stuck_while(|| maser::get(&results)).expect("all are there");
        assert!(results.into_iter().eq(0..1000), "in order, none twice");
    });
}

#[maser::task(local)]
fn caller_that_is_stuck(log: Actor<Log>, told: Sender<(Ref<u64>, Ref<u64>)>, flag: Flag) {
    let result = log.next().remote();
    let doubled = double::remote(&result);
    drop(log.compute_until().remote(flag.clone()));
    told.send((result, doubled)).expect("the test waits");
    flag.compute_until_set();
}

#[test]
fn a_result_is_had_while_caller_and_callee_are_stuck() {
    beside_runtime(quiet(3), |_| {
        let (log, _) = log_on(2);
        is(log.next().remote().get(), 0);
        let flag = Flag::default();
        let setter = flag.setter();
        let (told, is_told) = channel();
        let caller = caller_that_is_stuck::options().scheduler(1);
        let caller = caller.remote(log, told, flag);
        let (result, doubled) = is_told.recv().expect("the caller tells");
        is(result.get(), 1);
        is(doubled.get(), 2);
        drop(setter);
        is(caller.get(), ());
    });
}

#[test]
fn calls_keep_their_order_whoever_sends_them_and_takes_their_answers() {
    with_runtime(quiet(2), |_| {
        let (log, served) = log_on(1);
        let mut made = 0;
        for round in 0..300_u64 {
            // More than a lane holds, now and then.
            let calls = 1 + round * 37 % 150;
            let results: Vec<_> = (0..calls).map(|_| log.next().remote()).collect();
            let values = match round % 8 {
                0 => stuck_while(|| maser::get(&results)),
                1 => {
                    // Comes to itself anywhere in the midst of what is done in its place.
                    while served.load(Ordering::Acquire) < made + calls / 2 {
                        std::hint::spin_loop();
                    }
                    maser::get(&results)
                }
                2 => scope(|scope| {
                    let both = scope.spawn(|| maser::get(&results));
                    let mine = maser::get(&results);
                    let both = both.join().expect("it ends").expect("all are there");
                    is(mine, both.clone());
                    Ok(both)
                }),
                _ => maser::get(&results),
            };
            let values = values.expect("all are there");
            assert!(values.into_iter().eq(made..made + calls), "round {round}");
            made += calls;
        }
        assert_eq!(served.load(Ordering::Acquire), made);
    });
}

#[test]
fn results_that_nobody_wants_are_dropped_when_the_caller_comes_to_itself() {
    with_runtime(quiet(2), |_| {
        let count = Count::default();
        let (log, _) = log_on(1);
        for _ in 0..5 {
            drop(log.give().remote(count.make()));
        }
        let last = log.next().remote();
        is(stuck_while(|| last.get()), 0);
        count.wait_for_alive(0);
        assert_eq!(count.dropped(), 5);
    });
}

#[test]
fn calls_go_out_in_order_when_their_arguments_come_while_the_callers_core_is_stuck() {
    with_runtime(quiet(4), |_| {
        let echo = echo_on(1);
        // Nothing was sent to its scheduler yet.
        let (new, _) = log_on(3);
        let (known, _) = log_on(2);
        is(known.next().remote().get(), 0);
        for round in 0..3 {
            for log in [&known, &new] {
                let (give, given) = channel::<u64>();
                let argument = Waits::options()
                    .scheduler(1)
                    .remote()
                    .wait()
                    .remote(Arc::new(given.into()));
                let mut results = vec![log.next_after().remote(&argument)];
                // These must not overtake the one before.
                results.extend((0..200).map(|_| log.next().remote()));
                results.push(log.next_after().remote(&argument));
                let values = stuck_while(|| {
                    give.send(round).expect("the argument waits");
                    maser::get(&results)
                });
                let values = values.expect("all are there");
                assert!(
                    values.windows(2).all(|two| two[0] + 1 == two[1]),
                    "{values:?}"
                );
                // Nor may these.
                let later = log.next().remote().get().expect("it is there");
                assert_eq!(values.last().map(|last| last + 1), Some(later));
            }
        }
        is(echo.echo().remote(3).get(), 3);
    });
}

/// The threads of this process that look after stuck schedulers.
fn rescuers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "maser-rescue").count()
}

#[test]
fn a_runtime_leaves_no_thread_that_looks_after_its_schedulers() {
    alone(|| {
        for schedulers in [1, 2] {
            for _ in 0..50 {
                let rescuers_during = maser::run(quiet(schedulers), |_| {
                    let echo = echo_on(schedulers - 1);
                    is(echo.echo().remote(2).get(), 2);
                    rescuers()
                });
                assert!(rescuers_during.expect("it starts") < schedulers);
                // A thread that was joined is listed until the kernel has forgotten it.
                while rescuers() > 0 {
                    std::thread::yield_now();
                }
            }
        }
    });
}

#[test]
fn a_scheduler_that_is_stuck_until_somebody_gets_its_result_can_be_shut_down() {
    alone(|| {
        let maser = quiet(2).init().expect("it starts");
        let (log, _) = log_on(1);
        is(log.next().remote().get(), 0);
        let flag = Flag::default();
        let setter = flag.setter();
        let (told, is_told) = channel();
        let caller = caller_that_is_stuck::options().scheduler(0);
        let caller = caller.remote(log, told, flag);
        let (result, doubled) = is_told.recv().expect("the caller tells");
        scope(|scope| {
            scope.spawn(move || {
                let _setter = setter;
                match result.get() {
                    Ok(value) => assert_eq!(value, 1),
                    Err(error) => assert!(matches!(error.root(), Error::ShutDown { .. })),
                }
            });
            maser.shutdown();
        });
        for ended in [doubled.get().map(drop), caller.get()] {
            if let Err(error) = ended {
                assert!(matches!(error.root(), Error::ShutDown { .. }), "{error:?}");
            }
        }
    });
}
