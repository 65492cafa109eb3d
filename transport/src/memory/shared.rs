//! Shared bytes as memory that peers read, and memory that was read into as bytes.
#![allow(unsafe_code, reason = "memory under bytes, and bytes of memory")]

use super::{HeapMemory, Memory};
use bytes::Bytes;
use std::ptr::NonNull;

/// Bytes that nobody writes, as memory to be registered for reading.
#[derive(Clone, Debug)]
pub struct SharedBytes(Bytes);

impl SharedBytes {
    /// Memory of these bytes; they are not copied.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

// SAFETY: MR-2, the bytes are where they are as long as one clone of them is there, and nobody writes
// them.
unsafe impl Memory for SharedBytes {
    fn start(&self) -> NonNull<u8> {
        NonNull::from(&*self.0).cast()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn is_writable(&self) -> bool {
        false
    }
}

impl HeapMemory {
    /// Its bytes, as they are now, not copied. Nobody can write them any more: it is registered nowhere
    /// (MR-1), or it would be shared.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Owned(self))
    }
}

/// Memory that is nobody else's.
struct Owned(HeapMemory);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: allocated, initialised, and written by nobody: no region has it (MR-1).
        unsafe { std::slice::from_raw_parts(self.0.start().as_ptr(), self.0.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_lent_and_given_back_without_a_copy() {
        let bytes = Bytes::from(vec![7; 100]);
        let memory = SharedBytes::new(bytes.clone());
        assert_eq!(memory.start().as_ptr().cast_const(), bytes.as_ptr());
        let heap = HeapMemory::new(5000);
        let start = heap.start().as_ptr().cast_const();
        let memory: &dyn Memory = &heap;
        memory.write(1000, &bytes).expect("within");
        let out = heap.into_bytes();
        assert_eq!((out.as_ptr(), out.len()), (start, 5000));
        assert_eq!(out[1000..1100], bytes[..]);
        assert_eq!(out[1100..], vec![0; 3900]);
    }
}
