//! What a thread keeps for itself: a loaded and a spare magazine a class.
//!
//! - LC-1 a shelf is used by its thread alone, but for its two counts, which [`stats`] reads from
//!   anywhere (Relaxed: they order nothing).
//! - LC-2 `loaded` and `spare` are null until the class is first used, and again once the thread
//!   has put them back; then `count` and `limit` are zero, and both fast paths fail.
//! - LC-3 `REGISTRY` lists the threads that have magazines. A thread enters before it takes its
//!   first magazine and leaves, under the registry's lock, after it has put back its last, so a
//!   listed address is valid while the lock is held.
//!
//! The thread-local has no destructor, so reaching it is one address computation; the guard that
//! has one is only touched when the thread enters the registry.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::magazine::{Magazine, capacity};
use super::{CLASSES, SizeClass, Stats, depot};
use crate::sync::atomic::{AtomicU32, Ordering};

/// One class of one thread.
struct Shelf {
    loaded: Cell<*mut Magazine>,
    /// Blocks in `loaded`. LC-1.
    count: AtomicU32,
    /// Blocks that `loaded` takes.
    limit: Cell<u32>,
    spare: Cell<*mut Magazine>,
    /// Blocks in `spare`. LC-1.
    spare_count: AtomicU32,
}

/// What a thread has done about its magazines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not in the registry yet.
    Outside,
    /// It is.
    Listed,
    /// Its destructors have run (PL-2).
    Left,
}

struct Local {
    shelves: [Shelf; CLASSES],
    stage: Cell<Stage>,
}

impl Shelf {
    const fn new() -> Self {
        Self {
            loaded: Cell::new(ptr::null_mut()),
            count: AtomicU32::new(0),
            limit: Cell::new(0),
            spare: Cell::new(ptr::null_mut()),
            spare_count: AtomicU32::new(0),
        }
    }
}

thread_local! {
    static LOCAL: Local = const {
        Local { shelves: [const { Shelf::new() }; CLASSES], stage: Cell::new(Stage::Outside) }
    };
    static GUARD: Guard = const { Guard };
}

/// A listed thread (LC-3).
struct Listed(*const Local);

// SAFETY: LC-3, and only the counts are read (LC-1).
unsafe impl Send for Listed {}

static REGISTRY: Mutex<Vec<Listed>> = Mutex::new(Vec::new());

fn registry() -> MutexGuard<'static, Vec<Listed>> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[inline(always)]
pub(super) fn alloc(class: SizeClass) -> NonNull<u8> {
    // A raw pointer out of the closure: a `NonNull` would be checked against `with`'s own niche.
    let block = LOCAL.with(|local| {
        let shelf = &local.shelves[class.index()];
        let count = shelf.count.load(Ordering::Relaxed);
        if count == 0 {
            return alloc_slow(local, class).as_ptr();
        }
        shelf.count.store(count - 1, Ordering::Relaxed);
        // SAFETY: LC-2: a count above zero means a magazine; MG-1: the slot holds a block.
        unsafe { Magazine::slot(NonNull::new_unchecked(shelf.loaded.get()), count - 1).read() }
    });
    // SAFETY: MG-1.
    unsafe { NonNull::new_unchecked(block) }
}

/// # Safety
/// As [`super::free`].
#[inline(always)]
pub(super) unsafe fn free(block: NonNull<u8>, class: SizeClass) {
    LOCAL.with(|local| {
        let shelf = &local.shelves[class.index()];
        let count = shelf.count.load(Ordering::Relaxed);
        if count == shelf.limit.get() {
            // SAFETY: the caller's promise.
            return unsafe { free_slow(local, block, class) };
        }
        // SAFETY: LC-2: a limit above zero means a magazine, and the count is below its capacity.
        unsafe {
            let loaded = NonNull::new_unchecked(shelf.loaded.get());
            Magazine::slot(loaded, count).write(block.as_ptr());
        }
        shelf.count.store(count + 1, Ordering::Relaxed);
    });
}

#[cold]
#[inline(never)]
fn alloc_slow(local: &Local, class: SizeClass) -> NonNull<u8> {
    if !local.enter() {
        return depot::lock(class).take_block();
    }
    let shelf = &local.shelves[class.index()];
    shelf.stock(class);
    if shelf.spare_count.load(Ordering::Relaxed) > 0 {
        shelf.swap();
    } else {
        shelf.refill(class);
    }
    alloc(class)
}

/// # Safety
/// As [`super::free`].
#[cold]
#[inline(never)]
unsafe fn free_slow(local: &Local, block: NonNull<u8>, class: SizeClass) {
    if !local.enter() {
        // SAFETY: the caller's promise.
        return unsafe { depot::lock(class).put_block(block) };
    }
    let shelf = &local.shelves[class.index()];
    shelf.stock(class);
    if shelf.spare_count.load(Ordering::Relaxed) < capacity(class) {
        shelf.swap();
    } else {
        shelf.unload(class);
    }
    // SAFETY: the caller's promise; the loaded magazine has room now.
    unsafe { free(block, class) }
}

impl Shelf {
    /// Gets the two magazines when the class is first used.
    fn stock(&self, class: SizeClass) {
        if self.loaded.get().is_null() {
            let mut depot = depot::lock(class);
            self.loaded.set(depot.take_empty().as_ptr());
            self.spare.set(depot.take_empty().as_ptr());
            self.limit.set(capacity(class));
        }
    }

    /// Exchanges the two magazines.
    fn swap(&self) {
        self.loaded.swap(&self.spare);
        let count = self.count.load(Ordering::Relaxed);
        self.count
            .store(self.spare_count.load(Ordering::Relaxed), Ordering::Relaxed);
        self.spare_count.store(count, Ordering::Relaxed);
    }

    /// Both magazines are empty: exchanges the loaded one for a full one, or fills it.
    fn refill(&self, class: SizeClass) {
        // SAFETY: `stock` has set it.
        let loaded = unsafe { NonNull::new_unchecked(self.loaded.get()) };
        let mut depot = depot::lock(class);
        if let Some((full, count)) = depot.take_full() {
            // SAFETY: PL-2; it is empty.
            unsafe { depot.put(loaded, 0) };
            drop(depot);
            self.loaded.set(full.as_ptr());
            self.count.store(count, Ordering::Relaxed);
        } else {
            let (start, count) = depot.carve(capacity(class));
            drop(depot);
            // SAFETY: PL-2, and the blocks were just cut for us.
            unsafe { Magazine::fill(loaded, start, count, class) };
            self.count.store(count, Ordering::Relaxed);
        }
    }

    /// Both magazines are full: exchanges the loaded one for an empty one.
    fn unload(&self, class: SizeClass) {
        // SAFETY: `stock` has set it.
        let loaded = unsafe { NonNull::new_unchecked(self.loaded.get()) };
        let mut depot = depot::lock(class);
        // SAFETY: PL-1, PL-2.
        unsafe { depot.put(loaded, self.count.load(Ordering::Relaxed)) };
        self.loaded.set(depot.take_empty().as_ptr());
        drop(depot);
        self.count.store(0, Ordering::Relaxed);
    }

    /// Puts both magazines into the depot (LC-2).
    fn clear(&self, class: SizeClass) {
        let mut depot = depot::lock(class);
        self.limit.set(0);
        for (magazine, count) in [
            (&self.loaded, &self.count),
            (&self.spare, &self.spare_count),
        ] {
            let count = count.swap(0, Ordering::Relaxed);
            if let Some(magazine) = NonNull::new(magazine.replace(ptr::null_mut())) {
                // SAFETY: PL-1, PL-2.
                unsafe { depot.put(magazine, count) };
            }
        }
    }
}

impl Local {
    /// Enters the registry; whether this thread may have magazines (LC-3).
    fn enter(&self) -> bool {
        if self.stage.get() == Stage::Outside {
            // Fails when this thread's destructors have run already.
            if GUARD.try_with(|_| ()).is_ok() {
                registry().push(Listed(self));
                self.stage.set(Stage::Listed);
            } else {
                self.stage.set(Stage::Left);
            }
        }
        self.stage.get() == Stage::Listed
    }
}

/// Puts the thread's magazines back when it ends (PL-2).
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        LOCAL.with(|local| {
            let mut registry = registry();
            local.stage.set(Stage::Left);
            for class in SizeClass::ALL {
                local.shelves[class.index()].clear(class);
            }
            registry.retain(|listed| !ptr::eq(listed.0, local));
        });
    }
}

pub(super) fn stats() -> Stats {
    // Registry before depots, as in `Guard`.
    let registry = registry();
    let mut stats = Stats {
        live_blocks: [0; CLASSES],
        chunk_bytes: 0,
    };
    for class in SizeClass::ALL {
        let (mut live, chunk_bytes) = depot::lock(class).usage();
        for listed in registry.iter() {
            // SAFETY: LC-3.
            let shelf = unsafe { &(*listed.0).shelves[class.index()] };
            // Saturating: blocks may move between the reads of the counts.
            live = live.saturating_sub(shelf.count.load(Ordering::Relaxed) as usize);
            live = live.saturating_sub(shelf.spare_count.load(Ordering::Relaxed) as usize);
        }
        stats.live_blocks[class.index()] = live;
        stats.chunk_bytes += chunk_bytes;
    }
    stats
}
