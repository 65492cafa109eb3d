//! Tasks: functions that run somewhere else and give a ref at once.
//!
//! | file | holds |
//! |---|---|
//! | `raw` | the cell: arguments before, result after |
//! | `spawn` | making and starting a task |
//! | `args` | values and refs as arguments |
//! | `dependencies` | waiting for arguments |
//! | `cancel` | cancelling what has not started |
//! | `returns` | several results |
//! | `stream` | a stream of results |
//! | `failure` | how a function failed |
//! | `meta`, `options` | what the attribute and the call say |
//! | `asked` | options as bytes, for another process |
//! | `retry` | running a task again after an error of its own |
//! | `portable` | inline mode: values through bytes and back |

pub(crate) mod args;
mod asked;
pub(crate) mod cancel;
pub(crate) mod dependencies;
pub(crate) mod failure;
pub(crate) mod meta;
pub(crate) mod options;
pub(crate) mod portable;
pub(crate) mod raw;
pub(crate) mod retry;
pub(crate) mod returns;
pub(crate) mod spawn;
pub(crate) mod stream;
