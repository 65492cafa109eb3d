//! Arenas: where one thread makes objects without asking anybody.
//!
//! An arena has extents of its own and books of its own, in private memory. The thread that opened
//! it allocates and frees with plain loads and stores; what other threads drop comes back over a
//! list that the arena empties before it looks for room.
//!
//! - AR-1 the books are touched under `lock` alone, and nothing is called from under it that could
//!   come back here.
//! - AR-2 an arena lives while objects of it do: its handle keeps it until it is closed, then `keep`
//!   does, until the last object is freed. So an object may use its arena until the free that
//!   belongs to it is done, and no longer.
//! - AR-3 frees of other threads are handed back while the list is closed: in a closed arena, and
//!   while somebody waits for memory (`pressed`). They then go under the lock.
//! - AR-4 an arena keeps extents in which nothing lies, up to `warm_bytes` and one in any case; none
//!   when it is closed or `pressed`.
//! - AR-5 the first free after a look of the attendant (PO-3) that leaves an extent or the arena empty
//!   asks for the next looks, and so does the first free by another thread. A look removes the
//!   extents in which nothing was made since the last one. (A free over the list that is under way
//!   during both looks that follow stays on the list until something else happens in the arena.)
#![allow(
    unsafe_code,
    reason = "books behind a lock; records through raw pointers"
)]

use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;
use std::sync::Arc;

use super::copy;
use super::error::StoreError;
use super::ground::Ground;
use super::object::{Object, ObjectMut};
use super::record::Record;
use super::shared::Shared;
use crate::arena::remote::{Drain, RemoteFrees};
use crate::arena::space::Space;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::cell::UnsafeCell;
use crate::sync::owner_lock::{OwnerLock, thread_number};

/// An arena of the thread that opened it. Objects may outlive it.
#[derive(Debug)]
pub struct Arena {
    pub(super) books: Arc<Books>,
    /// Its owner's lock is free for this very thread.
    not_send: PhantomData<*mut ()>,
}

impl Arena {
    pub(super) fn open(shared: &Arc<Shared>) -> Self {
        let books = Books::open(shared, thread_number());
        Self {
            books,
            not_send: PhantomData,
        }
    }

    /// An object of `bytes`, to be written. Throws out what is only cached, does not wait, and
    /// writes nothing to disk.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is no room.
    #[inline]
    pub fn try_create(&self, bytes: usize) -> Result<ObjectMut, StoreError> {
        match self.books.alloc(bytes) {
            Some(object) => Ok(object),
            None => self.books.shared.create(&self.books, bytes, false),
        }
    }

    /// As [`try_create`](Self::try_create), but cold objects are written to disk where that makes
    /// room.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is none then either.
    #[inline]
    pub fn create(&self, bytes: usize) -> Result<ObjectMut, StoreError> {
        match self.books.alloc(bytes) {
            Some(object) => Ok(object),
            None => self.books.shared.create(&self.books, bytes, true),
        }
    }

    /// An object with these bytes, to be read; as [`create`](Self::create).
    ///
    /// # Errors
    /// As [`create`](Self::create).
    #[inline]
    pub fn put(&self, bytes: &[u8]) -> Result<Object, StoreError> {
        let mut object = self.create(bytes.len())?;
        copy::copy(&mut object, bytes);
        Ok(object.seal())
    }

    /// Takes back what other threads dropped and gives back what nothing lies in.
    pub fn trim(&self) {
        self.books.trim();
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.books.close();
    }
}

/// What is behind an arena.
#[derive(Debug)]
pub(super) struct Books {
    lock: OwnerLock,
    pages: UnsafeCell<Pages>,
    /// Number of the thread whose frees need no list; 0 is none.
    owner: u64,
    remote: RemoteFrees,
    /// Looks were asked for by a free that goes over the list (AR-5). A hint: Relaxed.
    awaited: AtomicBool,
    pub(super) shared: Arc<Shared>,
}

// SAFETY: AR-1; records are handed from thread to thread as a whole.
unsafe impl Send for Books {}
// SAFETY: as above.
unsafe impl Sync for Books {}

#[derive(Debug)]
struct Pages {
    space: Space,
    grounds: Vec<Option<Arc<Ground>>>,
    generation: u64,
    payload_bytes: usize,
    warm_bytes: u64,
    closed: bool,
    pressed: bool,
    /// Something was freed since that was last told.
    freed: bool,
    /// Looks were asked for by a free under the lock, or are to be (AR-5).
    watched: bool,
    watch: bool,
    keep: Option<Arc<Books>>,
    retired: Vec<Arc<Ground>>,
}

/// What is left to do outside of the lock.
#[must_use]
#[derive(Default)]
struct After {
    retired: Vec<Arc<Ground>>,
    shared: Option<Arc<Shared>>,
    freed: bool,
    watch: bool,
    last: Option<Arc<Books>>,
}

impl After {
    fn finish(self) {
        let Some(shared) = self.shared else { return };
        for ground in self.retired {
            shared.grounds.retire(ground);
        }
        drop(self.last);
        if self.watch {
            shared.grounds.attendant.freed();
        }
        if self.freed {
            shared.freed();
        }
    }
}

impl Books {
    /// Books of a thread, or of all with `owner` 0.
    pub(super) fn open(shared: &Arc<Shared>, owner: u64) -> Arc<Self> {
        let lock = match owner {
            0 => OwnerLock::new(),
            owner => OwnerLock::kept_by(owner),
        };
        let pages = Pages {
            space: Space::new(),
            grounds: Vec::new(),
            generation: 0,
            payload_bytes: 0,
            warm_bytes: shared.grounds.config().warm_bytes as u64,
            closed: false,
            pressed: false,
            freed: false,
            watched: false,
            watch: false,
            keep: None,
            retired: Vec::new(),
        };
        let books = Arc::new(Self {
            lock,
            pages: UnsafeCell::new(pages),
            owner,
            remote: RemoteFrees::new(),
            awaited: AtomicBool::new(false),
            shared: Arc::clone(shared),
        });
        shared.enlist(&books);
        books
    }

    /// Does something under the lock, then what that left to do.
    #[inline(always)]
    fn locked<R>(&self, work: impl FnOnce(&mut Pages) -> R) -> R {
        let guard = self.lock.lock(thread_number());
        // SAFETY: AR-1.
        let (result, after) = self.pages.with_mut(|pages| unsafe {
            let result = work(&mut *pages);
            (result, (*pages).after(self))
        });
        drop(guard); // AR-2: from here on `self` may be gone.
        if let Some(after) = after {
            after.finish();
        }
        result
    }

    /// An object, if there is room for it here.
    #[inline]
    pub(super) fn alloc(&self, bytes: usize) -> Option<ObjectMut> {
        self.locked(|pages| {
            if !self.remote.is_empty() {
                pages.drain(self.remote.drain());
            }
            let place = pages.space.alloc(bytes)?;
            let ground = pages.grounds[place.region as usize].as_ref();
            let ground = ground.expect("SPC-3: a place lies in a region that is there");
            pages.generation += 1;
            pages.payload_bytes += bytes;
            let generation = pages.generation;
            // SAFETY: SPC-1, the place is inside of the extent and the new object's alone. AR-2: the
            // arena is there, and stays while the object does.
            Some(unsafe { Record::create(NonNull::from(self), ground, place, generation, bytes) })
        })
    }

    /// Takes an object back whose last handle is gone.
    ///
    /// # Safety
    /// The record is of these books, and nobody uses it any more.
    pub(super) unsafe fn free(this: NonNull<Self>, record: NonNull<Record>) {
        // SAFETY: AR-2, the object's free is not done.
        let books = unsafe { this.as_ref() };
        if books.owner != thread_number() {
            let asks = !books.awaited.load(Ordering::Relaxed);
            let shared = (asks && !books.awaited.swap(true, Ordering::Relaxed))
                .then(|| Arc::clone(&books.shared));
            // SAFETY: the caller's promise; the link is the record's first field.
            let pushed = unsafe { books.remote.push(record.cast()) };
            if pushed.is_ok() {
                // AR-2: the owner may have freed all by now.
                if let Some(shared) = shared {
                    shared.grounds.attendant.freed(); // AR-5
                }
                return;
            }
        }
        books.locked(|pages| pages.free(record)); // AR-3
    }

    /// Adds an extent.
    pub(super) fn add(&self, ground: Arc<Ground>) {
        self.locked(|pages| {
            let region = pages.space.add_region(ground.extent.bytes()) as usize;
            if pages.grounds.len() <= region {
                pages.grounds.resize(region + 1, None);
            }
            pages.grounds[region] = Some(ground);
        });
    }

    /// Takes back what came over the list, and gives back what nothing lies in.
    pub(super) fn trim(&self) {
        self.locked(|pages| {
            if !self.remote.is_empty() {
                pages.drain(self.remote.drain());
            }
            pages.space.trim();
            pages.retire(true);
        });
    }

    /// A look (AR-5): whether something lies empty still.
    pub(super) fn cool(&self) -> bool {
        self.awaited.store(false, Ordering::Relaxed);
        self.locked(|pages| {
            pages.watched = false;
            pages.drain(self.remote.drain());
            pages.space.trim();
            while let Some(region) = pages.space.remove_rested_region() {
                pages.give_up(region);
            }
            pages.space.rest()
        })
    }

    /// Has every free reported at once (AR-3), or no more.
    pub(super) fn press(&self, pressed: bool) {
        self.locked(|pages| {
            pages.pressed = pressed;
            if pressed {
                pages.drain(self.remote.close());
                pages.space.trim();
                pages.retire(true);
            } else if !pages.closed {
                self.remote.open();
            }
        });
    }

    /// The handle is gone.
    pub(super) fn close(self: &Arc<Self>) {
        self.locked(|pages| {
            pages.closed = true;
            pages.drain(self.remote.close());
            pages.space.trim();
            pages.retire(true);
            if pages.space.live() > 0 {
                pages.keep = Some(Arc::clone(self)); // AR-2
            }
        });
    }

    /// Objects, bytes of their payloads, and bytes of granules that nothing lies in.
    pub(super) fn figures(&self) -> (usize, usize, usize) {
        self.locked(|pages| {
            if !self.remote.is_empty() {
                pages.drain(self.remote.drain());
            }
            let free = pages.space.free_bytes();
            (pages.space.live(), pages.payload_bytes, free)
        })
    }
}

impl Pages {
    fn drain(&mut self, drain: Drain) {
        for link in drain {
            self.free(link.cast());
        }
    }

    #[inline]
    fn free(&mut self, record: NonNull<Record>) {
        // SAFETY: RF-1 or the caller of `Books::free`: the record is ours alone now.
        let (place, bytes) = unsafe { Record::destroy(record) };
        self.space.free(place);
        self.payload_bytes -= bytes;
        self.freed = true;
        if self.space.empty_regions() > 0 {
            self.retire(self.closed || self.pressed); // AR-4
        }
        if !self.watched && (self.space.empty_regions() > 0 || self.space.live() == 0) {
            (self.watched, self.watch) = (true, true); // AR-5
        }
    }

    /// Removes empty extents, all of them or those that are too many (AR-4).
    fn retire(&mut self, all: bool) {
        let warm_bytes = self.warm_bytes;
        let too_many =
            |space: &Space| all || space.empty_regions() > 1 && space.empty_bytes() > warm_bytes;
        while too_many(&self.space) {
            let Some(region) = self.space.remove_empty_region() else {
                return;
            };
            self.give_up(region);
        }
    }

    /// The extent of a region that was removed.
    fn give_up(&mut self, region: u32) {
        self.retired.extend(self.grounds[region as usize].take());
    }

    #[inline(always)]
    fn after(&mut self, books: &Books) -> Option<After> {
        if self.retired.is_empty() && !self.pressed && !self.closed && !self.watch {
            return None;
        }
        Some(self.leave(books))
    }

    #[cold]
    fn leave(&mut self, books: &Books) -> After {
        let over = self.closed && self.space.live() == 0;
        if over {
            self.space.trim();
            self.retire(true);
        }
        After {
            retired: mem::take(&mut self.retired),
            shared: Some(Arc::clone(&books.shared)),
            freed: mem::take(&mut self.freed) && self.pressed,
            watch: mem::take(&mut self.watch),
            last: if over { self.keep.take() } else { None },
        }
    }
}
