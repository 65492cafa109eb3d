//! Memory for objects that several processes of one node see.
//!
//! | module | holds |
//! |---|---|
//! | [`extent`] | the unit in which a process takes memory and gives it back |
//! | [`spill_file`] | where cold objects go while there is no room for them in memory |

pub mod extent;
pub mod spill_file;
