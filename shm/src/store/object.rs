//! Objects: written once in place by one thread, then read by all.
//!
//! [`ObjectMut`] is the right to write, [`Object`] a counted handle of what nobody writes any more.
//!
//! - OB-1 an `ObjectMut` is the only handle of its object.
//! - OB-2 the payload of a sealed object changes no more, as long as there is a handle of it or
//!   somebody was given it.
#![allow(unsafe_code, reason = "hands out the memory of an extent")]

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::{mem, slice};

use super::descriptor::Descriptor;
use super::record::Record;

/// An object that is being written. What it holds at first is whatever was there before. Dropping it
/// gives the memory back.
#[derive(Debug)]
pub struct ObjectMut(NonNull<Record>);

// SAFETY: OB-1; records are used from any thread.
unsafe impl Send for ObjectMut {}
// SAFETY: shared methods only read.
unsafe impl Sync for ObjectMut {}

impl ObjectMut {
    /// # Safety
    /// The record's only handle is the caller's.
    #[inline]
    pub(super) unsafe fn of(record: NonNull<Record>) -> Self {
        Self(record)
    }

    fn record(&self) -> &Record {
        // SAFETY: REC-1.
        unsafe { self.0.as_ref() }
    }

    /// Ends the writing.
    #[inline]
    #[must_use]
    pub fn seal(self) -> Object {
        let record = self.record();
        record.header().seal(record.generation);
        Object(mem::ManuallyDrop::new(self).0)
    }
}

impl Deref for ObjectMut {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let record = self.record();
        // SAFETY: SPC-1, OB-1: the bytes are this handle's. A mapped file has no byte without value.
        unsafe { slice::from_raw_parts(record.payload.as_ptr(), record.bytes) }
    }
}

impl DerefMut for ObjectMut {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let record = self.record();
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(record.payload.as_ptr(), record.bytes) }
    }
}

impl Drop for ObjectMut {
    fn drop(&mut self) {
        // SAFETY: OB-1.
        unsafe { Record::let_go(self.0) };
    }
}

/// A handle of a sealed object. Cloning counts; the last one to go frees the memory, if nobody else
/// was given it.
#[derive(Debug)]
pub struct Object(NonNull<Record>);

// SAFETY: REC-1, REC-2, OB-2: what is read does not change, and the last handle may be anywhere.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

impl Object {
    #[inline]
    pub(super) fn record(&self) -> &Record {
        // SAFETY: REC-1.
        unsafe { self.0.as_ref() }
    }

    /// What names it in messages. It keeps nothing: give it to a process with `Store::give`.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let record = self.record();
        Descriptor {
            extent: record.extent(),
            unit: record.unit(),
            generation: record.generation,
            bytes: record.bytes as u64,
        }
    }

    /// Whether this is its only handle.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.handles() == 1
    }

    /// How many handles of it there are: a hint, unless others cannot make any.
    #[must_use]
    pub fn handles(&self) -> u32 {
        self.record().handles()
    }

    /// Whether both are handles of one object.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Clone for Object {
    #[inline]
    fn clone(&self) -> Self {
        self.record().hold();
        Self(self.0)
    }
}

impl Deref for Object {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let record = self.record();
        // SAFETY: SPC-1, OB-2.
        unsafe { slice::from_raw_parts(record.payload.as_ptr(), record.bytes) }
    }
}

impl AsRef<[u8]> for Object {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Object {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: REC-1.
        unsafe { Record::let_go(self.0) };
    }
}
