//! Whether the ends of a one-way channel are still there.
//!
//! A line of its own, written once by each end when it is dropped; until then every core keeps a
//! shared copy of it and a look costs no hand-over.
//!
//! - EN-1 `sender_gone` is stored Release after the last send; a receiver that sees it (Acquire)
//!   looks for a value once more before it says `Closed`, so nothing sent is lost.
//! - EN-2 `receiver_gone` is advice: what is sent too late is dropped with the ring. Relaxed.

use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The two "gone" flags.
pub(super) struct Ends(CachePadded<Flags>);

struct Flags {
    /// Written once by the dropped sender (Release, EN-1), read by the receiver (Acquire).
    sender_gone: AtomicBool,
    /// Written once by the dropped receiver, read by the sender (Relaxed, EN-2).
    receiver_gone: AtomicBool,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(Flags {
            sender_gone: AtomicBool::new(false),
            receiver_gone: AtomicBool::new(false),
        }))
    }

    /// The sender has sent its last value.
    pub(super) fn sender_leaves(&self) {
        self.0.sender_gone.store(true, Ordering::Release); // EN-1
    }

    /// The receiver will take no more.
    pub(super) fn receiver_leaves(&self) {
        self.0.receiver_gone.store(true, Ordering::Relaxed); // EN-2
    }

    #[inline(always)]
    pub(super) fn is_sender_gone(&self) -> bool {
        self.0.sender_gone.load(Ordering::Acquire) // EN-1
    }

    #[inline(always)]
    pub(super) fn is_receiver_gone(&self) -> bool {
        self.0.receiver_gone.load(Ordering::Relaxed) // EN-2
    }
}
