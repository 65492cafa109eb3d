//! What other threads give back to an arena: an intrusive stack that many push to and the holder of
//! the arena's lock empties.
//!
//! ```text
//!   head -> newest -> ... -> oldest -> null    a push is one exchange
//!   head == CLOSED                             pushes hand their node back
//! ```
//!
//! It differs from `sync::mailbox` in that it opens again, which lets a store that is short of memory
//! have every free reported to it, and costs the others nothing.
//!
//! - RF-1 a node belongs to its pusher until `push` succeeds, then to the list, then to whoever
//!   drained it. A push that succeeded touches neither the list nor the node any more, so the list
//!   may be gone by then.
//! - RF-2 `push` exchanges `head` with Release, `drain` and `close` with Acquire; later pushes go on
//!   with the release sequence, so the whole chain is seen.
//! - RF-3 `drain`, `close` and `open` are called by one thread at a time, the holder of the arena's
//!   lock.
//! - RF-4 every node is drained once, or handed back to its pusher.
//!
//! Model: `shm/tests/loom_remote_free.rs`.
#![allow(unsafe_code, reason = "links nodes it does not own")]

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
    /// A link that is in no list.
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

/// See the module's page.
#[derive(Debug)]
pub struct RemoteFrees {
    head: CachePadded<AtomicPtr<Link>>,
}

impl RemoteFrees {
    /// An open, empty list.
    #[must_use]
    pub fn new() -> Self {
        Self {
            head: CachePadded::new(AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// Adds a node.
    ///
    /// # Errors
    /// The node, while the list is closed.
    ///
    /// # Safety
    /// `node` is the first field of a value that the caller owns, in no list, and valid, with a
    /// pointer that covers the whole value, until it is drained or handed back. The list is there
    /// until then.
    pub unsafe fn push(&self, node: NonNull<Link>) -> Result<(), NonNull<Link>> {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == CLOSED {
                return Err(node); // RF-4
            }
            // SAFETY: RF-1, still the caller's.
            unsafe { node.as_ref() }.next.store(head, Ordering::Relaxed);
            // RF-2.
            match self.head.compare_exchange_weak(
                head,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()), // RF-1: nothing is touched from here on.
                Err(newer) => head = newer,
            }
        }
    }

    /// Whether there is nothing to drain.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        head.is_null() || head == CLOSED
    }

    /// Takes all that was pushed (RF-3), in no order that means anything.
    pub fn drain(&self) -> Drain {
        if self.is_empty() {
            return Drain(None);
        }
        // RF-3: nobody closes it meanwhile, so a swap does not open it.
        Drain(NonNull::new(
            self.head.swap(ptr::null_mut(), Ordering::Acquire),
        ))
    }

    /// Hands later nodes back, and takes what was pushed (RF-3).
    pub fn close(&self) -> Drain {
        let head = self.head.swap(CLOSED, Ordering::Acquire);
        Drain(if head == CLOSED {
            None
        } else {
            NonNull::new(head)
        })
    }

    /// Takes nodes again (RF-3).
    pub fn open(&self) {
        if self.head.load(Ordering::Relaxed) == CLOSED {
            self.head.store(ptr::null_mut(), Ordering::Release);
        }
    }
}

impl Default for RemoteFrees {
    fn default() -> Self {
        Self::new()
    }
}

/// Nodes on their way out; each is the caller's when it is yielded.
#[derive(Debug)]
#[must_use = "the nodes are in no list any more"]
pub struct Drain(Option<NonNull<Link>>);

impl Iterator for Drain {
    type Item = NonNull<Link>;

    #[inline]
    fn next(&mut self) -> Option<NonNull<Link>> {
        let node = self.0?;
        // SAFETY: RF-1, RF-2: read before the node is given away.
        self.0 = NonNull::new(unsafe { node.as_ref() }.next.load(Ordering::Relaxed));
        Some(node)
    }
}
