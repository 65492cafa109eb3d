//! What an end does in a window.

use std::time::Duration;

use maser_shm::sync::atomic::{AtomicBool, Ordering};
use maser_shm::sync::hint::spin_loop;
use maser_transport::{Endpoint, Event, Message, Refusal, Token, Transport, WorkRequest};

/// Empty looks between two looks for the other side's failure (NP-3).
const LOOKS: u32 = 1024;
/// The same for a side that sleeps.
const SLEEP: Duration = Duration::from_millis(500);

/// What an end does while nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Looks again.
    Spin,
    /// Sleeps until something comes.
    Park,
}

/// An end at work.
pub struct Side<'a, T> {
    /// The end.
    pub end: &'a mut T,
    /// What it calls the other one.
    pub peer: Endpoint,
    pub(super) idle: Idle,
    /// The other side does nothing any more (NP-3).
    pub(super) is_alone: &'a AtomicBool,
}

impl<T: Transport> Side<'_, T> {
    /// Polls until `wanted` takes an event; others are passed over.
    ///
    /// # Errors
    /// Why it will not come.
    #[inline]
    pub fn until<R>(&mut self, mut wanted: impl FnMut(Event) -> Option<R>) -> Result<R, String> {
        let mut looks = 0_u32;
        loop {
            match self.end.poll() {
                Some(Event::Ended { reason, .. }) => return Err(reason.to_string()),
                Some(event) => {
                    if let Some(found) = wanted(event) {
                        return Ok(found);
                    }
                }
                None => {
                    looks = looks.wrapping_add(1);
                    if self.idle == Idle::Spin {
                        spin_loop();
                        if !looks.is_multiple_of(LOOKS) {
                            continue;
                        }
                    } else {
                        self.sleep()?;
                    }
                    if self.is_alone.load(Ordering::Acquire) {
                        return Err("the other side ended".to_owned());
                    }
                }
            }
        }
    }

    fn sleep(&mut self) -> Result<(), String> {
        let slept = self.end.wait(Some(SLEEP));
        slept.map_err(|error| error.to_string())
    }

    /// The next message.
    ///
    /// # Errors
    /// Why none will come.
    #[inline]
    pub fn message(&mut self) -> Result<Message, String> {
        self.until(|event| match event {
            Event::Message { message, .. } => Some(message),
            _ => None,
        })
    }

    /// Posts `request`, as soon as there is room.
    ///
    /// # Errors
    /// The refusal.
    #[inline]
    pub fn post(&mut self, request: WorkRequest, token: Option<Token>) -> Result<(), String> {
        let mut request = request;
        loop {
            let Err(refused) = self.end.post(self.peer, request, token) else {
                return Ok(());
            };
            if !matches!(refused.refusal, Refusal::Full { .. }) {
                return Err(refused.to_string());
            }
            request = refused.request;
            self.until(|event| matches!(event, Event::Writable { .. }).then_some(()))?;
        }
    }

    /// Polls until the driver has all it waited for (NP-2).
    pub(super) fn rest(&mut self) {
        while !self.is_alone.load(Ordering::Acquire) {
            if self.end.poll().is_none() {
                match self.idle {
                    Idle::Spin => spin_loop(),
                    // Nothing is lost if it cannot: it looks again.
                    Idle::Park => drop(self.sleep()),
                }
            }
        }
    }
}
