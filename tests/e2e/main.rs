//! The runtime from outside, in one process: what programs written against it may rely on.
//!
//! | file | covers |
//! |---|---|
//! | [`seed_003`] | the programs of the tutorial |
//! | [`seed_004`] | the programs of the API's description |

mod seed_003;
mod seed_004;
