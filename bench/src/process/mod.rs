//! A second process for everything that lies between processes.
//!
//! | file | holds |
//! |---|---|
//! | `partner` | the first process's side: starting it, giving it work |
//! | `serve` | the second process's side |
//! | `setup` | what the second process can be asked to be |
//! | `frame` | the messages between them |
//! | `board` | words and bytes that both of them write |
//! | `handover` | objects of the store on their way there and back |
//! | `in_place` | objects that each side writes and the other reads |
//! | `rings` | what both of these travel over |
//! | `readers` | channels with several readers, or several channels |
//! | `payload` | what is written into objects and read out of them |
//!
//! - QX-1 there is one second process at a time, pinned to the run's core 1; only a row that is about
//!   several readers has several (QR-1). Between windows it sleeps in a read of its socket, so that no
//!   two contenders ever spin on one core.
//! - QX-2 a window's work is a number of operations that both sides know beforehand, and the answer
//!   is a number that the first process checks. The second one checks nothing, so it cannot end early
//!   and leave the first one waiting.
//! - QX-3 it ends with its parent, however that ends: it is asked to by the end of the socket, and the
//!   kernel kills it while it spins.

mod board;
mod frame;
mod handover;
mod in_place;
mod partner;
mod payload;
mod readers;
mod rings;
mod serve;
mod setup;

pub use board::Board;
pub use handover::Handover;
pub use in_place::InPlace;
pub use partner::{PartnerProcess, Service, Serving};
pub(crate) use payload::{fill, sum};
pub use readers::{MESSAGE, Message, Reads, ToReaders};
pub use serve::serve_partner;
pub use setup::{Serve, Setup};

/// Waits until `ready`, looking once and pausing once, as every contender does.
#[inline(always)]
pub(crate) fn until(mut ready: impl FnMut() -> bool) {
    while !ready() {
        std::hint::spin_loop();
    }
}

/// Waits until there is something, as [`until`].
#[inline(always)]
pub(crate) fn until_some<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::hint::spin_loop();
    }
}
