//! Streams whose producer is in another process, and calls that are cancelled there.

use maser::{Actor, Config, Error, Isolation, Mode};
use std::time::Duration;

fn isolated() -> Config {
    Config::new()
        .num_workers(1)
        .isolation(Isolation::Process)
        .mode(Mode::Silent)
}

struct Source {
    made: u64,
}

#[maser::actor]
impl Source {
    fn new() -> Self {
        Source { made: 0 }
    }

    #[maser(stream)]
    fn count(&mut self, to: u64) -> impl Iterator<Item = u64> {
        let made = &mut self.made;
        (0..to).inspect(move |_| *made += 1)
    }

    #[maser(stream)]
    fn fails_at(&mut self, at: u64) -> impl Iterator<Item = Result<u64, String>> {
        (0..).map(move |n| {
            if n == at {
                Err(format!("no {n}"))
            } else {
                Ok(n)
            }
        })
    }

    fn made(&self) -> u64 {
        self.made
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn sleeps(&self) {
        maser::sleep(Duration::from_secs(3600));
    }
}

#[maser::task(stream)]
fn upto(to: u64) -> impl Iterator<Item = (u64, String)> {
    (0..to).map(|n| (n, "x".repeat(n as usize)))
}

#[maser::task]
fn sleeps() {
    maser::sleep(Duration::from_secs(3600));
}

fn kill_9(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn source() -> Actor<Source> {
    Source::options().isolation(Isolation::Process).remote()
}

#[test]
fn a_task_of_another_process_gives_its_items_in_order() {
    crate::run(isolated(), |_| {
        let items: Result<Vec<_>, _> = upto::remote(200).map(|item| item.get()).collect();
        let items = items.unwrap();
        assert_eq!(items.len(), 200);
        for (n, (number, text)) in items.into_iter().enumerate() {
            assert_eq!((number as usize, text.len()), (n, n));
        }
    })
    .unwrap();
}

#[test]
fn an_error_is_the_last_item_and_a_crash_too() {
    crate::run(Config::new().num_cpus(1).mode(Mode::Silent), |_| {
        let source = source();
        let pid = source.pid().remote().get().unwrap();
        let items: Vec<_> = source.fails_at().remote(3).map(|item| item.get()).collect();
        assert_eq!(items.len(), 4);
        let error = items[3].as_ref().unwrap_err().to_string();
        assert!(error.contains("no 3"), "{error}");
        let mut endless = source.fails_at().remote(u64::MAX);
        assert_eq!(endless.next().unwrap().get().unwrap(), 0);
        kill_9(pid);
        let last = endless.last().unwrap().get().unwrap_err();
        assert!(matches!(last, Error::ActorDied { .. }), "{last}");
        let items: Vec<_> = source.count().remote(3).map(|item| item.get()).collect();
        let [Err(error)] = &items[..] else {
            panic!("a stream of a dead actor: {items:?}");
        };
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
    })
    .unwrap();
}

#[test]
fn a_producer_does_not_run_ahead_of_its_consumer_and_ends_with_it() {
    crate::run(Config::new().num_cpus(1).mode(Mode::Silent), |_| {
        let source = source();
        let mut items = source.count().remote(1_000_000);
        for n in 0..100 {
            assert_eq!(items.next().unwrap().get().unwrap(), n);
        }
        drop(items);
        let made = source.made().remote().get().unwrap();
        assert!((100..=140).contains(&made), "{made}");
    })
    .unwrap();
}

#[test]
fn what_runs_in_another_process_ends_when_it_is_cancelled() {
    crate::run(isolated(), |_| {
        let slow = sleeps::remote();
        while !slow.cancel() {}
        assert!(matches!(slow.get(), Err(Error::Cancelled { .. })));
        let source = source();
        let slow = source.sleeps().remote();
        assert!(slow.cancel());
        assert!(matches!(slow.get(), Err(Error::Cancelled { .. })));
        assert_eq!(source.made().remote().get().unwrap(), 0);
    })
    .unwrap();
}
