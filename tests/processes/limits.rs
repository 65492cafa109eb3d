//! Workers with a memory limit.

use maser::{Actor, Array, Config, Error, Isolation, Mode};

struct Eater {
    eaten: Vec<Vec<u8>>,
}

#[maser::actor]
impl Eater {
    fn new() -> Self {
        Eater { eaten: Vec::new() }
    }

    fn eat(&mut self, mib: usize) -> usize {
        for _ in 0..mib {
            self.eaten.push(vec![1; 1 << 20]);
        }
        self.eaten.len()
    }

    /// Asks for so much at once, and takes no for an answer.
    fn could_eat(&self, mib: usize) -> bool {
        let mut meal: Vec<u8> = Vec::new();
        meal.try_reserve(mib << 20).is_ok()
    }

    fn store(&mut self, mib: usize) -> usize {
        let mut array = Array::<u8>::in_store(mib << 20).unwrap();
        array.fill(1);
        array.seal().len() >> 20
    }

    fn abort(&mut self) {
        std::process::abort();
    }
}

const LIMIT: usize = 64 << 20;

fn config() -> Config {
    Config::new().num_cpus(1).mode(Mode::Silent)
}

fn eater() -> Actor<Eater> {
    let options = Eater::options().isolation(Isolation::Process);
    options.memory(LIMIT).remote()
}

#[maser::task(max_retries = 0)]
fn eat_in_a_task(mib: usize) -> usize {
    let eaten: Vec<Vec<u8>> = (0..mib).map(|_| vec![1; 1 << 20]).collect();
    eaten.len()
}

#[test]
fn an_actor_that_runs_into_its_limit_dies_of_it_and_says_so() {
    crate::run(config(), |_| {
        let eater = eater();
        assert_eq!(eater.eat().remote(8).get().unwrap(), 8);
        let error = eater.eat().remote(200).get().unwrap_err();
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
        for words in ["SIGABRT", "memory limit", "of at most 64.0 MiB", "in use"] {
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
    })
    .unwrap();
}

#[test]
fn a_large_allocation_is_refused_and_an_abort_for_another_reason_is_none_of_the_limits() {
    crate::run(config(), |_| {
        let eater = eater();
        assert!(eater.could_eat().remote(16).get().unwrap());
        assert!(!eater.could_eat().remote(256).get().unwrap());
        // The store is shared memory with a budget of its own.
        assert_eq!(eater.store().remote(128).get().unwrap(), 128);
        let other = self::eater();
        let error = other.abort().remote().get().unwrap_err();
        assert!(error.to_string().contains("SIGABRT"), "{error}");
        assert!(!error.to_string().contains("memory limit"), "{error}");
    })
    .unwrap();
}

#[test]
fn the_limit_holds_again_in_the_process_that_an_actor_comes_back_in() {
    crate::run(config(), |_| {
        let options = Eater::options().isolation(Isolation::Process);
        let eater = options.memory(LIMIT).max_restarts(1).remote();
        for _ in 0..2 {
            let error = eater.eat().remote(200).get().unwrap_err();
            assert!(error.to_string().contains("memory limit"), "{error}");
        }
    })
    .unwrap();
}

#[test]
fn a_limit_for_all_workers_holds_for_tasks() {
    let config = Config::new()
        .num_workers(1)
        .isolation(Isolation::Process)
        .worker_memory_bytes(LIMIT)
        .mode(Mode::Silent);
    crate::run(config, |_| {
        assert_eq!(eat_in_a_task::remote(8).get().unwrap(), 8);
        let error = eat_in_a_task::remote(200).get().unwrap_err();
        assert!(matches!(error, Error::WorkerCrashed { .. }), "{error}");
        assert!(error.to_string().contains("memory limit"), "{error}");
        assert_eq!(eat_in_a_task::remote(1).get().unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn a_limit_that_cannot_be_held_is_refused() {
    crate::run(config(), |_| {
        let small = Eater::options().isolation(Isolation::Process);
        for (options, words) in [
            (
                Eater::options().memory(LIMIT),
                "isolation(Isolation::Process)",
            ),
            (small.memory(1 << 20), "16777216"),
        ] {
            let error = options.remote().eat().remote(1).get().unwrap_err();
            let is_it = matches!(
                error,
                Error::InvalidArgument {
                    argument: "memory",
                    ..
                }
            );
            assert!(is_it && error.to_string().contains(words), "{error}");
        }
    })
    .unwrap();
}
