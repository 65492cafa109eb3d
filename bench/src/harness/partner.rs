//! The helper thread on the second core.
//!
//! - PA-1 there is one, pinned, for a whole run; it sleeps between jobs, so that no two contenders
//!   ever spin on one core.
//! - PA-2 a job does a number of operations that both sides know beforehand and returns what it
//!   saw; it checks nothing itself, so it cannot end early and leave the driver waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::{BenchError, Cores};

type Job = Box<dyn FnOnce() + Send>;

/// Owner of the helper thread.
#[derive(Debug)]
pub struct Partner {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// The answer of one job.
#[derive(Debug)]
pub struct Answer<T>(Receiver<std::thread::Result<T>>);

impl Partner {
    /// Starts the thread on the run's core 1.
    pub fn start(cores: &Cores) -> Self {
        let cores = cores.clone();
        let (jobs, inbox) = channel::<Job>();
        let thread = std::thread::spawn(move || {
            // An unpinned partner would still be right, only noisier.
            let _ = cores.pin(1);
            for job in inbox {
                job();
            }
        });
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    /// Runs `job` on the second core (PA-2).
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        let (answer, result) = channel();
        let boxed: Job = Box::new(move || {
            let _ = answer.send(catch_unwind(AssertUnwindSafe(job)));
        });
        if let Some(jobs) = &self.jobs {
            // A failed send drops the answer's other end, which `join` reports.
            let _ = jobs.send(boxed);
        }
        Answer(result)
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<T> Answer<T> {
    /// Waits for the job's end.
    ///
    /// # Errors
    /// [`BenchError::Partner`] if the job panicked.
    pub fn join(self) -> Result<T, BenchError> {
        let gone = || BenchError::Partner {
            message: "the thread is gone".to_owned(),
        };
        self.0
            .recv()
            .map_err(|_| gone())?
            .map_err(|panic| BenchError::Partner {
                message: panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "no text".to_owned()),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gives_its_value_back_and_a_panic_its_text() {
        let partner = Partner::start(&Cores::usable().unwrap());
        assert_eq!(partner.run(|| 6 * 7).join().unwrap(), 42);
        let error = partner
            .run(|| -> u64 { panic!("slot lost") })
            .join()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the job on the second core panicked: slot lost"
        );
        assert_eq!(partner.run(|| 1).join().unwrap(), 1);
    }
}
