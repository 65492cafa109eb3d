//! What travels in a scheduler's mailbox: anything that begins with a [`Letter`].
//!
//! - LT-1 whoever pushes a letter gives it to the receiving scheduler, whose `deliver` decides what
//!   becomes of the memory.
#![allow(
    unsafe_code,
    reason = "letters are intrusive: the kind tells the type behind the pointer"
)]

use super::local::Local;
use maser_shm::sync::mailbox::Link;
use std::ptr::NonNull;

/// What to do with a letter when it arrives.
#[repr(C)]
pub(crate) struct LetterKind {
    /// Called on the receiving scheduler's thread.
    pub(crate) deliver: unsafe fn(NonNull<Letter>, &Local),
    /// Called on any thread when the receiving scheduler has ended.
    pub(crate) undeliverable: unsafe fn(NonNull<Letter>),
}

/// First field of everything that can be posted.
#[repr(C)]
pub(crate) struct Letter {
    link: Link,
    kind: *const LetterKind,
}

impl Letter {
    #[inline(always)]
    pub(crate) fn new(kind: *const LetterKind) -> Self {
        Self {
            link: Link::new(),
            kind,
        }
    }

    /// The kind this letter was made with.
    #[inline(always)]
    pub(crate) fn kind(&self) -> *const LetterKind {
        self.kind
    }

    /// Hands the letter to its kind.
    ///
    /// # Safety
    /// LT-1: it was taken from a mailbox and is delivered once.
    pub(crate) unsafe fn deliver(letter: NonNull<Letter>, local: &Local) {
        // SAFETY: the kind lives for ever (statics and promoted constants).
        unsafe { ((*letter.as_ref().kind).deliver)(letter, local) };
    }

    /// Gives the letter back to its kind.
    ///
    /// # Safety
    /// LT-1: it is in no mailbox, and is given back once.
    pub(crate) unsafe fn undeliverable(letter: NonNull<Letter>) {
        // SAFETY: as above.
        unsafe { ((*letter.as_ref().kind).undeliverable)(letter) };
    }
}

/// Nothing is lost with it.
pub(crate) unsafe fn ignore(_: NonNull<Letter>) {}

/// What a [`closure`] letter does on arrival.
type Errand = Box<dyn FnOnce(&Local) + Send>;

#[repr(C)]
struct ClosureLetter {
    letter: Letter,
    run: Option<Errand>,
}

static CLOSURE: LetterKind = LetterKind {
    deliver: deliver_closure,
    undeliverable: drop_closure,
};

/// A letter that runs `run` on the receiving scheduler.
pub(crate) fn closure(run: impl FnOnce(&Local) + Send + 'static) -> NonNull<Letter> {
    let boxed = Box::new(ClosureLetter {
        letter: Letter::new(&CLOSURE),
        run: Some(Box::new(run)),
    });
    NonNull::from(Box::leak(boxed)).cast()
}

unsafe fn deliver_closure(letter: NonNull<Letter>, local: &Local) {
    // SAFETY: LT-1; the kind is CLOSURE, so it is a boxed `ClosureLetter`.
    let mut boxed = unsafe { Box::from_raw(letter.cast::<ClosureLetter>().as_ptr()) };
    if let Some(run) = boxed.run.take() {
        run(local);
    }
}

unsafe fn drop_closure(letter: NonNull<Letter>) {
    // SAFETY: as in `deliver_closure`.
    drop(unsafe { Box::from_raw(letter.cast::<ClosureLetter>().as_ptr()) });
}
