//! Actors: state on one scheduler, methods called from anywhere.
//!
//! | file | holds |
//! |---|---|
//! | `core` | the actor's block: state, queue of calls, who runs, death |
//! | `address` | addresses of blocks between threads |
//! | `call` | making a call: its cell, and the way it takes |
//! | `elsewhere` | calls that only another process can run |
//! | `lane` | calls between two schedulers, question and answer on one cache line |
//! | `lane_out` | the caller's end of a lane |
//! | `lanes` | the lanes of a scheduler |
//! | `stalled` | calls that wait for their arguments, in the caller's order |
//! | `create` | options and construction |
//! | `handle` | `Actor<A>` |
//! | `queue` | calls that have come and not begun |
//! | `registry` | named actors |

pub(crate) mod address;
pub(crate) mod call;
mod call_options;
pub(crate) mod core;
pub(crate) mod create;
pub(crate) mod elsewhere;
pub(crate) mod handle;
pub(crate) mod lane;
pub(crate) mod lane_out;
pub(crate) mod lanes;
mod method;
mod queue;
pub(crate) mod registry;
pub(crate) mod stalled;
