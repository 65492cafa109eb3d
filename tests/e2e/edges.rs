//! The edges of coroutines: locks, panics, stacks, limits, sleeping.

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use maser::sync::Mutex;
use maser::{Config, Error, Mode, Ref};
use maser_tests::{alone, both_ways, part, quiet, rerun, with_runtime};

use crate::support::{Gate, gate, held};

#[maser::task]
fn same(x: u64) -> u64 {
    maser::yield_now();
    x
}

#[test]
fn a_lock_may_be_held_across_a_get() {
    #[maser::task(local)]
    fn count_up(count: Arc<Mutex<u64>>, rounds: u64) -> maser::Result<()> {
        for _ in 0..rounds {
            let mut count = count.lock()?;
            let before = *count;
            // Whoever else comes here meanwhile has to wait.
            *count = same::remote(before).get()? + 1;
        }
        Ok(())
    }
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let count = Arc::new(Mutex::new(0));
            let tasks: Vec<_> = (0..20)
                .map(|_| count_up::remote(count.clone(), 20))
                .collect();
            maser::get(&tasks)?;
            assert_eq!(*count.lock()?, 400);
            Ok(())
        });
    }
}

#[test]
fn a_lock_is_shared_by_tasks_and_threads() {
    #[maser::task(local)]
    fn add(count: Arc<Mutex<u64>>) -> maser::Result<()> {
        let mut count = count.lock()?;
        let before = *count;
        maser::yield_now();
        *count = before + 1;
        Ok(())
    }
    both_ways(quiet(2), |_| {
        let count = Arc::new(Mutex::new(0));
        let tasks: Vec<_> = (0..500).map(|_| add::remote(count.clone())).collect();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let count = count.clone();
                std::thread::spawn(move || (0..100).try_for_each(|_| add(count.clone())))
            })
            .collect();
        maser::get(&tasks)?;
        for thread in threads {
            thread.join().expect("no panic")?;
        }
        assert_eq!(*count.lock()?, 900);
        Ok(())
    });
}

#[test]
fn try_lock_never_takes_what_is_taken() {
    alone(|| {
        let mutex = Mutex::new(5);
        let guard = mutex.try_lock().expect("it is open");
        for _ in 0..3 {
            assert!(mutex.try_lock().is_none());
            assert_eq!(format!("{mutex:?}"), "Mutex(locked)");
        }
        drop(guard);
        *mutex.try_lock().expect("it is open") += 1;
        assert_eq!(format!("{mutex:?}"), "Mutex(6)");
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = mutex.try_lock();
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert_eq!(*mutex.try_lock().expect("a panic opens it"), 6);
        assert_eq!(mutex.into_inner(), 6);
    });
}

/// Does `what` when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

type Seen = Arc<StdMutex<Vec<Result<u64, Error>>>>;

/// Panics, and waits in every way in a destructor that runs because of it.
#[maser::task(local)]
fn wait_while_panicking(gate: Gate, pending: Ref<Ref<u64>>, seen: Seen) -> u64 {
    let pending = pending.get().expect("it is there");
    let _waits = OnDrop(|| {
        let mut seen = seen.lock().expect("no panic");
        seen.push(pending.get());
        seen.push(pending.get_timeout(Duration::from_secs(3600)));
        let waited = maser::wait(std::slice::from_ref(&pending), 1, None);
        seen.push(waited.map(|(ready, _)| ready.len() as u64));
        seen.push(gate.lock().map(|_| 0));
        // These wait, and keep the core to themselves meanwhile.
        maser::sleep(Duration::from_millis(1));
        maser::yield_now();
        // What is there can be had.
        seen.push(maser::put(7).get());
    });
    panic!("on purpose")
}

#[test]
fn a_wait_while_the_stack_unwinds_is_an_error() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let gate = gate();
            let closed = gate.lock()?;
            let pending = held::remote(gate.clone(), 1);
            let seen = Seen::default();
            // Others of the same core are in the middle of their waits, and are not disturbed.
            let others: Vec<_> = (0..20).map(same::remote).collect();
            let panicking: Vec<_> = (0..10)
                .map(|_| {
                    let pending = maser::put(maser::put(pending.clone()));
                    wait_while_panicking::remote(gate.clone(), pending, seen.clone())
                })
                .collect();
            let more: Vec<_> = (0..20).map(same::remote).collect();
            for panicked in panicking {
                let error = panicked.get().expect_err("it panics");
                assert!(error.to_string().contains("on purpose"), "{error}");
            }
            assert_eq!(maser::get(&others)?, (0..20).collect::<Vec<_>>());
            assert_eq!(maser::get(&more)?, (0..20).collect::<Vec<_>>());
            let seen = seen.lock().expect("no panic");
            assert_eq!(seen.len(), 50);
            for waits in seen.chunks(5) {
                for refused in &waits[..4] {
                    assert!(
                        matches!(refused, Err(Error::GetWhilePanicking { .. })),
                        "{refused:?}"
                    );
                }
                assert!(matches!(waits[4], Ok(7)));
            }
            drop(closed);
            assert_eq!(pending.get()?, 1);
            Ok(())
        });
    }
}

#[test]
fn a_panic_that_is_caught_leaves_the_task_able_to_wait() {
    #[maser::task]
    fn catches() -> maser::Result<u64> {
        let caught = catch_unwind(|| panic!("caught on purpose"));
        assert!(caught.is_err());
        same::remote(5).get()
    }
    both_ways(quiet(1), |_| {
        assert_eq!(catches::remote().get()?, 5);
        Ok(())
    });
}

#[test]
fn a_main_function_that_panics_shuts_its_tasks_down() {
    #[maser::task(local)]
    fn sleeps(ended: Arc<AtomicU64>) {
        let _ended = OnDrop(|| {
            ended.fetch_add(1, Ordering::AcqRel);
        });
        loop {
            maser::sleep(Duration::from_secs(3600));
        }
    }
    #[maser::task(local)]
    fn waits(ended: Arc<AtomicU64>, never: Ref<Ref<()>>) -> maser::Result<()> {
        let _ended = OnDrop(|| {
            ended.fetch_add(1, Ordering::AcqRel);
        });
        never.get()?.get()
    }
    for schedulers in [1, 2] {
        alone(|| {
            let ended = Arc::new(AtomicU64::new(0));
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                maser::run(quiet(schedulers), |_| {
                    let never = sleeps::remote(ended.clone());
                    for _ in 0..5 {
                        drop(sleeps::remote(ended.clone()));
                        drop(waits::remote(
                            ended.clone(),
                            maser::put(maser::put(never.clone())),
                        ));
                    }
                    // All of them get to where they wait.
                    for _ in 0..100 {
                        maser::yield_now();
                    }
                    std::panic::resume_unwind(Box::new("on purpose"));
                })
            }));
            assert_eq!(
                panicked.expect_err("it panicked").downcast_ref::<&str>(),
                Some(&"on purpose")
            );
            assert_eq!(ended.load(Ordering::Acquire), 11, "every stack was unwound");
            // The process can start again.
            let again = maser::run(quiet(schedulers), |_| same::remote(3).get());
            assert_eq!(again.expect("it starts").expect("it runs"), 3);
        });
    }
}

/// Uses `kib` KiB of stack and then does `what`.
fn deep<R>(kib: usize, what: &mut dyn FnMut() -> R) -> R {
    fn descend<R>(until: usize, what: &mut dyn FnMut() -> R) -> R {
        let page = std::hint::black_box([0_u8; 512]);
        let here = (&raw const page).addr();
        let result = if here <= until {
            what()
        } else {
            descend(until, what)
        };
        std::hint::black_box(page);
        result
    }
    let here = 0_u8;
    descend((&raw const here).addr().saturating_sub(kib << 10), what)
}

#[test]
fn every_task_has_its_whole_stack_wherever_it_runs() {
    #[maser::task]
    fn descend(levels: u64) -> maser::Result<u64> {
        // More than half of the stack, of the waiting and of the awaited task.
        deep(150, &mut || match levels {
            0 => Ok(0),
            _ => Ok(1 + descend::remote(levels - 1).get()?),
        })
    }
    both_ways(quiet(1).stack_bytes(256 << 10), |_| {
        assert_eq!(descend::remote(10).get()?, 10);
        Ok(())
    });
    both_ways(quiet(2).stack_bytes(1 << 20), |_| {
        #[maser::task]
        fn uses_more() -> u64 {
            deep(700, &mut || 7)
        }
        assert_eq!(
            uses_more::remote().get()?,
            7,
            "the stack is as large as was asked"
        );
        Ok(())
    });
}

#[test]
fn a_stack_overflow_ends_the_process_and_names_the_task() {
    #[maser::task]
    fn bottomless(scheduler: usize) -> u64 {
        let _ = scheduler;
        deep(usize::MAX >> 10, &mut || 1)
    }
    let name = "edges::a_stack_overflow_ends_the_process_and_names_the_task";
    if let Some(part) = part() {
        let scheduler = part.parse().expect("a number");
        let ends = |_: &maser::Maser| {
            let call = bottomless::options().scheduler(scheduler).remote(scheduler);
            drop(call.get());
        };
        with_runtime(Config::new().num_cpus(2).mode(Mode::Script), ends);
        return;
    }
    for scheduler in [0, 1] {
        let output = rerun(name, &scheduler.to_string());
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(11), "{output:?}");
        assert!(
            printed.contains("maser: stack overflow in bottomless"),
            "{printed}"
        );
        assert!(printed.contains("MASER_STACK_BYTES"), "{printed}");
    }
}

#[test]
fn one_more_blocked_task_than_the_limit_is_an_error() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers).max_blocked_tasks(4), |_| {
            let gate = gate();
            let closed = gate.lock()?;
            let all: Vec<_> = (0..20).map(|x| held::remote(gate.clone(), x)).collect();
            // 4 wait, the other 16 are told that they cannot.
            let (told, _) = maser::wait(&all, 16, None)?;
            for one in told {
                let error = one.get().expect_err("it cannot wait");
                let Error::TooManyBlockedTasks { limit, .. } = error.root() else {
                    panic!("{error}")
                };
                assert_eq!(*limit, 4);
                assert!(error.to_string().contains("max_blocked_tasks"), "{error}");
            }
            assert_eq!(all.iter().filter(|one| !one.is_ready()).count(), 4);
            drop(closed);
            let succeeded = all.iter().filter(|one| one.get().is_ok()).count();
            assert_eq!(succeeded, 4);
            for x in 0..20 {
                assert_eq!(
                    held::remote(gate.clone(), x).get()?,
                    x,
                    "there is room again"
                );
            }
            Ok(())
        });
    }
}

#[test]
fn sleeping_takes_its_time_in_tasks_and_on_threads() {
    #[maser::task]
    fn sleep_for(millis: u64) -> bool {
        let started = Instant::now();
        maser::sleep(Duration::from_millis(millis));
        started.elapsed() >= Duration::from_millis(millis)
    }
    both_ways(quiet(2), |_| {
        let sleeps: Vec<_> = (0..30).map(sleep_for::remote).collect();
        assert!(sleep_for(5), "here");
        assert!(maser::get(&sleeps)?.into_iter().all(|full| full));
        maser::sleep(Duration::ZERO);
        Ok(())
    });
    alone(|| {
        assert!(sleep_for(5), "without a runtime");
        maser::yield_now();
    });
}

#[test]
fn sleepers_wake_in_the_order_of_their_time() {
    #[maser::task(local)]
    fn sleep_and_note(order: Arc<StdMutex<Vec<u64>>>, tens: u64) {
        maser::sleep(Duration::from_millis(10 * tens));
        order.lock().expect("no panic").push(tens);
    }
    // On one scheduler, whose timers are one list.
    both_ways(quiet(1), |_| {
        let order = Arc::new(StdMutex::new(Vec::new()));
        let tasks: Vec<_> = [5, 1, 4, 2, 3]
            .into_iter()
            .map(|tens| sleep_and_note::remote(order.clone(), tens))
            .collect();
        maser::get(&tasks)?;
        assert_eq!(*order.lock().expect("no panic"), [1, 2, 3, 4, 5]);
        Ok(())
    });
}

#[test]
fn yielding_lets_others_of_the_core_run() {
    #[maser::task(local)]
    fn take_turns(log: Arc<StdMutex<Vec<u64>>>, me: u64) {
        for _ in 0..100 {
            log.lock().expect("no panic").push(me);
            maser::yield_now();
        }
    }
    both_ways(quiet(1), |_| {
        let log = Arc::new(StdMutex::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|me| take_turns::remote(log.clone(), me))
            .collect();
        maser::get(&tasks)?;
        let log = log.lock().expect("no panic");
        assert_eq!(log.len(), 300);
        let changes = log.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes >= 200, "{changes} turns: {log:?}");
        Ok(())
    });
}

#[test]
fn timers_go_off_while_tasks_keep_each_other_busy() {
    #[maser::task]
    fn busy(millis: u64) -> u64 {
        // Two tasks that hand the core to each other without end until the time is over.
        let started = Instant::now();
        let mut turns = 0;
        while started.elapsed() < Duration::from_millis(millis) {
            maser::yield_now();
            turns += 1;
        }
        turns
    }
    #[maser::task]
    fn nap(started_busy: Ref<Ref<u64>>) -> maser::Result<bool> {
        let busy = started_busy.get()?;
        maser::sleep(Duration::from_millis(1));
        Ok(!busy.is_ready())
    }
    both_ways(quiet(1), |_| {
        let one = busy::remote(1_000);
        let two = busy::remote(1_000);
        let napped = nap::remote(maser::put(maser::put(one.clone())));
        assert!(napped.get()?, "it woke while the others were at it");
        assert!(one.get()? > 0 && two.get()? > 0);
        Ok(())
    });
}
