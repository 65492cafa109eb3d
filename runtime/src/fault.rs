//! An error inside maser, before a user sees it.

use crate::error::Error;
use std::sync::Arc;

/// An error as cells and channels carry it: one word.
#[derive(Clone, Debug)]
pub(crate) struct Fault(pub(crate) Arc<Error>);

impl Fault {
    #[cold]
    pub(crate) fn new(error: Error) -> Self {
        Self(Arc::new(error))
    }

    #[cold]
    pub(crate) fn to_error(&self) -> Error {
        (*self.0).clone()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(error)
    }
}

/// What a value or its failure is while it travels inside maser.
pub(crate) type Outcome<T> = std::result::Result<T, Fault>;
