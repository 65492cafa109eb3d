//! Addresses of actors' blocks that travel between threads (rules AC-* in `core`).
#![allow(unsafe_code, reason = "frees blocks, and sends their addresses")]

use super::core::ActorCore;
use std::ptr::NonNull;

/// A block without handles on its way to its home; freed where the way ends.
pub(crate) struct Burial(NonNull<ActorCore>);

// SAFETY: as for `SendCore`.
unsafe impl Send for Burial {}

impl Burial {
    /// AC-4: the block has no handle left.
    pub(crate) fn new(core: NonNull<ActorCore>) -> Self {
        Self(core)
    }

    pub(super) fn take(self) -> NonNull<ActorCore> {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Frees it: its home scheduler has ended and no call is left that names it.
    pub(crate) fn free(self) {
        // SAFETY: AC-4: no handle is left; the state was dropped and every call completed.
        unsafe { ActorCore::free(self.take()) };
    }
}

impl Drop for Burial {
    fn drop(&mut self) {
        // SAFETY: AC-4: not freed before.
        let node = unsafe { self.0.as_ref() }.node.clone();
        node.remains.keep_block(Burial(self.0));
    }
}

/// A handle of a block on its way to its home; given back where the way ends.
pub(crate) struct HeldCore(NonNull<ActorCore>);

// SAFETY: as for `SendCore`; the handle keeps the block alive.
unsafe impl Send for HeldCore {}

impl HeldCore {
    /// # Safety
    /// The caller owns a handle and uses it no more.
    pub(crate) unsafe fn new(core: NonNull<ActorCore>) -> Self {
        Self(core)
    }

    /// One more handle.
    pub(crate) fn again(&self) -> HeldCore {
        self.core().retain();
        Self(self.0)
    }

    pub(crate) fn core(&self) -> &ActorCore {
        // SAFETY: AC-1, our handle.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for HeldCore {
    fn drop(&mut self) {
        // SAFETY: AC-1, our handle, used no more.
        unsafe { ActorCore::release(self.0) };
    }
}

/// A block's address on its way to its home.
pub(crate) struct SendCore(NonNull<ActorCore>);

// SAFETY: the address is used on the home scheduler alone (AC-2), and the sender sees to it that
// the block lives until then.
unsafe impl Send for SendCore {}
// SAFETY: as above.
unsafe impl Sync for SendCore {}

impl SendCore {
    pub(crate) fn new(core: NonNull<ActorCore>) -> Self {
        Self(core)
    }

    pub(crate) fn get(&self) -> NonNull<ActorCore> {
        self.0
    }

    /// A handle of the block, unless the last one is gone. The caller keeps the block from being
    /// freed meanwhile.
    pub(crate) fn try_hold(&self) -> Option<HeldCore> {
        // SAFETY: the caller's promise, kept by the lock under which blocks are listed.
        let has = unsafe { self.0.as_ref() }.try_retain();
        has.then(|| HeldCore(self.0))
    }
}
