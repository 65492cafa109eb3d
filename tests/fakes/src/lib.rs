//! Transports that fail on purpose.
//!
//! | module | holds |
//! |---|---|
//! | [`faulty`] | a transport over any other, which loses connections and the like as it is told |
//! | [`chance`] | numbers from a seed |
#![deny(unsafe_code)]

pub mod chance;
pub mod faulty;

pub use chance::Chance;
pub use faulty::{Faults, Faulty};
