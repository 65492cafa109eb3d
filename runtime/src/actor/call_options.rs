//! What may be said of one call of a method.

use crate::task::raw::Extra;
use std::ptr::null_mut;

/// Options of one call.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallOptions {
    max_task_retries: Option<i32>,
}

impl CallOptions {
    /// Nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends the call again, if it had no answer when the actor's process died, this often; -1 is
    /// without end. Wins over the option of its method and of its actor.
    #[must_use]
    pub fn max_task_retries(mut self, retries: i32) -> Self {
        self.max_task_retries = Some(retries);
        self
    }

    #[inline(always)]
    pub(super) fn extra(&self) -> *mut Extra {
        match self.max_task_retries {
            None => null_mut(),
            Some(retries) => Box::into_raw(Box::new(Extra {
                max_retries: Some(retries),
                ..Extra::default()
            })),
        }
    }
}
