//! Memory whose allocation costs no system call and no lock when warm.
//!
//! | module | holds |
//! |---|---|
//! | [`pool`] | blocks of five sizes for task cells and other small, short-lived things |
//! | [`space`] | where objects lie in extents; [`classes`] are their sizes, [`runs`] the granules of one extent |
//! | [`remote`] | what other threads give back |

pub mod classes;
pub mod pool;
pub mod remote;
pub mod runs;
pub mod space;
