//! Memory for objects that several processes of one node see.
//!
//! | module | holds |
//! |---|---|
//! | [`extent`] | the unit in which a process takes memory and gives it back |

pub mod extent;
