//! Streams of tasks and methods: order, back-pressure, and how they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use maser::{Error, RefStream};
use maser_tests::{both_ways, quiet};

use crate::support::{Count, Counted, Gate, Refused, gate};

/// Values that lie between producer and consumer at most.
const WINDOW: u64 = 16;

#[maser::task(stream)]
fn count_to(n: u64) -> impl Iterator<Item = u64> {
    0..n
}

fn values<T: Clone + Send + Sync>(stream: RefStream<T>) -> maser::Result<Vec<T>> {
    stream.map(|item| item.get()).collect()
}

#[test]
fn a_stream_gives_every_value_in_order_and_then_ends() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            for n in [0, 1, 16, 17, 1_000] {
                assert_eq!(values(count_to::remote(n))?, (0..n).collect::<Vec<_>>());
            }
            let mut stream = count_to::remote(1);
            assert!(stream.next().is_some());
            for _ in 0..3 {
                assert!(stream.next().is_none(), "the end stays the end");
            }
            Ok(())
        });
    }
}

#[test]
fn many_streams_flow_at_once() {
    both_ways(quiet(2), |_| {
        let mut streams: Vec<_> = (0..20).map(|_| count_to::remote(100)).collect();
        for expected in 0..100 {
            for stream in &mut streams {
                let item = stream.next().expect("there are a hundred");
                assert_eq!(item.get()?, expected);
            }
        }
        assert!(streams.iter_mut().all(|stream| stream.next().is_none()));
        Ok(())
    });
}

#[maser::task(local, stream)]
fn counted(made: Arc<AtomicU64>, guard: Counted) -> impl Iterator<Item = u64> {
    (0..).inspect(move |_| {
        let _held = &guard;
        made.fetch_add(1, Ordering::AcqRel);
    })
}

#[test]
fn a_producer_runs_ahead_by_the_window_and_no_further() {
    both_ways(quiet(2), |_| {
        let made = Arc::new(AtomicU64::new(0));
        let count = Count::default();
        let mut stream = counted::remote(made.clone(), count.make());
        for taken in 0..100 {
            // One more is made, which waits for its place.
            while made.load(Ordering::Acquire) < taken + WINDOW + 1 {
                maser::yield_now();
            }
            for _ in 0..10 {
                maser::yield_now();
                assert_eq!(made.load(Ordering::Acquire), taken + WINDOW + 1);
            }
            assert_eq!(stream.next().expect("it has no end").get()?, taken);
        }
        Ok(())
    });
}

#[test]
fn a_dropped_stream_ends_its_producer() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let count = Count::default();
            for taken in [0, 1, 40] {
                let mut stream = counted::remote(Arc::default(), count.make());
                for _ in 0..taken {
                    stream.next().expect("it has no end").get()?;
                }
                drop(stream);
                count.wait_for_alive(0);
            }
            Ok(())
        });
    }
}

#[maser::task(stream)]
fn breaks_off(after: u64) -> impl Iterator<Item = Result<u64, Refused>> {
    (0..).map(move |x| if x < after { Ok(x) } else { Err(Refused(x)) })
}

#[maser::task(stream)]
fn falls(after: u64) -> impl Iterator<Item = u64> {
    (0..).inspect(move |x| assert!(*x < after, "fallen at {x}"))
}

#[maser::task(stream)]
fn never_opens(x: u64) -> Result<Vec<u64>, Refused> {
    Err(Refused(x))
}

/// The values before the last item, which is an error, and nothing after it.
fn ends_with_an_error(mut stream: RefStream<u64>) -> (u64, Error) {
    let mut count = 0;
    loop {
        match stream.next().expect("an error is the last item").get() {
            Ok(x) => {
                assert_eq!(x, count);
                count += 1;
            }
            Err(error) => {
                assert!(stream.next().is_none(), "nothing comes after {error}");
                return (count, error);
            }
        }
    }
}

#[test]
fn an_error_is_the_last_item() {
    both_ways(quiet(2), |_| {
        for after in [0, 5, 16, 50] {
            let (count, error) = ends_with_an_error(breaks_off::remote(after));
            assert_eq!(count, after);
            assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(after)));
            let (count, error) = ends_with_an_error(falls::remote(after));
            assert_eq!(count, after);
            assert!(
                error.to_string().contains(&format!("fallen at {after}")),
                "{error}"
            );
        }
        let (count, error) = ends_with_an_error(never_opens::remote(7));
        assert_eq!(count, 0);
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(7)));
        Ok(())
    });
}

#[test]
fn an_argument_that_failed_is_the_only_item() {
    #[maser::task]
    fn refuse(x: u64) -> Result<u64, Refused> {
        Err(Refused(x))
    }
    both_ways(quiet(2), |_| {
        let (count, error) = ends_with_an_error(count_to::remote(refuse::remote(3)));
        assert_eq!(count, 0);
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(3)));
        Ok(())
    });
}

#[maser::task(local, stream)]
fn one_then_held(gate: Gate) -> impl Iterator<Item = maser::Result<u64>> {
    [0, 1].into_iter().map(move |x| {
        if x == 1 {
            drop(gate.lock()?);
        }
        Ok(x)
    })
}

#[test]
fn the_next_value_can_be_waited_for_with_a_limit() {
    both_ways(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let mut stream = one_then_held::remote(gate.clone());
        let long = Duration::from_secs(3600);
        let first = stream.next_timeout(long)?.expect("there are two");
        assert_eq!(first.get()?, 0);
        let error = stream.next_timeout(Duration::from_millis(2));
        let error = error.expect_err("the gate is closed");
        assert!(
            error.is_timeout() && error.to_string().contains("one_then_held"),
            "{error}"
        );
        drop(closed);
        let second = stream.next_timeout(long)?.expect("there are two");
        assert_eq!(second.get()?, 1);
        assert!(stream.next_timeout(long)?.is_none());
        Ok(())
    });
}

#[test]
fn a_stream_that_can_no_longer_be_waited_for_ends() {
    #[maser::task(local)]
    fn reads_on(gate: Gate, started: Arc<AtomicU64>) -> u64 {
        let mut errors = 0;
        started.fetch_add(1, Ordering::AcqRel);
        for item in one_then_held::remote(gate) {
            // Careless: it reads on though it was told that it is over.
            errors += u64::from(item.get().is_err());
        }
        errors
    }
    both_ways(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let started = Arc::new(AtomicU64::new(0));
        let reading = reads_on::remote(gate.clone(), started.clone());
        while started.load(Ordering::Acquire) == 0 {
            maser::yield_now();
        }
        assert!(reading.cancel());
        assert!(reading.get().is_ok_and(|errors| errors >= 1));
        drop(closed);
        Ok(())
    });
}

#[maser::task]
fn sum_of_stream(n: u64) -> maser::Result<u64> {
    let mut sum = 0;
    for item in count_to::remote(n) {
        sum += item.get()?;
    }
    Ok(sum)
}

#[maser::task]
fn double(x: u64) -> u64 {
    2 * x
}

#[test]
fn streams_feed_tasks_and_are_read_by_tasks_and_threads() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let doubled: Vec<_> = count_to::remote(100).map(double::remote).collect();
            assert_eq!(maser::get(&doubled)?.into_iter().sum::<u64>(), 9_900);
            let sums: Vec<_> = (0..10).map(|_| sum_of_stream::remote(100)).collect();
            assert_eq!(maser::get(&sums)?, [4_950; 10]);
            Ok(())
        });
    }
    both_ways(quiet(2), |_| {
        let stream = count_to::remote(1_000);
        let read = std::thread::spawn(move || values(stream));
        // The producer runs on one of the schedulers; this one may be blocked.
        let got = loop {
            if read.is_finished() {
                break read.join().expect("no panic")?;
            }
            maser::yield_now();
        };
        assert_eq!(got.len(), 1_000);
        Ok(())
    });
}

struct Shelf {
    books: Vec<String>,
}

#[maser::actor]
impl Shelf {
    fn new(count: u64) -> Self {
        Shelf {
            books: (0..count).map(|at| format!("book {at}")).collect(),
        }
    }
    #[maser(stream)]
    fn list(&self) -> impl Iterator<Item = String> {
        self.books.iter().cloned()
    }
    #[maser(stream)]
    fn clear(&mut self) -> impl Iterator<Item = String> {
        self.books.drain(..)
    }
    #[maser(stream)]
    fn list_with_gaps(&self, gap: u64) -> impl Iterator<Item = Result<String, Refused>> {
        let books = self.books.iter().enumerate();
        books.map(move |(at, book)| match at as u64 == gap {
            true => Err(Refused(gap)),
            false => Ok(book.clone()),
        })
    }
    fn count(&self) -> usize {
        self.books.len()
    }
}

#[test]
fn methods_stream_what_their_state_holds() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let shelf = Shelf::remote(100);
            let expected: Vec<_> = (0..100).map(|at| format!("book {at}")).collect();
            assert_eq!(values(shelf.list().remote())?, expected);
            let gapped: Vec<_> = shelf
                .list_with_gaps()
                .remote(30)
                .map(|item| item.get())
                .collect();
            assert_eq!(gapped.len(), 31);
            assert!(gapped[30].is_err() && gapped[..30].iter().all(Result::is_ok));
            let mut cleared = shelf.clear().remote();
            assert_eq!(
                cleared.next().expect("there are a hundred").get()?,
                "book 0"
            );
            drop(cleared);
            assert_eq!(
                shelf.count().remote().get()?,
                0,
                "the drain ends with its iterator"
            );
            Ok(())
        });
    }
}

#[test]
fn the_stream_of_an_actor_that_dies_ends_with_its_death() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let shelf = Shelf::remote(1_000);
            let mut running = shelf.list().remote();
            running.next().expect("there are a thousand").get()?;
            let queued = shelf.clear().remote();
            maser::kill(&shelf);
            let last = running.last().expect("it ends with an error").get();
            assert!(
                matches!(&last, Err(error) if matches!(error.root(), Error::ActorDied { .. })),
                "{last:?}"
            );
            let items: Vec<_> = queued.map(|item| item.get()).collect();
            assert_eq!(items.len(), 1);
            assert!(
                matches!(&items[0], Err(Error::ActorDied { .. })),
                "{items:?}"
            );
            Ok(())
        });
    }
}
