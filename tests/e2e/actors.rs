//! Calls of actors: order, concurrency, arguments and results, from every side.

use std::cell::RefCell;
use std::rc::Rc;

use maser::{Actor, Ref};
use maser_tests::{beside_runtime, both_ways, quiet};

use crate::support::{Refused, gate, held};

/// Remembers who said what, in order.
pub(crate) struct Log {
    // Neither Send nor Sync: the state never leaves its scheduler.
    lines: Rc<RefCell<Vec<(u64, u64)>>>,
}

#[maser::actor]
impl Log {
    pub(crate) fn new() -> Self {
        Log {
            lines: Rc::default(),
        }
    }
    pub(crate) fn note(&mut self, caller: u64, number: u64) -> u64 {
        self.lines.borrow_mut().push((caller, number));
        number
    }
    pub(crate) fn all(&self) -> Vec<(u64, u64)> {
        self.lines.borrow().clone()
    }
    pub(crate) fn count(&self) -> u64 {
        self.lines.borrow().len() as u64
    }
}

#[maser::task]
fn same(x: u64) -> u64 {
    x
}

/// Calls `note` with numbers from 0 on; some arguments are there, some come later.
fn write(log: &Actor<Log>, caller: u64, count: u64) -> Vec<Ref<u64>> {
    (0..count)
        .map(|number| match number % 7 {
            1 => log.note().remote(caller, same::remote(number)),
            3 => log.note().remote(same::remote(caller), number),
            5 => log.note().remote(caller, maser::put(number)),
            _ => log.note().remote(caller, number),
        })
        .collect()
}

#[maser::task]
fn write_many(log: Actor<Log>, caller: u64, count: u64) -> maser::Result<Vec<u64>> {
    maser::get(&write(&log, caller, count))
}

fn assert_in_order(lines: &[(u64, u64)], callers: u64, count: u64) {
    for caller in 0..callers {
        let numbers = lines
            .iter()
            .filter(|line| line.0 == caller)
            .map(|line| line.1);
        assert!(numbers.eq(0..count), "caller {caller}: {lines:?}");
    }
}

#[test]
fn calls_of_one_caller_run_in_order_on_the_same_and_on_another_scheduler() {
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let log = Log::options().scheduler(home).remote();
            let noted = maser::get(&write(&log, 0, 500))?;
            assert!(noted.into_iter().eq(0..500));
            assert_in_order(&log.all().remote().get()?, 1, 500);
        }
        Ok(())
    });
}

#[test]
fn calls_of_many_tasks_run_in_the_order_of_each() {
    for schedulers in [1, 2, 3] {
        both_ways(quiet(schedulers), |_| {
            let log = Log::remote();
            let writers: Vec<_> = (0..10)
                .map(|caller| write_many::remote(log.clone(), caller, 100))
                .collect();
            maser::get(&writers)?;
            assert_in_order(&log.all().remote().get()?, 10, 100);
            Ok(())
        });
    }
}

#[test]
fn calls_of_many_threads_run_in_the_order_of_each() {
    beside_runtime(quiet(2), |_| {
        let log = Log::remote();
        std::thread::scope(|scope| {
            for caller in 0..4 {
                let log = &log;
                scope.spawn(move || maser::get(&write(log, caller, 500)).expect("all succeed"));
            }
        });
        assert_in_order(&log.all().remote().get().expect("it lives"), 4, 500);
    });
}

#[test]
fn calls_wait_behind_one_whose_argument_is_not_there_yet() {
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let gate = gate();
            let closed = gate.lock()?;
            let log = Log::options().scheduler(home).remote();
            let first = log.note().remote(0, 0);
            let stalled = log.note().remote(0, held::remote(gate.clone(), 1));
            let behind: Vec<_> = (2..200)
                .map(|number| log.note().remote(0, number))
                .collect();
            assert_eq!(first.get()?, 0, "what came before is not held up");
            // Another caller is not held up either.
            write_many::remote(log.clone(), 1, 10).get()?;
            assert!(behind.iter().all(|call| !call.is_ready()));
            drop(closed);
            assert_eq!(stalled.get()?, 1);
            maser::get(&behind)?;
            assert_in_order(&log.all().remote().get()?, 1, 200);
        }
        Ok(())
    });
}

#[test]
fn a_call_whose_argument_failed_is_not_run_and_holds_nobody_up() {
    #[maser::task]
    fn refuse(x: u64) -> Result<u64, Refused> {
        Err(Refused(x))
    }
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let log = Log::options().scheduler(home).remote();
            let failed = log.note().remote(0, refuse::remote(5));
            let next = log.note().remote(0, 1);
            let error = failed.get().expect_err("its argument failed");
            assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(5)));
            assert!(
                error.to_string().contains("Log::note argument 1"),
                "{error}"
            );
            assert_eq!(next.get()?, 1);
            assert_eq!(log.all().remote().get()?, [(0, 1)]);
        }
        Ok(())
    });
}

#[test]
fn far_more_calls_may_be_outstanding_than_a_lane_has_places() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let log = Log::options().scheduler(schedulers - 1).remote();
            let calls: Vec<_> = (0..5_000)
                .map(|number| log.note().remote(0, number))
                .collect();
            assert!(maser::get(&calls)?.into_iter().eq(0..5_000));
            for number in 5_000..10_000 {
                drop(log.note().remote(0, number));
            }
            assert_eq!(
                log.count().remote().get()?,
                10_000,
                "calls that nobody awaits run too"
            );
            assert_in_order(&log.all().remote().get()?, 1, 10_000);
            Ok(())
        });
    }
}

#[test]
fn both_directions_between_two_schedulers_are_used_at_once() {
    #[maser::task]
    fn drive(log: Actor<Log>, caller: u64) -> maser::Result<()> {
        for round in 0..20 {
            let calls: Vec<_> = (0..100)
                .map(|at| log.note().remote(caller, 100 * round + at))
                .collect();
            maser::get(&calls)?;
        }
        Ok(())
    }
    both_ways(quiet(2), |_| {
        let logs = [0, 1].map(|home| Log::options().scheduler(home).remote());
        let drivers: Vec<_> = (0..4)
            .map(|at| {
                let log = logs[at % 2].clone();
                drive::options()
                    .scheduler((at + at / 2) % 2)
                    .remote(log, at as u64)
            })
            .collect();
        maser::get(&drivers)?;
        for log in &logs {
            assert_eq!(log.count().remote().get()?, 4_000);
        }
        Ok(())
    });
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
struct Line([u8; 64]);

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(256))]
struct Wide(u8);

struct Mirror;

#[maser::actor(local)]
impl Mirror {
    fn new() -> Self {
        Mirror
    }
    fn nothing(&self) {}
    fn byte(&self, x: u8) -> u8 {
        x
    }
    fn four_words(&self, x: [u64; 4]) -> [u64; 4] {
        x
    }
    fn five_words(&mut self, x: [u64; 5]) -> [u64; 5] {
        x
    }
    fn six_words(&self, x: [u64; 6]) -> [u64; 6] {
        x
    }
    fn seven_words(&mut self, x: [u64; 7]) -> [u64; 7] {
        x
    }
    fn large(&self, x: [u64; 200]) -> [u64; 200] {
        x
    }
    fn u128(&self, x: u128) -> u128 {
        x
    }
    fn line(&mut self, x: Line) -> Line {
        x
    }
    fn wide(&self, x: Wide, y: u8) -> (u8, Wide) {
        (y, x)
    }
    fn text(&self, x: &str) -> String {
        x.to_owned()
    }
    fn many(&self, a: u8, b: u16, c: u32, d: u64, e: String, f: Option<u8>) -> String {
        format!("{a} {b} {c} {d} {e} {f:?}")
    }
    #[maser(num_returns = 3)]
    fn three(&mut self, x: u64) -> (u64, String, Line) {
        (x, x.to_string(), Line([x as u8; 64]))
    }
}

fn mirrors(mirror: &Actor<Mirror>) -> maser::Result<()> {
    mirror.nothing().remote().get()?;
    for round in 0..100_u64 {
        let byte = round as u8;
        assert_eq!(mirror.byte().remote(byte).get()?, byte);
        assert_eq!(mirror.four_words().remote([round; 4]).get()?, [round; 4]);
        assert_eq!(mirror.five_words().remote([round; 5]).get()?, [round; 5]);
        assert_eq!(mirror.six_words().remote([round; 6]).get()?, [round; 6]);
        assert_eq!(mirror.seven_words().remote([round; 7]).get()?, [round; 7]);
        assert_eq!(mirror.large().remote([round; 200]).get()?, [round; 200]);
        let wide = u128::from(round) << 100;
        assert_eq!(mirror.u128().remote(wide).get()?, wide);
        assert_eq!(
            mirror.line().remote(Line([byte; 64])).get()?,
            Line([byte; 64])
        );
        let (y, x) = mirror.wide().remote(Wide(byte), 7).get()?;
        assert_eq!((x, y), (Wide(byte), 7));
        assert_eq!(mirror.text().remote("text").get()?, "text");
        let many = mirror.many().remote(1, 2, 3, 4, "five", Some(6));
        assert_eq!(many.get()?, "1 2 3 4 five Some(6)");
        let (a, b, c) = mirror.three().remote(round);
        assert_eq!((a.get()?, b.get()?), (round, round.to_string()));
        assert_eq!(c.get()?, Line([byte; 64]));
    }
    let line = maser::put(Line([9; 64]));
    assert_eq!(mirror.line().remote(&line).get()?, Line([9; 64]));
    let kept = mirror.wide().remote(Wide(3), 1);
    assert_eq!(std::ptr::from_ref(&kept.read()?.1).addr() % 256, 0);
    Ok(())
}

#[test]
fn arguments_and_results_of_any_size_and_alignment_arrive_whole() {
    #[maser::task(local)]
    fn from_a_task(mirror: Actor<Mirror>) -> maser::Result<()> {
        mirrors(&mirror)
    }
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let mirror = Mirror::options().scheduler(home).remote();
            mirrors(&mirror)?;
            for from in [0, 1] {
                from_a_task::options()
                    .scheduler(from)
                    .remote(mirror.clone())
                    .get()?;
            }
        }
        Ok(())
    });
}
