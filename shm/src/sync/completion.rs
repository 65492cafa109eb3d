//! Completion of a value that many hold and some wait for: reference count, "done" and a list of
//! waiters on one word.
//!
//! ```text
//! bit  0       DONE      the value is there (written before, Release)
//! bit  1       WAITERS   the list is not empty
//! bit  2       LOCK      somebody links or unlinks a waiter
//! bit  3       CANCEL    the producer was asked to give up
//! bit 16..     count     handles that may still read the value
//! ```
//!
//! - CP-1 the producer writes the value, then sets DONE with Release; readers test DONE with
//!   Acquire. Nobody writes the value afterwards.
//! - CP-2 the producer holds no count of its own: an entry that is not DONE is kept alive by being
//!   not DONE. Whoever makes the second of the two changes "count is 0" and "DONE" frees it: both
//!   are changes of the one word, so exactly one of the two sees the other.
//! - CP-3 the list is read and written only under LOCK. DONE is set in the same store that
//!   releases LOCK when there are waiters, so the producer touches the entry no more once a
//!   reader may see DONE; it goes on with the list it took, whose nodes belong to the waiters.
//! - CP-4 a waiter's node is its own memory. It may go away only unlinked (`remove` said so) or
//!   after its state is NOTIFIED, which is the last thing the producer writes to it.
//!
//! A thread may die between any two steps only together with the process: these words are never
//! shared between processes.
//! Model: `shm/tests/loom_completion.rs`.
#![allow(
    unsafe_code,
    reason = "the intrusive list of waiters is linked by raw pointers"
)]

use super::atomic::{AtomicU8, AtomicU64, Ordering};
use super::cell::UnsafeCell;
use super::hint::spin_loop;
use std::ptr::null_mut;

const DONE: u64 = 1;
const WAITERS: u64 = 2;
const LOCK: u64 = 4;
const CANCEL: u64 = 8;
const ONE: u64 = 1 << 16;

const IDLE: u8 = 0;
const LINKED: u8 = 1;
const TAKEN: u8 = 2;
const NOTIFIED: u8 = 3;

/// What to call when the value is there: a function and the word it gets.
#[derive(Clone, Copy, Debug)]
pub struct Notify {
    /// Called once, on the producer's thread, after the node was released.
    pub call: unsafe fn(*const ()),
    /// Passed to `call`; must stay valid until then.
    pub data: *const (),
}

/// One waiter, linked into the list of the [`Completion`] it waits for.
#[derive(Debug)]
pub struct WaitNode {
    next: UnsafeCell<*mut WaitNode>,
    prev: UnsafeCell<*mut WaitNode>,
    notify: Notify,
    state: AtomicU8,
}

impl WaitNode {
    /// A node that is in no list yet.
    pub fn new(notify: Notify) -> Self {
        Self {
            next: UnsafeCell::new(null_mut()),
            prev: UnsafeCell::new(null_mut()),
            notify,
            state: AtomicU8::new(IDLE),
        }
    }

    /// Whether the producer has let go of this node.
    pub fn is_notified(&self) -> bool {
        self.state.load(Ordering::Acquire) == NOTIFIED
    }
}

/// What [`Completion::release`] leaves to the caller.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Others hold it, or the producer will free it.
    Held,
    /// Last handle of a finished entry: the caller frees it.
    Free,
}

/// What [`Completion::complete`] leaves to the producer.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// Handles are left.
    Held,
    /// Every handle was dropped before: the producer frees it.
    Free,
}

/// See the module's page.
#[derive(Debug)]
pub struct Completion {
    word: AtomicU64,
    head: UnsafeCell<*mut WaitNode>,
}

// SAFETY: CP-3, the list is reached only under LOCK; the word is atomic.
unsafe impl Send for Completion {}
// SAFETY: as above.
unsafe impl Sync for Completion {}

impl Completion {
    /// A pending entry with `handles` handles.
    #[inline(always)]
    pub fn new(handles: u64) -> Self {
        Self {
            word: AtomicU64::new(handles * ONE),
            head: UnsafeCell::new(null_mut()),
        }
    }

    /// A finished entry with `handles` handles.
    #[inline(always)]
    pub fn new_done(handles: u64) -> Self {
        Self {
            word: AtomicU64::new((handles * ONE) | DONE),
            head: UnsafeCell::new(null_mut()),
        }
    }

    /// Whether the value is there (CP-1).
    #[inline(always)]
    pub fn is_done(&self) -> bool {
        self.word.load(Ordering::Acquire) & DONE != 0
    }

    /// Whether this is the only handle of a finished entry.
    #[inline(always)]
    pub fn is_unique_and_done(&self) -> bool {
        let word = self.word.load(Ordering::Acquire);
        word & DONE != 0 && word / ONE == 1
    }

    /// Whether nobody holds it, and so nobody ever will (the producer asks).
    #[inline]
    pub fn is_unwanted(&self) -> bool {
        self.word.load(Ordering::Relaxed) < ONE
    }

    /// Asks the producer to give up; true if the value is not there yet.
    pub fn request_cancel(&self) -> bool {
        self.word.fetch_or(CANCEL, Ordering::AcqRel) & DONE == 0
    }

    /// Whether somebody asked the producer to give up.
    #[inline(always)]
    pub fn is_cancel_requested(&self) -> bool {
        self.word.load(Ordering::Relaxed) & CANCEL != 0
    }

    /// One more handle; the caller has one.
    #[inline]
    pub fn retain(&self) {
        // Relaxed: the caller's own handle keeps the entry alive.
        self.word.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Gives a handle back (CP-2).
    #[inline(always)]
    pub fn release(&self) -> Released {
        let word = self.word.load(Ordering::Acquire);
        if word & DONE != 0 && word / ONE == 1 {
            // The only handle of a finished entry: nobody else can reach it, no RMW is needed.
            return Released::Free;
        }
        self.release_shared()
    }

    fn release_shared(&self) -> Released {
        let before = self.word.fetch_sub(ONE, Ordering::AcqRel);
        if before / ONE == 1 && before & DONE != 0 {
            Released::Free
        } else {
            Released::Held
        }
    }

    /// The value was written: sets DONE and notifies every waiter (CP-1, CP-3).
    #[inline(always)]
    pub fn complete(&self) -> Completed {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & (WAITERS | LOCK) == 0 {
            match self.word.compare_exchange_weak(
                word,
                word | DONE,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    return if word < ONE {
                        Completed::Free
                    } else {
                        Completed::Held
                    };
                }
                Err(now) => word = now,
            }
        }
        self.complete_with_waiters()
    }

    #[cold]
    fn complete_with_waiters(&self) -> Completed {
        self.lock();
        // SAFETY: CP-3, under LOCK.
        let mut node = self
            .head
            .with_mut(|head| unsafe { std::mem::replace(&mut *head, null_mut()) });
        let mut each = node;
        while !each.is_null() {
            // SAFETY: CP-4, a linked node lives until it is unlinked or NOTIFIED.
            unsafe {
                (*each).state.store(TAKEN, Ordering::Relaxed);
                each = (*each).next.with(|next| *next);
            }
        }
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let next = (word | DONE) & !(LOCK | WAITERS);
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        while !node.is_null() {
            // SAFETY: CP-4, the node is TAKEN and lives until NOTIFIED is stored, after which
            // only the copies made before are used.
            unsafe {
                let next = (*node).next.with(|next| *next);
                let notify = (*node).notify;
                (*node).state.store(NOTIFIED, Ordering::Release);
                (notify.call)(notify.data);
                node = next;
            }
        }
        if word < ONE {
            Completed::Free
        } else {
            Completed::Held
        }
    }

    /// Links `node`; false (and not linked) if the value is there already.
    ///
    /// # Safety
    /// `node` stays at its place until [`remove`](Self::remove) returned or it is notified, and
    /// the caller holds a handle meanwhile.
    pub unsafe fn add(&self, node: *mut WaitNode) -> bool {
        if !self.try_lock_pending() {
            return false;
        }
        // SAFETY: CP-3, under LOCK; the node is the caller's.
        unsafe {
            let first = self.head.with(|head| *head);
            (*node).next.with_mut(|next| *next = first);
            (*node).prev.with_mut(|prev| *prev = null_mut());
            (*node).state.store(LINKED, Ordering::Relaxed);
            if !first.is_null() {
                (*first).prev.with_mut(|prev| *prev = node);
            }
            self.head.with_mut(|head| *head = node);
        }
        self.unlock(true);
        true
    }

    /// Unlinks `node`, or waits until the producer that took it has let go. True if the node was
    /// still linked, so that its `notify` will never be called.
    ///
    /// # Safety
    /// `node` was passed to [`add`](Self::add) of this entry, which returned true.
    pub unsafe fn remove(&self, node: *mut WaitNode) -> bool {
        // SAFETY: the node is the caller's.
        let state = unsafe { &(*node).state };
        self.lock();
        if state.load(Ordering::Relaxed) == LINKED {
            // SAFETY: CP-3, under LOCK and linked, so its neighbours are linked too.
            let empty = unsafe {
                let next = (*node).next.with(|next| *next);
                let prev = (*node).prev.with(|prev| *prev);
                if prev.is_null() {
                    self.head.with_mut(|head| *head = next);
                } else {
                    (*prev).next.with_mut(|slot| *slot = next);
                }
                if !next.is_null() {
                    (*next).prev.with_mut(|slot| *slot = prev);
                }
                self.head.with(|head| (*head).is_null())
            };
            state.store(IDLE, Ordering::Relaxed);
            self.unlock(!empty);
            return true;
        }
        self.unlock_unchanged();
        while state.load(Ordering::Acquire) != NOTIFIED {
            spin_loop();
            #[cfg(loom)]
            super::thread::yield_now();
        }
        false
    }

    /// Takes LOCK unless DONE.
    fn try_lock_pending(&self) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & DONE != 0 {
                return false;
            }
            if word & LOCK != 0 {
                spin_loop();
                #[cfg(loom)]
                super::thread::yield_now();
                word = self.word.load(Ordering::Acquire);
                continue;
            }
            match self.word.compare_exchange_weak(
                word,
                word | LOCK,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    fn lock(&self) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & LOCK != 0 {
                spin_loop();
                #[cfg(loom)]
                super::thread::yield_now();
                word = self.word.load(Ordering::Relaxed);
                continue;
            }
            match self.word.compare_exchange_weak(
                word,
                word | LOCK,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    fn unlock(&self, waiters: bool) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let next = if waiters {
                (word | WAITERS) & !LOCK
            } else {
                word & !(WAITERS | LOCK)
            };
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    fn unlock_unchanged(&self) {
        self.word.fetch_and(!LOCK, Ordering::Release);
    }
}
