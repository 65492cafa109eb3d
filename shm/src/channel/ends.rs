//! Whether the ends of a one-way channel are still there.
//!
//! A line of its own, written once by each end when it is dropped; until then every core keeps a
//! shared copy of it and a look costs no hand-over.
//!
//! A flag is a word, gone if it is not 0: a peer in another process may write anything there.
//!
//! - EN-1 `sender_gone` is stored Release after the last send; a receiver that sees it (Acquire)
//!   looks for a value once more before it says `Closed`, so nothing sent is lost.
//! - EN-2 `receiver_gone` is advice: what is sent too late is dropped with the ring. Relaxed.

use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU32, Ordering};

/// The two "gone" flags.
pub(super) struct Ends(CachePadded<Flags>);

struct Flags {
    /// Written once by the dropped sender (Release, EN-1), read by the receiver (Acquire).
    sender_gone: AtomicU32,
    /// Written once by the dropped receiver, read by the sender (Relaxed, EN-2).
    receiver_gone: AtomicU32,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(Flags {
            sender_gone: AtomicU32::new(0),
            receiver_gone: AtomicU32::new(0),
        }))
    }

    /// The sender has sent its last value.
    pub(super) fn sender_leaves(&self) {
        self.0.sender_gone.store(1, Ordering::Release); // EN-1
    }

    /// The receiver will take no more.
    pub(super) fn receiver_leaves(&self) {
        self.0.receiver_gone.store(1, Ordering::Relaxed); // EN-2
    }

    #[inline(always)]
    pub(super) fn is_sender_gone(&self) -> bool {
        self.0.sender_gone.load(Ordering::Acquire) != 0 // EN-1
    }

    #[inline(always)]
    pub(super) fn is_receiver_gone(&self) -> bool {
        self.0.receiver_gone.load(Ordering::Relaxed) != 0 // EN-2
    }
}
