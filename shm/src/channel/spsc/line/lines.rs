//! The lines of a line ring, and a cursor that walks over them.
//!
//! Layout: module doc of `line`.
//!
//! - LL-1 the allocation is made once, never moves and is freed when the `Lines` is dropped; both
//!   ends keep cursors into it beside an `Arc` of the ring that owns it. In control memory the ends
//!   keep them beside a share of the mapping (MS-1), and fresh lines are clear (CM-2).
//! - LL-2 the number of lines is a power of two, and a cursor's `line` is always the base plus a
//!   masked number of strides, its `index` always below `PER_LINE`.
#![allow(unsafe_code, reason = "slots at computed offsets of a raw allocation")]

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::channel::ChannelError;
use crate::channel::slots::check_capacity;
use crate::sync::atomic::AtomicU64;
use crate::sync::cell::UnsafeCell;

pub(super) use memory::Line;

/// How values are laid out in memory.
#[cfg(not(loom))]
mod memory {
    use std::marker::PhantomData;

    use super::*;
    use crate::channel::LINE_BYTES;
    use crate::channel::slots::lines_layout;

    /// The first bytes of a line; values follow at `FIRST_BYTES`.
    #[repr(C)]
    pub(in super::super) struct Line<T> {
        written: AtomicU64,
        values: PhantomData<UnsafeCell<T>>,
    }

    impl<T> Line<T> {
        /// Offset of the first value.
        const FIRST_BYTES: usize = max(size_of::<AtomicU64>(), align_of::<T>());
        /// Values of a line: as many as fit beside `written`, at least one.
        pub(in super::super) const PER_LINE: usize = match size_of::<T>() {
            0 => 7,
            bytes => max(1, LINE_BYTES.saturating_sub(Self::FIRST_BYTES) / bytes),
        };
        const ALIGN: usize = max(LINE_BYTES, align_of::<T>());
        /// Bytes from line to line.
        pub(super) const STRIDE: usize =
            (Self::FIRST_BYTES + Self::PER_LINE * size_of::<T>()).next_multiple_of(Self::ALIGN);

        /// Allocates and clears `lines` lines.
        pub(super) fn allocate(lines: usize) -> Result<NonNull<Self>, ChannelError> {
            let layout = lines_layout(Self::STRIDE, Self::ALIGN, lines)?;
            // SAFETY: the layout is not empty.
            let base = NonNull::new(unsafe { std::alloc::alloc(layout) })
                .ok_or(ChannelError::OutOfMemory {
                    bytes: layout.size(),
                })?
                .cast::<Self>();
            for index in 0..lines {
                // SAFETY: inside the new allocation. Writing every line also faults its page in.
                unsafe {
                    let line = base.byte_add(index * Self::STRIDE).as_ptr();
                    (&raw mut (*line).written).write(AtomicU64::new(0));
                }
            }
            Ok(base)
        }

        /// # Safety
        ///
        /// `base` came from `allocate(lines)` and is not used again.
        pub(super) unsafe fn free(base: NonNull<Self>, lines: usize) {
            let layout = lines_layout(Self::STRIDE, Self::ALIGN, lines)
                .expect("it was allocated with this layout");
            // SAFETY: this function's contract.
            unsafe { std::alloc::dealloc(base.as_ptr().cast(), layout) };
        }

        /// # Safety
        ///
        /// `line` points to a live line.
        #[inline(always)]
        pub(super) unsafe fn written<'a>(line: NonNull<Self>) -> &'a AtomicU64 {
            // SAFETY: `allocate` initialised it.
            unsafe { &(*line.as_ptr()).written }
        }

        /// # Safety
        ///
        /// `line` points to a live line and `index < PER_LINE`.
        #[inline(always)]
        pub(super) unsafe fn value<'a>(
            line: NonNull<Self>,
            index: usize,
        ) -> &'a UnsafeCell<MaybeUninit<T>> {
            // SAFETY: `FIRST_BYTES + (index + 1) * size <= STRIDE`, aligned for `T`; the cell is
            // transparent over bytes that may be uninitialised.
            unsafe {
                line.byte_add(Self::FIRST_BYTES)
                    .cast::<UnsafeCell<MaybeUninit<T>>>()
                    .add(index)
                    .as_ref()
            }
        }
    }

    const fn max(a: usize, b: usize) -> usize {
        if a > b { a } else { b }
    }

    const _: () = {
        assert!(Line::<u64>::PER_LINE == 7 && Line::<u64>::STRIDE == LINE_BYTES);
        assert!(Line::<u8>::PER_LINE == 56 && Line::<u8>::STRIDE == LINE_BYTES);
        assert!(Line::<[u64; 6]>::PER_LINE == 1 && Line::<[u64; 6]>::STRIDE == LINE_BYTES);
        assert!(Line::<u128>::PER_LINE == 3 && Line::<u128>::STRIDE == LINE_BYTES);
        assert!(Line::<[u64; 8]>::PER_LINE == 1 && Line::<[u64; 8]>::STRIDE == 2 * LINE_BYTES);
    };
}

/// loom tracks every cell, so its lines are plain structs, of two values to keep models small.
#[cfg(loom)]
mod memory {
    use super::*;

    pub(in super::super) struct Line<T> {
        written: AtomicU64,
        values: [UnsafeCell<MaybeUninit<T>>; 2],
    }

    impl<T> Line<T> {
        pub(in super::super) const PER_LINE: usize = 2;
        pub(super) const STRIDE: usize = size_of::<Self>();

        pub(super) fn allocate(lines: usize) -> Result<NonNull<Self>, ChannelError> {
            let lines: Box<[Self]> = (0..lines)
                .map(|_| Self {
                    written: AtomicU64::new(0),
                    values: std::array::from_fn(|_| UnsafeCell::new(MaybeUninit::uninit())),
                })
                .collect();
            Ok(NonNull::from(Box::leak(lines)).cast())
        }

        /// # Safety
        ///
        /// `base` came from `allocate(lines)` and is not used again.
        pub(super) unsafe fn free(base: NonNull<Self>, lines: usize) {
            let lines = NonNull::slice_from_raw_parts(base, lines);
            // SAFETY: this function's contract.
            drop(unsafe { Box::from_raw(lines.as_ptr()) });
        }

        /// # Safety
        ///
        /// `line` points to a live line.
        pub(super) unsafe fn written<'a>(line: NonNull<Self>) -> &'a AtomicU64
        where
            T: 'a,
        {
            // SAFETY: this function's contract.
            unsafe { &line.as_ref().written }
        }

        /// # Safety
        ///
        /// `line` points to a live line and `index < PER_LINE`.
        pub(super) unsafe fn value<'a>(
            line: NonNull<Self>,
            index: usize,
        ) -> &'a UnsafeCell<MaybeUninit<T>> {
            // SAFETY: this function's contract.
            unsafe { &line.as_ref().values[index] }
        }
    }
}

/// Owner of the lines.
pub(super) struct Lines<T> {
    base: NonNull<Line<T>>,
    /// Number of lines, a power of two.
    count: usize,
}

impl<T> Lines<T> {
    /// Enough lines for `capacity` values, rounded up to a power of two.
    pub(super) fn new(capacity: usize) -> Result<Self, ChannelError> {
        check_capacity(capacity)?;
        let count = lines_for::<T>(capacity);
        Ok(Self {
            base: Line::allocate(count)?,
            count,
        })
    }

    /// A cursor at `position`.
    pub(super) fn cursor(&self, position: u64) -> Cursor<T> {
        // SAFETY: LL-1: these are the lines.
        unsafe { Cursor::over(self.base, self.count, position) }
    }
}

/// Lines for a ring of at least `capacity` values: a power of two.
pub(super) fn lines_for<T>(capacity: usize) -> usize {
    let capacity = capacity.next_power_of_two();
    capacity.div_ceil(Line::<T>::PER_LINE).next_power_of_two()
}

/// Bytes of such lines.
#[cfg(not(loom))]
pub(super) fn lines_bytes<T>(capacity: usize) -> usize {
    lines_for::<T>(capacity).saturating_mul(Line::<T>::STRIDE)
}

impl<T> Drop for Lines<T> {
    fn drop(&mut self) {
        // SAFETY: LL-1: `base` came from `allocate(count)` and is freed only here.
        unsafe { Line::free(self.base, self.count) };
    }
}

/// The place of one position, which moves on from value to value and line to line.
pub(super) struct Cursor<T> {
    first: NonNull<Line<T>>,
    last: NonNull<Line<T>>,
    line: NonNull<Line<T>>,
    /// Value within the line.
    index: usize,
}

impl<T> Clone for Cursor<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Cursor<T> {}

impl<T> Cursor<T> {
    /// A cursor at `position` of `count` lines, a power of two, from `base` on.
    ///
    /// # Safety
    ///
    /// The lines are there, for as long as the cursor is used.
    pub(super) unsafe fn over(base: NonNull<Line<T>>, count: usize, position: u64) -> Self {
        let per_line = Line::<T>::PER_LINE as u64;
        let line = (position / per_line) as usize % count;
        // SAFETY: LL-2: both indices are below `count`.
        let at = |index| unsafe { base.byte_add(index * Line::<T>::STRIDE) };
        Cursor {
            first: base,
            last: at(count - 1),
            line: at(line),
            index: (position % per_line) as usize,
        }
    }

    /// The `written` word of the line.
    ///
    /// # Safety
    ///
    /// The `Lines` this cursor came from is alive.
    #[inline(always)]
    pub(super) unsafe fn written(&self) -> &AtomicU64 {
        // SAFETY: LL-2, and alive by this function's contract.
        unsafe { Line::written(self.line) }
    }

    /// The cell of the value.
    ///
    /// # Safety
    ///
    /// The `Lines` this cursor came from is alive.
    #[inline(always)]
    pub(super) unsafe fn value(&self) -> &UnsafeCell<MaybeUninit<T>> {
        // SAFETY: this function's contract.
        unsafe { self.value_at(0) }
    }

    /// The cell of the value `further` on in the same line.
    ///
    /// # Safety
    ///
    /// The `Lines` this cursor came from is alive, and `further < left_in_line()`.
    #[inline(always)]
    pub(super) unsafe fn value_at(&self, further: usize) -> &UnsafeCell<MaybeUninit<T>> {
        // SAFETY: LL-2, and this function's contract.
        unsafe { Line::value(self.line, self.index() + further) }
    }

    /// Values of this line before here.
    #[inline(always)]
    pub(super) fn behind_in_line(&self) -> u64 {
        self.index() as u64
    }

    /// Values from here to the end of the line, at least 1.
    #[inline(always)]
    pub(super) fn left_in_line(&self) -> u64 {
        (Line::<T>::PER_LINE - self.index()) as u64
    }

    /// Moves `values` on, at most to the start of the next line.
    #[inline(always)]
    pub(super) fn advance(&mut self, values: usize) {
        self.index = self.index() + values;
        if self.index() == Line::<T>::PER_LINE || Line::<T>::PER_LINE == 1 {
            self.index = 0;
            self.line = if self.line == self.last {
                self.first
            } else {
                // SAFETY: LL-2: a line other than the last has one after it.
                unsafe { self.line.byte_add(Line::<T>::STRIDE) }
            };
        }
    }

    /// The value within the line, 0 as a constant where a line has only one.
    #[inline(always)]
    fn index(&self) -> usize {
        if Line::<T>::PER_LINE == 1 {
            0
        } else {
            self.index
        }
    }
}
