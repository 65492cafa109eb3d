//! Objects: immutable values named by a [`Ref`](reference::Ref).
//!
//! | file | holds |
//! |---|---|
//! | `reference` | `Ref<T>`: get, take, read, clone, drop |
//! | `select` | `put`, `get` of many |
//! | `ready` | what can be waited for |
//! | `wait`, `wait_future` | `wait` and `select` |
//! | `future` | `Ref<T>: IntoFuture` for any executor |
//! | `codec` | refs and handles inside values |
//! | `array`, `bytes` | numbers that are shared without being copied |
//! | `tensor`, `tensor_text` | numbers in a shape |
//! | `buffer` | the memory they lie in |
//! | `beside` | how it comes through the codec |
//! | `number` | what other serialisers see |
//! | `store` | the store of the running node |
//! | `shelved` | arrays that may leave memory |
//! | `when_done` | something to do when a value is there |

pub(crate) mod array;
pub(crate) mod beside;
pub(crate) mod buffer;
pub(crate) mod bytes;
pub mod codec;
pub(crate) mod future;
mod number;
pub(crate) mod ready;
pub(crate) mod reference;
pub(crate) mod scope;
pub(crate) mod select;
pub(crate) mod shelved;
pub(crate) mod store;
pub(crate) mod tensor;
mod tensor_text;
pub(crate) mod wait;
pub(crate) mod wait_future;
pub(crate) mod when_done;
