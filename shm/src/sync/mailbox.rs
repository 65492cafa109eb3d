//! Intrusive stack that many threads push to and one empties, oldest first.
//!
//! ```text
//!   head -> newest -> ... -> oldest -> null        a push is one exchange of `head`
//!   head == CLOSED                                 pushes hand their node back
//! ```
//!
//! - MX-1 a node belongs to its pusher until `push` succeeds, then to the mailbox, then to whoever
//!   drained it. Its `next` is written only by its owner.
//! - MX-2 `push` exchanges `head` with Release; the exchange in `drain` and `close` is Acquire. Each
//!   push continues the release sequence of those before it, so all nodes of the chain are seen
//!   whole.
//! - MX-3 a drain takes the whole chain and turns it round: nodes of one pusher come out in the
//!   order in which it pushed them, and so do nodes of several that pushed one after the other.
//! - MX-4 a drain reads a node's `next` before it yields the node, which may be freed at once.
//! - MX-5 once `head` is `CLOSED` it stays so. Every node was either accepted, and is then in a
//!   drain or in the one `close` returned, or handed back: nothing is lost at shutdown.
//! - MX-6 a pusher that ends before its exchange leaves nothing behind, one that ends after it has
//!   pushed: there is no state between.
//!
//! Model: `tests/loom_mailbox.rs`.
#![allow(
    unsafe_code,
    reason = "links nodes it does not own through raw pointers"
)]

use std::ptr::{self, NonNull};

use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// What a node carries to be linked; the first field of a `repr(C)` struct.
#[derive(Debug)]
#[repr(C)]
pub struct Link {
    next: AtomicPtr<Link>,
}

impl Link {
    /// A link that is in no mailbox.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// A link that is in no mailbox.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

/// No node lies at address 1: links are aligned to 8.
const CLOSED: *mut Link = ptr::without_provenance_mut(1);

/// The mailbox of one thread.
#[derive(Debug)]
pub struct Mailbox {
    /// Written by pushers and by the consumer (MX-2, MX-5).
    head: CachePadded<AtomicPtr<Link>>,
}

impl Mailbox {
    /// An open, empty mailbox.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: CachePadded::new(AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// An open, empty mailbox.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            head: CachePadded::new(AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// Adds `node`.
    ///
    /// # Errors
    /// The node itself, untouched but for its link, once the mailbox is closed.
    ///
    /// # Safety
    /// `node` is the first field of a value that the caller owns, in no mailbox, and valid (with a
    /// pointer that covers the whole value) until it is drained or handed back.
    #[inline]
    pub unsafe fn push(&self, node: NonNull<Link>) -> Result<(), NonNull<Link>> {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == CLOSED {
                return Err(node); // MX-5
            }
            // SAFETY: MX-1, the node is still the caller's.
            unsafe { node.as_ref() }.next.store(head, Ordering::Relaxed);
            // MX-2.
            match self.head.compare_exchange_weak(
                head,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(newer) => head = newer,
            }
        }
    }

    /// Whether there is nothing to drain: one load, and only a hint to others than the consumer.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        head.is_null() || head == CLOSED
    }

    /// Whether later pushes will be handed back.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.head.load(Ordering::Relaxed) == CLOSED
    }

    /// Takes all that was pushed, oldest first (MX-3).
    #[inline]
    pub fn drain(&self) -> Drain {
        if self.is_empty() {
            return Drain { next: None };
        }
        let mut head = self.head.load(Ordering::Relaxed);
        // An exchange that may fail, not a swap: a swap would reopen a closed mailbox (MX-5).
        while head != CLOSED {
            // MX-2.
            match self.head.compare_exchange_weak(
                head,
                ptr::null_mut(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Drain::new(head),
                Err(newer) => head = newer,
            }
        }
        Drain { next: None }
    }

    /// Refuses later pushes and takes what was pushed before (MX-5).
    pub fn close(&self) -> Drain {
        let head = self.head.swap(CLOSED, Ordering::Acquire); // MX-2
        Drain::new(if head == CLOSED {
            ptr::null_mut()
        } else {
            head
        })
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Nodes on their way out, oldest first. Those not asked for are lost to the mailbox.
#[derive(Debug)]
#[must_use = "the nodes are in no mailbox any more"]
pub struct Drain {
    next: Option<NonNull<Link>>,
}

// SAFETY: MX-1, the chain belongs to the value. What the nodes hold is the consumer's affair, who
// gets them as raw pointers.
unsafe impl Send for Drain {}

impl Drain {
    /// Turns the chain round.
    fn new(newest: *mut Link) -> Self {
        let (mut rest, mut next) = (NonNull::new(newest), None);
        while let Some(node) = rest {
            // SAFETY: MX-1, MX-2: the chain was taken whole and is seen whole.
            let link = unsafe { node.as_ref() };
            rest = NonNull::new(link.next.load(Ordering::Relaxed));
            link.next.store(
                next.map_or(ptr::null_mut(), NonNull::as_ptr),
                Ordering::Relaxed,
            );
            next = Some(node);
        }
        Self { next }
    }
}

impl Iterator for Drain {
    type Item = NonNull<Link>;

    #[inline]
    fn next(&mut self) -> Option<NonNull<Link>> {
        let node = self.next?;
        // SAFETY: MX-1. MX-4: read before the node is given away.
        self.next = NonNull::new(unsafe { node.as_ref() }.next.load(Ordering::Relaxed));
        Some(node)
    }
}
