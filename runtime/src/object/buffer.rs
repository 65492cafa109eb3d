//! Memory that arrays and tensors lie in, wherever it is.
//!
//! - BU-1 the bytes of a buffer stay where they are and what they are while there is a handle of it:
//!   heap memory is handed out for reading alone, objects of the store are sealed (OB-2), and owners
//!   in other processes keep what they gave (FRN-4).
//! - BU-2 what is on the heap is copied into the store at most once, when another process is to have
//!   it; the copy stays as long as the buffer does.
#![allow(unsafe_code, reason = "bytes as elements, and elements as bytes")]

use crate::error::Result;
use crate::worker::bulk::Held;
use maser_shm::store::{Object, Store};
use maser_shm::tensor::dlpack::Memory;
use maser_shm::tensor::{DType, Element, Imported, TensorError};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

/// A counted handle of memory; see the module's page.
#[derive(Clone)]
pub(crate) enum Buffer {
    /// Of this process alone, so far.
    Heap(Arc<Heap>),
    /// In the store of this process.
    Own(Object),
    /// In the store of another process.
    Foreign(Arc<Held>),
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Heap(_) => "on the heap",
            Self::Own(_) => "in the store",
            Self::Foreign(_) => "in the store of another process",
        })
    }
}

impl Buffer {
    /// Memory of this process.
    pub(crate) fn heap(memory: impl Memory) -> Self {
        Self::Heap(Arc::new(Heap {
            memory: Box::new(memory),
            copy: Mutex::default(),
        }))
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(heap) => heap.memory.bytes(),
            Self::Own(object) => object,
            Self::Foreign(held) => held.bytes(),
        }
    }
}

/// Memory of this process that others cannot see.
pub(crate) struct Heap {
    memory: Box<dyn Memory>,
    /// BU-2.
    copy: Mutex<Option<Object>>,
}

impl Heap {
    /// BU-2. Copies again if the copy is not of this `store`: the one before has ended.
    pub(crate) fn in_store(
        &self,
        store: &Store,
        copied: impl FnOnce(&[u8]) -> Result<Object>,
    ) -> Result<Object> {
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        match &*copy {
            Some(object) if store.is_own(object) => Ok(object.clone()),
            _ => {
                let object = copied(self.memory.bytes())?;
                *copy = Some(object.clone());
                Ok(object)
            }
        }
    }
}

/// Elements on the heap.
struct Elements<T>(Vec<T>);

impl<T: Element> Memory for Elements<T> {
    fn bytes(&self) -> &[u8] {
        // SAFETY: DT-1, elements have no padding.
        unsafe { slice::from_raw_parts(self.0.as_ptr().cast(), size_of_val(&self.0[..])) }
    }
}

/// Bytes on the heap, where any element could begin.
struct Words(Vec<u64>, usize);

impl Memory for Words {
    fn bytes(&self) -> &[u8] {
        // SAFETY: numbers have no padding; at most the bytes of all of them.
        unsafe { slice::from_raw_parts(self.0.as_ptr().cast(), self.1) }
    }
}

/// A tensor of another library.
struct Lent(Imported);

impl Memory for Lent {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// A range of a buffer, with a handle of it.
#[derive(Clone)]
pub(crate) struct Part {
    buffer: Buffer,
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: BU-1, bytes that nobody writes, kept by the handle.
unsafe impl Send for Part {}
// SAFETY: as above.
unsafe impl Sync for Part {}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes {:?}", self.bytes, self.buffer)
    }
}

impl Part {
    /// All of a buffer.
    pub(crate) fn whole(buffer: Buffer) -> Self {
        let bytes = buffer.bytes();
        let (start, bytes) = (NonNull::from(bytes).cast(), bytes.len());
        Self {
            buffer,
            start,
            bytes,
        }
    }

    /// Elements on the heap.
    pub(crate) fn of_vec<T: Element>(elements: Vec<T>) -> Self {
        Self::whole(Buffer::heap(Elements(elements)))
    }

    /// A copy of these bytes on the heap, where any element could begin.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let words = bytes.chunks(8).map(|part| {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            u64::from_ne_bytes(word)
        });
        Self::whole(Buffer::heap(Words(words.collect(), bytes.len())))
    }

    /// The memory of a tensor of another library.
    pub(crate) fn of_import(imported: Imported) -> Self {
        Self::whole(Buffer::heap(Lent(imported)))
    }

    /// The buffer.
    pub(crate) fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Where it begins in its buffer, in bytes.
    pub(crate) fn offset(&self) -> usize {
        self.start.addr().get() - self.buffer.bytes().as_ptr().addr()
    }

    /// Its bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: BU-1; inside of the buffer.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    /// A range of it, if it has one.
    pub(crate) fn range(&self, range: Range<usize>) -> Option<Self> {
        let inside = self.bytes().get(range)?;
        Some(Self {
            start: NonNull::from(inside).cast(),
            bytes: inside.len(),
            buffer: self.buffer.clone(),
        })
    }

    /// A range as a message names it.
    pub(crate) fn of_message(
        buffer: Buffer,
        dtype: DType,
        offset: u64,
        bytes: u64,
    ) -> std::result::Result<Self, TensorError> {
        let whole = Self::whole(buffer);
        let range = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(usize::try_from(bytes).ok()?)?;
            Some(start..end)
        });
        let part = range.and_then(|range| whole.range(range));
        part.ok_or(TensorError::Bytes {
            dtype,
            size: dtype.bytes(),
            offset,
            bytes,
            buffer: whole.bytes as u64,
        })
    }
}

/// A part whose bytes are elements: whole ones, where they may lie.
#[derive(Clone)]
pub(crate) struct Typed<T> {
    part: Part,
    elements: PhantomData<T>,
}

impl<T: Element> Typed<T> {
    /// The elements in a part.
    pub(crate) fn of(part: Part) -> std::result::Result<Self, TensorError> {
        let (size, dtype) = (size_of::<T>(), T::DTYPE);
        if !part.start.cast::<T>().is_aligned() {
            return Err(TensorError::Misaligned {
                dtype,
                address: part.start.addr().get(),
                align: align_of::<T>(),
            });
        }
        if !part.bytes.is_multiple_of(size) {
            return Err(TensorError::Bytes {
                dtype,
                size,
                offset: part.offset() as u64,
                bytes: part.bytes as u64,
                buffer: part.buffer.bytes().len() as u64,
            });
        }
        Ok(Self {
            part,
            elements: PhantomData,
        })
    }

    /// The part.
    pub(crate) fn part(&self) -> &Part {
        &self.part
    }

    /// The elements.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        let count = self.part.bytes / size_of::<T>();
        // SAFETY: BU-1, DT-1; aligned since `of`.
        unsafe { slice::from_raw_parts(self.part.start.as_ptr().cast(), count) }
    }
}

/// The elements in memory that is being written; what does not make an element is left over.
pub(crate) fn elements<T: Element>(bytes: &[u8]) -> &[T] {
    // SAFETY: DT-1, any bytes make elements.
    unsafe { bytes.align_to().1 }
}

/// As [`elements`], to be written.
pub(crate) fn elements_mut<T: Element>(bytes: &mut [u8]) -> &mut [T] {
    // SAFETY: DT-1, any bytes make elements and elements any bytes.
    unsafe { bytes.align_to_mut().1 }
}
