//! Objects: immutable values named by a [`Ref`](reference::Ref).
//!
//! | file | holds |
//! |---|---|
//! | `reference` | `Ref<T>`: get, take, read, clone, drop |
//! | `select` | `put`, `get` of many, `wait` |
//! | `future` | `Ref<T>: IntoFuture` for any executor |
//! | `codec` | refs and handles inside values |
//! | `when_done` | something to do when a value is there |

pub mod codec;
pub(crate) mod future;
pub(crate) mod reference;
pub(crate) mod select;
pub(crate) mod when_done;
