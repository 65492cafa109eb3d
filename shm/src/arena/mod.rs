//! Memory whose allocation costs no system call and no lock when warm.
//!
//! | module | holds |
//! |---|---|
//! | [`pool`] | blocks of five sizes for task cells and other small, short-lived things |

pub mod pool;
