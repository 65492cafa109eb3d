//! Worker processes: code that runs in processes of its own.
pub(crate) mod incoming;
pub(crate) mod registry;
pub(crate) mod values;
