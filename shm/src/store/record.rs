//! What the process knows about one of its objects: a line of private memory.
//!
//! - REC-1 a record belongs to the handles of its object, which `count` counts; when the last one is
//!   gone it belongs to the arena, which destroys it.
//! - REC-2 the last handle is gone with Release, and whoever finds that out passes an Acquire fence:
//!   all that other handles did comes before the place is used again.
#![allow(unsafe_code, reason = "counts handles of memory that it frees")]

use std::alloc::Layout;
use std::ptr::NonNull;

use super::arena::Books;
use super::ground::Ground;
use super::header::Header;
use super::object::ObjectMut;
use crate::arena::classes::{HEADER_UNITS, UNIT_BYTES};
use crate::arena::pool;
use crate::arena::remote::Link;
use crate::arena::space::Place;
use crate::sync::atomic::{AtomicU32, Ordering, fence};

/// See the module's page.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Record {
    /// First: the record is linked by it when another thread gives it back.
    link: Link,
    count: AtomicU32,
    extent: u32,
    books: NonNull<Books>,
    pub(super) payload: NonNull<u8>,
    pub(super) bytes: usize,
    pub(super) generation: u64,
    place: Place,
}

const _: () = assert!(size_of::<Record>() == 64);
const LAYOUT: Layout = Layout::new::<Record>();

/// More handles than could be made without losing some.
const HANDLES_MAX: u32 = 1 << 31;

impl Record {
    /// Begins an object.
    ///
    /// # Safety
    /// The place is in the extent and the caller's alone; `books` outlive the object.
    #[inline]
    pub(super) unsafe fn create(
        books: NonNull<Books>,
        ground: &Ground,
        place: Place,
        generation: u64,
        bytes: usize,
    ) -> ObjectMut {
        let offset = (place.unit + HEADER_UNITS) as usize * UNIT_BYTES;
        // SAFETY: the caller's promise.
        let payload = unsafe { ground.extent.start().add(offset) };
        let record = pool::alloc_layout(LAYOUT).cast::<Self>();
        // SAFETY: fresh memory of this layout. SZ-1: a header lies before the payload.
        unsafe {
            record.write(Self {
                link: Link::new(),
                count: AtomicU32::new(1),
                extent: ground.id,
                books,
                payload,
                bytes,
                generation,
                place,
            });
            Header::before(payload).open(generation, bytes);
            ObjectMut::of(record)
        }
    }

    /// Ends it; where it lay, and its bytes.
    ///
    /// # Safety
    /// REC-1: the record is the caller's.
    #[inline]
    pub(super) unsafe fn destroy(record: NonNull<Self>) -> (Place, usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let Self { place, bytes, .. } = *record.as_ref();
            pool::free_layout(record.cast(), LAYOUT);
            (place, bytes)
        }
    }

    /// The header in the extent.
    #[inline]
    pub(super) fn header(&self) -> &Header {
        // SAFETY: SPC-1, SZ-1: the place is the object's, which this record belongs to.
        unsafe { Header::before(self.payload) }
    }

    pub(super) fn books(&self) -> &Books {
        // SAFETY: AR-2.
        unsafe { self.books.as_ref() }
    }

    pub(super) fn extent(&self) -> u32 {
        self.extent
    }

    /// Where the payload begins, in units.
    pub(super) fn unit(&self) -> u32 {
        self.place.unit + HEADER_UNITS
    }

    /// How many handles there are.
    pub(super) fn handles(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// One handle more.
    #[inline]
    pub(super) fn hold(&self) {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        if before > HANDLES_MAX {
            std::process::abort(); // As Arc does: handles are being leaked in a loop.
        }
    }

    /// One handle less; the last one frees the object.
    ///
    /// # Safety
    /// The handle is the caller's and not used any more.
    #[inline]
    pub(super) unsafe fn let_go(record: NonNull<Self>) {
        // SAFETY: REC-1.
        let this = unsafe { record.as_ref() };
        if this.count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire); // REC-2
        this.header().clear(this.generation);
        // SAFETY: REC-1.
        unsafe { Books::free(this.books, record) };
    }
}
