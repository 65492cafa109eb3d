//! Errors of parts as the one error type.

use super::Error;
use crate::collective::CollectiveError;
use crate::graph::record::error::RecordError;
use maser_shm::store::StoreError;
use maser_shm::tensor::TensorError;
use std::sync::Arc;

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(full) => Self::StoreFull(Arc::new(*full)),
            other => Self::Store(Arc::new(other)),
        }
    }
}

impl From<Arc<CollectiveError>> for Error {
    fn from(error: Arc<CollectiveError>) -> Self {
        Self::Collective(error)
    }
}

impl From<CollectiveError> for Error {
    fn from(error: CollectiveError) -> Self {
        Self::Collective(Arc::new(error))
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        Self::Record(Arc::new(error))
    }
}

impl From<TensorError> for Error {
    fn from(error: TensorError) -> Self {
        Self::Tensor(Arc::new(error))
    }
}
