//! What a process had sent before it died, while its receiver is still taking it in.

use maser::prelude::*;
use maser::{Array, Config, Isolation, Mode};
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::{Mutex, PoisonError};

type Hook = Box<dyn FnOnce() + Send>;

/// Runs while the next [`Pause`] is decoded.
static HOOK: Mutex<Option<Hook>> = Mutex::new(None);

fn hook() -> std::sync::MutexGuard<'static, Option<Hook>> {
    HOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something happens while it is decoded.
#[derive(Clone, Serialize)]
struct Pause;

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <()>::deserialize(from)?;
        let hook = hook().take();
        if let Some(hook) = hook {
            hook();
        }
        Ok(Pause)
    }
}

/// Its array is decoded after the pause.
#[derive(Clone, Serialize, Deserialize)]
struct Gift {
    pause: Pause,
    array: Array<u64>,
}

struct Giver;

#[maser::actor]
impl Giver {
    fn new() -> Self {
        Giver
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn same(&self, value: u64) -> u64 {
        value
    }

    fn gift(&self) -> Gift {
        let mut array = Array::in_store(50_000).unwrap();
        for (at, to) in array.iter_mut().enumerate() {
            *to = at as u64;
        }
        Gift {
            pause: Pause,
            array: array.seal(),
        }
    }
}

#[test]
fn an_array_that_came_is_whole_though_its_owner_is_buried_while_it_is_decoded() {
    let config = Config::new().num_cpus(1).mode(Mode::Silent);
    crate::run(config, |_| {
        let giver = Giver::options().isolation(Isolation::Process).remote();
        let pid = giver.pid().remote().get()?;
        let graph = Graph::new(|x: Node<u64>| giver.same().bind(x)).compile()?;
        *hook() = Some(Box::new(move || {
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            // The keeper has seen it, and goes on to settle what the dead had.
            while !graph
                .try_execute(1)
                .is_err_and(|error| !matches!(error, Error::CapacityExceeded { .. }))
            {
                std::thread::yield_now();
            }
            (0..2_000).for_each(|_| std::thread::yield_now());
        }));
        let gift = giver.gift().remote().get()?;
        assert!(hook().is_none());
        assert_eq!(gift.array.len(), 50_000);
        assert!(gift.array.iter().enumerate().all(|(at, &x)| at as u64 == x));
        let dead = giver.pid().remote().get().unwrap_err();
        assert!(dead.to_string().contains("SIGKILL"), "{dead}");
        drop(gift);
        Ok::<(), Error>(())
    })
    .unwrap()
    .unwrap();
}
