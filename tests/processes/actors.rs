//! Actors with `Isolation::Process`: calls, errors, crashes.

use maser::{Config, Error, Isolation, Mode};

struct Echo {
    calls: u64,
}

#[maser::actor]
impl Echo {
    fn new(calls: u64) -> Self {
        Echo { calls }
    }

    fn echo(&mut self, text: String) -> String {
        self.calls += 1;
        text
    }

    fn calls(&self) -> u64 {
        self.calls
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn abort(&mut self) {
        std::process::abort();
    }

    fn fail(&self) -> Result<(), std::io::Error> {
        Err(std::io::Error::other("no disk"))
    }
}

fn echo() -> maser::Actor<Echo> {
    Echo::options().isolation(Isolation::Process).remote(7)
}

#[test]
fn a_call_is_answered_by_another_process() {
    let config = Config::new().num_cpus(1).mode(Mode::Silent);
    crate::run(config, |_| {
        let echo = echo();
        assert_ne!(echo.pid().remote().get().unwrap(), std::process::id());
        let long = "long ".repeat(1000);
        assert_eq!(echo.echo().remote("hi").get().unwrap(), "hi");
        assert_eq!(echo.echo().remote(long.clone()).get().unwrap(), long);
        assert_eq!(echo.calls().remote().get().unwrap(), 9);
    })
    .unwrap();
}

#[test]
fn an_abort_is_an_error_that_names_the_process_and_the_signal() {
    let config = Config::new().num_cpus(1).mode(Mode::Silent);
    crate::run(config, |_| {
        let echo = echo();
        let error = echo.abort().remote().get().unwrap_err();
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
        assert!(error.to_string().contains("SIGABRT"), "{error}");
        let error = echo.calls().remote().get().unwrap_err();
        assert!(error.to_string().contains("SIGABRT"), "{error}");
        let error = self::echo().fail().remote().get().unwrap_err();
        assert!(error.to_string().contains("no disk"), "{error}");
    })
    .unwrap();
}

#[test]
fn short_of_memory_the_kernel_takes_a_worker_before_the_driver() {
    let config = Config::new().num_cpus(1).mode(Mode::Silent);
    crate::run(config, |_| {
        let score = |pid: u32| -> i32 {
            let path = format!("/proc/{pid}/oom_score_adj");
            std::fs::read_to_string(path).map_or(0, |text| text.trim().parse().unwrap())
        };
        let echo = echo();
        let worker = score(echo.pid().remote().get().unwrap());
        let own = score(std::process::id());
        assert!(worker > own || own >= 300, "{worker} {own}");
    })
    .unwrap();
}

/// Writes a file when it is dropped.
struct Farewell {
    path: String,
}

#[maser::actor]
impl Farewell {
    fn new(path: String) -> Self {
        Farewell { path }
    }

    fn is_there(&self) -> bool {
        true
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        drop(std::fs::write(&self.path, "farewell"));
    }
}

#[test]
fn an_actor_is_dropped_when_the_runtime_ends() {
    let path = std::env::temp_dir().join(format!("maser-farewell-{}", std::process::id()));
    let config = Config::new().num_cpus(1).mode(Mode::Silent);
    crate::run(config, |_| {
        let text = path.to_str().unwrap().to_owned();
        let actor = Farewell::options()
            .isolation(Isolation::Process)
            .remote(text);
        assert!(actor.is_there().remote().get().unwrap());
        std::mem::forget(actor);
    })
    .unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "farewell");
    std::fs::remove_file(&path).unwrap();
}
