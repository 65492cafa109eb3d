//! The cell of a task or object: one block that holds the arguments before, and the result after.
//!
//! ```text
//! byte  0  letter      link and kind (`VTable` begins with the kind)
//! byte 16  completion  count, DONE, waiters
//! byte 32  actor       the actor whose call it is and its home, or nothing
//! byte 40  extra       demands and other rarely used parts, or null
//! byte 48  payload     arguments and function, later `Outcome<T>`; at the type's alignment
//! ```
//!
//! A cell of two integers takes one cache line. Blocks come from the type-stable pool.
//!
//! - TC-1 the payload holds the arguments until whoever owns the right to start takes them out;
//!   then nothing; from DONE on the outcome. The right to start is held by whoever took the cell
//!   from the queue it was in.
//! - TC-2 the outcome is written once, before `Completion::complete`, and then only read, or moved
//!   out by the holder of the only handle.
//! - TC-3 the vtable is that of the very types the cell was made with; `Ref<T>` is only ever made
//!   of cells whose outcome is `Outcome<T>`.
#![allow(
    unsafe_code,
    reason = "type-erased cells: the vtable tells the types behind the pointer"
)]

use super::failure::{discard_with, has_destructor};
use super::meta::Meta;
use super::options::TaskOptions;
use super::retry::RetryErrors;
use crate::actor::core::{Access, ActorCore};
use crate::actor::lane::{Answer, Question};
use crate::error::{Error, Fault, Outcome};
use crate::executor::letter::{Letter, LetterKind};
use crate::executor::local::Local;
use crate::worker::stream::{Producer, Sink};
use crate::worker::values::{self, Travel};
use maser_shm::arena::pool::{self, SizeClass};
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use maser_shm::sync::completion::{Completed, Completion, Released};
use std::alloc::Layout;
use std::any::type_name;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// What the types behind a [`Header`] do.
#[repr(C)]
pub(crate) struct VTable {
    /// Delivery through a mailbox; first, so that a vtable is a [`LetterKind`].
    pub(crate) kind: LetterKind,
    /// Starts it (TC-1): takes the arguments, runs, stores the outcome, completes.
    pub(crate) run: unsafe fn(NonNull<Header>, &Local),
    /// Drops the arguments and completes with the fault (TC-1).
    pub(crate) fail: unsafe fn(NonNull<Header>, Fault),
    /// Drops the outcome.
    pub(crate) drop_outcome: unsafe fn(NonNull<Header>),
    /// Lets the waiting thread bring the result about itself, if that is the way.
    pub(crate) progress: unsafe fn(NonNull<Header>, Option<&Local>, may_run: bool),
    /// Stores the outcome that came over a lane and completes.
    pub(crate) accept: unsafe fn(NonNull<Header>, Answer),
    /// Fails a question of a lane that was not served.
    pub(crate) refuse: unsafe fn(Question, Fault),
    /// How a call uses its actor.
    pub(crate) access: Access,
    pub(crate) layout: Layout,
    /// Of `layout`; `None` is too large for the pool.
    pub(crate) class: Option<SizeClass>,
    pub(crate) meta: &'static Meta,
    /// How its values go to another process and come back.
    pub(crate) travel: Travel,
    /// Puts the arguments of a question into its cell.
    pub(crate) keep: unsafe fn(Question),
    /// The same with the values sent through bytes (PB-4); `None` if they are not.
    pub(crate) portable: Option<&'static VTable>,
}

/// First part of every cell.
#[repr(C)]
pub(crate) struct Header {
    letter: Letter,
    pub(crate) completion: Completion,
    pub(crate) actor: ActorWord,
    pub(crate) extra: *mut Extra,
}

/// An actor's address in the low 48 bits and the index of its home scheduler above: whoever waits
/// for a call can tell where it runs without reading the actor, which may be gone by then. The
/// highest bit says that it has been in its actor's queue.
#[derive(Debug)]
pub(crate) struct ActorWord(AtomicU64);

impl ActorWord {
    /// Not a call of an actor.
    #[inline(always)]
    pub(crate) const fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    const HOME_SHIFT: u32 = 48;
    const QUEUED: u64 = 1 << 63;

    #[inline(always)]
    pub(crate) fn new(core: NonNull<ActorCore>, home: usize) -> Self {
        let core = core.as_ptr().expose_provenance() as u64;
        Self(AtomicU64::new(core | (home as u64) << Self::HOME_SHIFT))
    }

    /// The actor, or null.
    #[inline(always)]
    pub(crate) fn core(&self) -> *mut ActorCore {
        let word = self.0.load(Ordering::Relaxed);
        std::ptr::with_exposed_provenance_mut((word & ((1 << Self::HOME_SHIFT) - 1)) as usize)
    }

    /// The scheduler it lives on.
    #[inline(always)]
    pub(crate) fn home(&self) -> usize {
        ((self.0.load(Ordering::Relaxed) & !Self::QUEUED) >> Self::HOME_SHIFT) as usize
    }

    /// The call goes into its actor's queue, which its home scheduler alone does.
    #[inline(always)]
    pub(crate) fn is_queued_now(&self) {
        let word = self.0.load(Ordering::Relaxed);
        self.0.store(word | Self::QUEUED, Ordering::Relaxed);
    }

    /// Whether the call is or was in its actor's queue.
    #[inline(always)]
    pub(crate) fn was_queued(&self) -> bool {
        self.0.load(Ordering::Relaxed) & Self::QUEUED != 0
    }
}

/// Parts that few cells have.
#[derive(Default)]
pub(crate) struct Extra {
    /// Given back when the task ends.
    pub(crate) grant: Option<crate::resources::Grant>,
    /// Name given by `options().name(..)`.
    pub(crate) name: Option<String>,
    /// Where it is to run.
    pub(crate) scheduler: Option<usize>,
    /// Where the items go of a stream that another process makes, and the way back to it.
    pub(crate) stream: Option<(Box<dyn Sink>, Arc<Producer>)>,
    /// Runs after the death of a worker, if the call says so.
    pub(crate) max_retries: Option<i32>,
    /// Calls after which its worker is recycled, if the call says so.
    pub(crate) max_calls: Option<u32>,
    /// What the driver is to know of it, if it is asked to run it.
    pub(crate) asks: Option<Box<TaskOptions>>,
    /// Errors after which it runs again, if the call says so.
    pub(crate) retry_errors: Option<RetryErrors>,
}

const PAYLOAD: usize = size_of::<Header>();
const _: () = assert!(PAYLOAD == 48);

/// Where the outcome of a cell of `T` lies.
pub(crate) const fn outcome_offset<T>() -> usize {
    PAYLOAD.next_multiple_of(align_of::<Outcome<T>>())
}

/// Where the arguments `A` lie.
pub(crate) const fn args_offset<A>() -> usize {
    PAYLOAD.next_multiple_of(align_of::<A>())
}

/// Layout of a cell that holds `A` first and `Outcome<T>` later.
pub(crate) const fn layout<A, T>() -> Layout {
    let args = args_offset::<A>() + size_of::<A>();
    let outcome = outcome_offset::<T>() + size_of::<Outcome<T>>();
    let bytes = if args > outcome { args } else { outcome };
    let mut align = align_of::<Header>();
    if align_of::<A>() > align {
        align = align_of::<A>();
    }
    if align_of::<Outcome<T>>() > align {
        align = align_of::<Outcome<T>>();
    }
    match Layout::from_size_align(bytes, align) {
        Ok(layout) => layout.pad_to_align(),
        Err(_) => panic!("a cell is larger than the address space"),
    }
}

impl Header {
    /// A pending cell with `handles` handles.
    #[inline(always)]
    pub(crate) fn pending(vtable: &'static VTable, handles: u64, actor: ActorWord) -> Self {
        Self {
            letter: Letter::new(&raw const vtable.kind),
            completion: Completion::new(handles),
            actor,
            extra: null_mut(),
        }
    }

    #[inline(always)]
    pub(crate) fn vtable(&self) -> &'static VTable {
        // SAFETY: TC-3, every header is made with the `kind` of a static vtable, its first field.
        unsafe { &*self.letter.kind().cast::<VTable>() }
    }

    pub(crate) fn meta(&self) -> &'static Meta {
        self.vtable().meta
    }

    /// From now on its values go through bytes (PB-4).
    ///
    /// # Safety
    /// TC-1: the caller made the cell, has not queued it, and nobody else can reach it yet.
    #[cold]
    pub(crate) unsafe fn make_portable(mut cell: NonNull<Header>) {
        // SAFETY: the caller is the only one. TC-3: the vtable is that of the same types.
        unsafe {
            if let Some(portable) = cell.as_ref().vtable().portable {
                cell.as_mut().letter = Letter::new(&raw const portable.kind);
            }
        }
    }

    /// From now on this is its vtable.
    ///
    /// # Safety
    /// As for [`make_portable`](Self::make_portable), and the vtable is one of the same types.
    #[cold]
    pub(crate) unsafe fn set_vtable(mut cell: NonNull<Header>, vtable: &'static VTable) {
        // SAFETY: the caller's promise.
        unsafe { cell.as_mut().letter = Letter::new(&raw const vtable.kind) };
    }

    /// Starts it.
    ///
    /// # Safety
    /// TC-1: the caller has the right to start.
    #[inline(always)]
    pub(crate) unsafe fn run(cell: NonNull<Header>, local: &Local) {
        // SAFETY: the caller's right; a cell that is not DONE is alive.
        unsafe { (cell.as_ref().vtable().run)(cell, local) }
    }

    /// Completes it without running it.
    ///
    /// # Safety
    /// TC-1: the caller has the right to start.
    #[cold]
    pub(crate) unsafe fn fail(cell: NonNull<Header>, error: Error) {
        // SAFETY: the caller's right.
        unsafe { (cell.as_ref().vtable().fail)(cell, Fault::new(error)) }
    }

    /// A task or call that was posted to a scheduler that has ended.
    ///
    /// # Safety
    /// `letter` is the first field of a pending cell; TC-1, the right to start comes with it.
    pub(crate) unsafe fn undeliverable(letter: NonNull<Letter>) {
        let cell = letter.cast::<Header>();
        // SAFETY: the caller's promise.
        unsafe {
            let what = cell.as_ref().meta().name.to_owned();
            Self::fail(cell, Error::ShutDown { what });
        }
    }

    /// Gives a handle back, and the cell with the last one.
    ///
    /// # Safety
    /// The caller owns a handle and uses it no more; TC-3.
    #[inline(always)]
    pub(crate) unsafe fn release<T>(cell: NonNull<Header>) {
        // SAFETY: the caller's handle keeps the cell alive up to here; CP-2 gives a finished one to
        // exactly one caller.
        unsafe {
            if cell.as_ref().completion.release() == Released::Free {
                drop_outcome::<T>(cell);
                Self::free_block(cell, cell.as_ref().vtable());
            }
        }
    }

    /// As [`release`](Self::release), for whoever does not know the type.
    ///
    /// # Safety
    /// The caller owns a handle and uses it no more.
    pub(crate) unsafe fn release_any(cell: NonNull<Header>) {
        // SAFETY: as in `release`.
        unsafe {
            if cell.as_ref().completion.release() == Released::Free {
                Self::free(cell);
            }
        }
    }

    /// # Safety
    /// CP-2: the cell is DONE and nobody else can reach it.
    #[inline]
    unsafe fn free(cell: NonNull<Header>) {
        // SAFETY: the caller is the only one; the outcome is there (DONE).
        unsafe {
            let vtable = cell.as_ref().vtable();
            (vtable.drop_outcome)(cell);
            Self::free_block(cell, vtable);
        }
    }

    /// # Safety
    /// As [`free`](Self::free), and the outcome was dropped or moved out.
    #[inline(always)]
    pub(crate) unsafe fn free_block(cell: NonNull<Header>, vtable: &'static VTable) {
        // SAFETY: the block was allocated with this layout by `alloc`.
        unsafe {
            match vtable.class {
                Some(class) => pool::free(cell.cast(), class),
                None => pool::free_layout(cell.cast(), vtable.layout),
            }
        };
    }

    /// Writes the outcome and completes (TC-2).
    ///
    /// # Safety
    /// TC-1: the caller took the arguments; TC-3: `T` is the cell's type.
    #[inline(always)]
    pub(crate) unsafe fn finish<T>(cell: NonNull<Header>, outcome: Outcome<T>) {
        // SAFETY: the payload holds nothing now, and is large enough for the outcome.
        unsafe {
            let header = cell.as_ref();
            if !header.extra.is_null() {
                Self::drop_extra(cell, outcome.as_ref().err());
            }
            Self::outcome::<T>(cell).write(outcome);
            if header.completion.complete() == Completed::Free {
                Self::free(cell);
            }
        }
    }

    /// Where the items of its stream go, if another process makes one.
    ///
    /// # Safety
    /// The cell is not DONE, and the caller has the right to complete it.
    pub(crate) unsafe fn stream<'a>(
        cell: NonNull<Header>,
    ) -> Option<&'a mut (Box<dyn Sink>, Arc<Producer>)> {
        // SAFETY: before DONE only the producer touches `extra`.
        unsafe { cell.as_ref().extra.as_mut() }?.stream.as_mut()
    }

    /// A stream whose call failed, wherever that was, ends with the error (SP-2).
    #[cold]
    unsafe fn drop_extra(mut cell: NonNull<Header>, fault: Option<&Fault>) {
        // SAFETY: before DONE only the producer touches `extra`, which was boxed.
        let mut extra = unsafe {
            let extra = std::mem::replace(&mut cell.as_mut().extra, null_mut());
            Box::from_raw(extra)
        };
        if let (Some((sink, _)), Some(fault)) = (&mut extra.stream, fault) {
            sink.item(Err(fault.clone()));
        }
    }

    /// Where the outcome is.
    ///
    /// # Safety
    /// TC-3.
    #[inline(always)]
    pub(crate) unsafe fn outcome<T>(cell: NonNull<Header>) -> *mut Outcome<T> {
        // SAFETY: inside the block by `layout`.
        unsafe { cell.as_ptr().byte_add(outcome_offset::<T>()).cast() }
    }

    /// Where the arguments are.
    ///
    /// # Safety
    /// TC-3, and the cell was made with these arguments.
    #[inline(always)]
    pub(crate) unsafe fn args<A>(cell: NonNull<Header>) -> *mut A {
        // SAFETY: inside the block by `layout`.
        unsafe { cell.as_ptr().byte_add(args_offset::<A>()).cast() }
    }

    /// Uninitialised memory for a cell.
    #[inline(always)]
    pub(crate) fn alloc(layout: Layout) -> NonNull<Header> {
        pool::alloc_layout(layout).cast()
    }

    /// A finished cell with one handle.
    #[inline]
    pub(crate) fn new_done<T: Send + Sync + 'static>(outcome: Outcome<T>) -> NonNull<Header> {
        let vtable = &Put::<T>::VTABLE;
        let cell = Self::alloc(vtable.layout);
        // SAFETY: fresh memory of the vtable's layout.
        unsafe {
            cell.write(Header {
                letter: Letter::new(&raw const vtable.kind),
                completion: Completion::new_done(1),
                actor: ActorWord::none(),
                extra: null_mut(),
            });
            Self::outcome::<T>(cell).write(outcome);
        }
        cell
    }

    /// A pending cell that somebody completes with [`finish`](Self::finish).
    pub(crate) fn new_promise<T: Send + Sync + 'static>() -> NonNull<Header> {
        let vtable = &Put::<T>::VTABLE;
        let cell = Self::alloc(vtable.layout);
        // SAFETY: fresh memory of the vtable's layout.
        unsafe { cell.write(Header::pending(vtable, 1, ActorWord::none())) };
        cell
    }
}

/// Drops the outcome of a cell of `T`, in place (UD-1).
///
/// # Safety
/// TC-3, DONE, and the only one who can reach it.
#[inline(always)]
pub(crate) unsafe fn drop_outcome<T>(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    unsafe {
        let outcome = Header::outcome::<T>(cell);
        if has_destructor(&*outcome) {
            discard_with(type_name::<T>, || outcome.drop_in_place());
        }
    }
}

/// Nothing to bring about.
pub(crate) unsafe fn no_progress(_: NonNull<Header>, _: Option<&Local>, _: bool) {}

/// Only calls of actors travel in lanes.
pub(crate) unsafe fn no_accept(_: NonNull<Header>, _: Answer) {
    unreachable!("a cell of this kind never travels in a lane");
}

/// As [`no_accept`].
pub(crate) unsafe fn no_keep(_: Question) {
    unreachable!("a cell of this kind never travels in a lane");
}

/// As [`no_accept`].
pub(crate) unsafe fn no_refuse(_: Question, _: Fault) {
    unreachable!("a cell of this kind never travels in a lane");
}

unsafe fn never_delivered(_: NonNull<Letter>, _: &Local) {
    unreachable!("a cell of this kind is never posted");
}

unsafe fn never_run(_: NonNull<Header>, _: &Local) {
    unreachable!("a cell of this kind is never queued");
}

unsafe fn fail_promise<T>(cell: NonNull<Header>, fault: Fault) {
    // SAFETY: a promise has no arguments; the caller has the right to complete it.
    unsafe { Header::finish::<T>(cell, Err(fault)) }
}

/// Cells that nothing runs for: `put` values and promises.
pub(crate) struct Put<T>(std::marker::PhantomData<T>);

static PUT: Meta = Meta::plain("put");

impl<T: Send + Sync + 'static> Put<T> {
    pub(crate) const VTABLE: VTable = Self::vtable(&PUT);

    /// The vtable of a promise made by `meta`.
    pub(crate) const fn vtable(meta: &'static Meta) -> VTable {
        VTable {
            kind: LetterKind {
                deliver: never_delivered,
                undeliverable: Header::undeliverable,
            },
            run: never_run,
            fail: fail_promise::<T>,
            drop_outcome: drop_outcome::<T>,
            progress: no_progress,
            accept: no_accept,
            refuse: no_refuse,
            keep: no_keep,
            travel: values::NEVER,
            access: Access::Exclusive,
            layout: layout::<(), T>(),
            class: SizeClass::of(layout::<(), T>()),
            meta,
            portable: None,
        }
    }
}
