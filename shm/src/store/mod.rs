//! Memory for objects that several processes of one node see.
//!
//! Every process has a [`Store`] of its own and writes there alone; others map its extents and read.
//! All that decides about memory lies in the owner's private memory, so no death of a process leaves
//! anything to be repaired.
//!
//! | module | holds |
//! |---|---|
//! | [`extent`] | the unit in which a process takes memory and gives it back |
//! | [`config`], [`events`], [`error`] | what is asked for, what is told, what can go wrong |
//! | [`budget`] | what several stores take from |
//! | [`object`], [`descriptor`], [`header`] | objects, their names in messages, their marks in an extent |
//! | [`arena`] | where a thread makes objects |
//! | [`shelf`], [`spill`] | objects that may leave memory |
//! | [`spill_file`] | where they go: a file without a name |
//! | [`copy`] | copies of what is larger than the caches |
//! | [`peer`] | what other processes were given |
//! | [`foreign`] | objects of other processes |

#[cfg(not(loom))]
pub mod arena;
#[cfg(not(loom))]
mod attendant;
#[cfg(not(loom))]
pub mod budget;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
pub mod copy;
pub mod descriptor;
#[cfg(not(loom))]
pub mod error;
#[cfg(not(loom))]
pub mod events;
pub mod extent;
mod extent_error;
#[cfg(not(loom))]
pub mod foreign;
#[cfg(not(loom))]
mod ground;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
pub mod header;
#[cfg(not(loom))]
mod keys;
#[cfg(not(loom))]
pub mod object;
#[cfg(not(loom))]
pub mod peer;
#[cfg(not(loom))]
mod record;
#[cfg(not(loom))]
mod shared;
#[cfg(not(loom))]
pub mod shelf;
#[cfg(not(loom))]
pub mod spill;
#[cfg(not(loom))]
pub mod spill_file;

#[cfg(not(loom))]
pub use self::{
    arena::Arena,
    budget::Budget,
    config::{HugePages, StoreConfig},
    descriptor::Descriptor,
    error::{Holder, HolderKind, StoreError, StoreFull},
    events::StoreEvents,
    extent::ExtentError,
    foreign::{Foreign, ForeignObject, Release},
    handle::{Charge, Store, Usage},
    keys::KeyHash,
    object::{Object, ObjectMut},
    peer::PeerId,
    shared::OBJECT_BYTES_MAX,
    shelf::{Leave, Shelved},
    spill::{Spill, SpillFailure, Ticket},
};
