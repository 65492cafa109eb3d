//! Stackful coroutines of one scheduler, and the wake-up of a blocked one from any thread.
//!
//! Every coroutine of a scheduler is resumed by the scheduler's *hub*, which is the thread's own
//! stack: to switch from A to B, A suspends to the hub and names B. Each coroutine runs the
//! scheduler's loop; a task runs on the loop's own stack, and only when it blocks does the loop go
//! on in another coroutine. So a blocked task is a coroutine whose loop is in the middle of a task.
//!
//! - CO-1 a coroutine never changes its thread: all fields but `queued` are touched by the home
//!   scheduler alone.
//! - CO-2 control blocks are not freed before the scheduler ends, and a scheduler ends only when
//!   no other thread can wake its coroutines (nobody waits any more). A late or doubled wake-up is
//!   therefore harmless: whoever blocks looks at its condition again.
//! - CO-3 `queued` is true from the remote wake-up that pushed the letter until its delivery, so a
//!   letter is never in the mailbox twice.
#![allow(
    unsafe_code,
    reason = "switches stacks and links control blocks into mailboxes"
)]

use super::letter::{Letter, LetterKind};
use super::local::{Frame, Local};
use super::shared::Shared;
use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use std::cell::{Cell, UnsafeCell};
use std::ptr::{NonNull, null};
use std::sync::Arc;

type Body = Coroutine<(), NonNull<Co>, (), DefaultStack>;

/// Control block of a coroutine.
#[repr(C)]
pub(crate) struct Co {
    letter: Letter,
    queued: AtomicBool,
    home: Arc<Shared>,
    body: UnsafeCell<Option<Body>>,
    yielder: Cell<*const Yielder<(), NonNull<Co>>>,
    /// Lowest usable address of the stack.
    pub(crate) stack_limit: Cell<usize>,
    /// Highest address of the stack.
    pub(crate) stack_base: Cell<usize>,
    /// A wake-up that was not used yet.
    token: Cell<bool>,
    parked: Cell<bool>,
    /// The innermost task on this stack while another coroutine runs.
    pub(crate) frame: Cell<*const Frame>,
}

static WAKE: LetterKind = LetterKind {
    deliver: deliver_wake,
    undeliverable: super::letter::ignore,
};

impl Co {
    /// A coroutine that runs `body` when it is first switched to.
    pub(crate) fn new(
        home: Arc<Shared>,
        stack_bytes: usize,
        body: impl FnOnce() + 'static,
    ) -> std::io::Result<NonNull<Co>> {
        let stack = DefaultStack::new(stack_bytes)?;
        let (base, limit) = (stack.base().get(), stack.limit().get());
        let co = Box::new(Co {
            letter: Letter::new(&WAKE),
            queued: AtomicBool::new(false),
            home,
            body: UnsafeCell::new(None),
            yielder: Cell::new(null()),
            stack_limit: Cell::new(limit),
            stack_base: Cell::new(base),
            token: Cell::new(false),
            parked: Cell::new(false),
            frame: Cell::new(null()),
        });
        let co = NonNull::from(Box::leak(co));
        let inner = co;
        let coroutine =
            Coroutine::with_stack(stack, move |yielder: &Yielder<(), NonNull<Co>>, ()| {
                // SAFETY: CO-1/CO-2, the block outlives its coroutine and is this thread's.
                unsafe { inner.as_ref() }.yielder.set(yielder);
                body();
            });
        // SAFETY: nobody else has the block yet.
        unsafe { *co.as_ref().body.get() = Some(coroutine) };
        Ok(co)
    }

    /// Gives a coroutine that was made before its scheduler a home.
    pub(crate) fn settle(&mut self, home: Arc<Shared>) {
        self.home = home;
    }

    /// Runs the coroutine until it switches (to the returned one) or ends (`None`). Hub only.
    pub(crate) fn resume(&self) -> Option<NonNull<Co>> {
        // SAFETY: CO-1; only the hub resumes, and it resumes one coroutine at a time, so this is
        // the only reference into the cell: the coroutine itself never touches `body`.
        let body = unsafe { &mut *self.body.get() };
        match body.as_mut().map(|body| body.resume(())) {
            Some(CoroutineResult::Yield(next)) => Some(next),
            Some(CoroutineResult::Return(())) | None => None,
        }
    }

    /// Suspends the running coroutine `self` in favour of `next`.
    #[inline]
    pub(crate) fn switch_to(&self, next: NonNull<Co>) {
        // SAFETY: `self` runs, so its yielder was set and lives on its stack (CO-1).
        unsafe { (*self.yielder.get()).suspend(next) };
    }

    /// Frees the block; the coroutine has ended or holds nothing on its stack.
    ///
    /// # Safety
    /// Nobody can wake it any more, and a suspended one is an idle loop.
    pub(crate) unsafe fn destroy(co: NonNull<Co>) {
        // SAFETY: the caller gives up the block; an idle loop owns nothing on its stack.
        unsafe {
            let mut block = Box::from_raw(co.as_ptr());
            if let Some(body) = block.body.get_mut()
                && body.started()
                && !body.done()
            {
                body.force_reset();
            }
        }
    }

    /// Takes the pending wake-up, if there is one. Home thread only.
    #[inline]
    pub(crate) fn take_token(&self) -> bool {
        self.token.replace(false)
    }

    pub(crate) fn set_parked(&self, parked: bool) {
        self.parked.set(parked);
    }

    /// Wakes it from its own scheduler's thread.
    pub(crate) fn wake_local(&self, local: &Local) {
        self.token.set(true);
        if self.parked.replace(false) {
            local.push_ready(NonNull::from(self));
        }
    }

    /// Wakes it from any thread.
    pub(crate) fn wake(&self) {
        match Local::current() {
            Some(local) if std::ptr::eq(&raw const *local.shared, Arc::as_ptr(&self.home)) => {
                self.wake_local(local)
            }
            _ => {
                if !self.queued.swap(true, Ordering::AcqRel) {
                    // SAFETY: CO-2, the block stays; CO-3, the letter is in no mailbox.
                    unsafe { self.home.post(NonNull::from(&self.letter)) };
                }
            }
        }
    }

    /// For [`maser_shm::sync::completion::Notify`]: `data` is a `*const Co`.
    ///
    /// # Safety
    /// CO-2.
    pub(crate) unsafe fn wake_raw(data: *const ()) {
        // SAFETY: the caller's promise.
        unsafe { (*data.cast::<Co>()).wake() };
    }
}

unsafe fn deliver_wake(letter: NonNull<Letter>, local: &Local) {
    // SAFETY: `letter` is the first field of a repr(C) `Co` (WAKE is used nowhere else).
    let co = unsafe { letter.cast::<Co>().as_ref() };
    co.queued.store(false, Ordering::Release);
    co.wake_local(local);
}
