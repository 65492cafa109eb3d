//! Two ends that are connected.

use std::sync::Arc;
use std::time::{Duration, Instant};

use maser_shm::sync::atomic::{AtomicBool, Ordering};
use maser_transport::{Endpoint, Event, Transport};

use super::net::{At, Net};
use super::side::{Idle, Side};
use crate::harness::{Answer, BenchError, Window};

/// What two ends of one machine need at most to find each other.
const CONNECT: Duration = Duration::from_secs(20);

/// See the module's page.
pub struct Pair<T> {
    name: &'static str,
    here: T,
    to_there: Endpoint,
    /// Not here while the helper has it (NP-1).
    there: Option<T>,
    to_here: Endpoint,
    idle: Idle,
    began: Instant,
}

/// Which side does nothing any more.
#[derive(Default)]
struct Over {
    here: AtomicBool,
    there: AtomicBool,
}

/// The far end at work.
#[must_use = "its answer says whether the work was done, and it has the end"]
pub struct Working<T, R> {
    answer: Answer<(T, Result<R, String>)>,
    over: Arc<Over>,
}

/// Tells that the far side ended, however it does.
struct TellsEnd(Arc<Over>);

impl Drop for TellsEnd {
    fn drop(&mut self) {
        self.0.there.store(true, Ordering::Release);
    }
}

impl<T: Transport + 'static> Pair<T> {
    /// Connects `here` to `there`.
    ///
    /// # Errors
    /// The transport's.
    pub fn connect(
        name: &'static str,
        net: &Net,
        idle: Idle,
        [mut here, mut there]: [T; 2],
    ) -> Result<Self, BenchError> {
        let failed = |why: String| BenchError::contender(name, why);
        let began = Instant::now();
        let address = there.address();
        let to_there = net
            .within(At::Here, || here.connect(&address))?
            .map_err(|error| failed(error.to_string()))?;
        let (mut is_connected, mut accepted) = (false, None);
        loop {
            let now_ns = began.elapsed().as_nanos() as u64;
            for end in [&mut here, &mut there] {
                end.advance(now_ns);
                match end.poll() {
                    Some(Event::Connected { .. }) => is_connected = true,
                    Some(Event::Accepted { endpoint }) => accepted = Some(endpoint),
                    Some(Event::Ended { reason, .. }) => return Err(failed(reason.to_string())),
                    _ => {}
                }
            }
            if let (true, Some(to_here)) = (is_connected, accepted) {
                return Ok(Self {
                    name,
                    here,
                    to_there,
                    there: Some(there),
                    to_here,
                    idle,
                    began,
                });
            }
            if began.elapsed() > CONNECT {
                return Err(failed(format!("not connected after {CONNECT:?}")));
            }
        }
    }

    /// Name of the contender that has it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Both ends, before the first window.
    pub fn ends(&mut self) -> Option<(&mut T, &mut T)> {
        Some((&mut self.here, self.there.as_mut()?))
    }

    /// Has the far end do `job` on the other core while `drive` is done with the near one; what both gave.
    ///
    /// # Errors
    /// That of either.
    pub fn both<R, S: Send + 'static>(
        &mut self,
        window: &mut Window<'_>,
        job: impl FnOnce(&mut Side<'_, T>) -> Result<S, String> + Send + 'static,
        drive: impl FnOnce(&mut Side<'_, T>, &mut Window<'_>) -> Result<R, String>,
    ) -> Result<(R, S), BenchError> {
        let (name, idle, peer) = (self.name, self.idle, self.to_here);
        let lost = || BenchError::contender(name, "its far end was lost in a window that failed");
        let mut there = self.there.take().ok_or_else(lost)?;
        let now_ns = self.began.elapsed().as_nanos() as u64;
        self.here.advance(now_ns);
        there.advance(now_ns);
        let (over, waker) = (Arc::<Over>::default(), there.waker());
        let told = Arc::clone(&over);
        let answer = window.partner().run(move || {
            let tells = TellsEnd(told);
            let mut side = Side {
                end: &mut there,
                peer,
                idle,
                is_alone: &tells.0.here,
            };
            let outcome = job(&mut side);
            if outcome.is_ok() {
                side.rest();
            }
            (there, outcome)
        });
        let working = Working { answer, over };
        let mut side = Side {
            end: &mut self.here,
            peer: self.to_there,
            idle,
            is_alone: &working.over.there,
        };
        let driven = drive(&mut side, window);
        working.over.here.store(true, Ordering::Release);
        waker.wake();
        let (there, outcome) = working.answer.join()?;
        self.there = Some(there);
        // Why the far one failed is why the near one was left alone.
        let served = outcome.map_err(|why| BenchError::contender(name, format!("there: {why}")))?;
        let driven = driven.map_err(|why| BenchError::contender(name, why))?;
        Ok((driven, served))
    }
}
