//! Tensors of other libraries, and ours for them: DLPack 1.x, by its C structs.
//!
//! ```text
//! DLTensor                  data, device, ndim, dtype, shape, strides (in elements; null for row
//!                           major), byte_offset
//! DLManagedTensor           a DLTensor, the producer's context, its deleter
//! DLManagedTensorVersioned  version, context, deleter, flags (1 read-only, 2 copied), a DLTensor
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`import`] | tensors of others, looked at |
//! | [`export`] | ours, described |
//!
//! - DL-1 who has a managed tensor calls its deleter once, when nothing of it is used any more. Here
//!   that is when the last handle of an [`Imported`] is dropped, or a refused tensor is.
//! - DL-2 what a tensor says of itself is checked before its memory is looked at: device, type,
//!   axes, strides, size, alignment.
//! - DL-3 nobody writes to an imported tensor while it is here: whoever hands it over promises that.
//! - DL-4 what is exported keeps its memory until its deleter is called, and is marked read-only
//!   where the struct has a place for that.
#![allow(unsafe_code, reason = "C structs with pointers and deleters")]

pub mod export;
pub mod import;

use std::ffi::c_void;
use std::ptr::NonNull;

use super::error::TensorError;

pub use self::{export::Memory, import::Imported};

/// `DLDeviceType` of plain memory.
const CPU: i32 = 1;
/// The version that is written.
const VERSION: DlVersion = DlVersion { major: 1, minor: 0 };
/// `DLPACK_FLAG_BITMASK_READ_ONLY`.
pub const FLAG_READ_ONLY: u64 = 1;

/// `DLDevice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DlDevice {
    /// `DLDeviceType`; 1 is plain memory.
    pub kind: i32,
    /// Which of them.
    pub number: i32,
}

/// `DLDataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DlDataType {
    /// `DLDataTypeCode`.
    pub code: u8,
    /// Bits of a lane.
    pub bits: u8,
    /// Lanes; 1 unless it is a vector type.
    pub lanes: u16,
}

/// `DLPackVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DlVersion {
    /// Other structs.
    pub major: u32,
    /// More values in them.
    pub minor: u32,
}

/// `DLTensor`: it owns nothing.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DlBorrowed {
    /// The memory.
    pub data: *mut c_void,
    /// Whose memory.
    pub device: DlDevice,
    /// How many axes.
    pub ndim: i32,
    /// Type of the elements.
    pub dtype: DlDataType,
    /// `ndim` lengths.
    pub shape: *mut i64,
    /// `ndim` strides in elements, or null.
    pub strides: *mut i64,
    /// From `data` to the element with index zero.
    pub byte_offset: u64,
}

/// `DLManagedTensor`.
#[derive(Debug)]
#[repr(C)]
pub struct DlManaged {
    /// The tensor.
    pub tensor: DlBorrowed,
    /// The producer's.
    pub context: *mut c_void,
    /// Frees it (DL-1); may be null.
    pub deleter: Option<unsafe extern "C" fn(*mut DlManaged)>,
}

/// `DLManagedTensorVersioned`.
#[derive(Debug)]
#[repr(C)]
pub struct DlVersioned {
    /// Of the struct.
    pub version: DlVersion,
    /// The producer's.
    pub context: *mut c_void,
    /// Frees it (DL-1); may be null.
    pub deleter: Option<unsafe extern "C" fn(*mut DlVersioned)>,
    /// See [`FLAG_READ_ONLY`].
    pub flags: u64,
    /// The tensor.
    pub tensor: DlBorrowed,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<DlBorrowed>() == 48 && size_of::<DlManaged>() == 64);
    assert!(size_of::<DlVersioned>() == 80 && align_of::<DlBorrowed>() == 8);
};

/// A managed tensor of either struct, owned (DL-1).
#[derive(Debug)]
pub struct DlTensor(Managed);

#[derive(Debug)]
enum Managed {
    Plain(NonNull<DlManaged>),
    Versioned(NonNull<DlVersioned>),
}

// SAFETY: the constructors' contract: the deleter may be called on any thread.
unsafe impl Send for DlTensor {}
// SAFETY: shared methods only read.
unsafe impl Sync for DlTensor {}

impl DlTensor {
    /// Takes a `DLManagedTensor` over.
    ///
    /// # Safety
    /// It is as DLPack describes it, the caller's alone, and given up; its deleter may be called on
    /// any thread. Nobody writes to its memory until then (DL-3).
    #[must_use]
    pub unsafe fn from_plain(tensor: NonNull<DlManaged>) -> Self {
        Self(Managed::Plain(tensor))
    }

    /// Takes a `DLManagedTensorVersioned` over.
    ///
    /// # Safety
    /// As for [`from_plain`](Self::from_plain).
    #[must_use]
    pub unsafe fn from_versioned(tensor: NonNull<DlVersioned>) -> Self {
        Self(Managed::Versioned(tensor))
    }

    /// Gives a `DLManagedTensor` away: whoever has it calls its deleter. The tensor itself if it is
    /// a versioned one.
    ///
    /// # Errors
    /// The tensor, if it is of the other struct.
    pub fn into_plain(self) -> Result<NonNull<DlManaged>, Self> {
        match self.0 {
            Managed::Plain(tensor) => {
                std::mem::forget(self);
                Ok(tensor)
            }
            Managed::Versioned(_) => Err(self),
        }
    }

    /// As [`into_plain`](Self::into_plain), for the versioned struct.
    ///
    /// # Errors
    /// The tensor, if it is of the other struct.
    pub fn into_versioned(self) -> Result<NonNull<DlVersioned>, Self> {
        match self.0 {
            Managed::Versioned(tensor) => {
                std::mem::forget(self);
                Ok(tensor)
            }
            Managed::Plain(_) => Err(self),
        }
    }

    /// What it says of itself. A version that is not known says nothing else.
    fn tensor(&self) -> Result<DlBorrowed, TensorError> {
        match self.0 {
            // SAFETY: DL-1, it is there.
            Managed::Plain(tensor) => Ok(unsafe { tensor.as_ref() }.tensor),
            Managed::Versioned(tensor) => {
                // SAFETY: as above; the version lies first in every version.
                let version = unsafe { (&raw const (*tensor.as_ptr()).version).read() };
                if version.major != VERSION.major {
                    let DlVersion { major, minor } = version;
                    return Err(TensorError::DlVersion { major, minor });
                }
                // SAFETY: DL-1, of this struct.
                Ok(unsafe { tensor.as_ref() }.tensor)
            }
        }
    }

    /// Whether its producer says that nobody may write to it; false where the struct cannot tell.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match self.0 {
            Managed::Plain(_) => false,
            Managed::Versioned(tensor) => {
                // SAFETY: DL-1; the flags lie where they are in every version.
                (unsafe { (&raw const (*tensor.as_ptr()).flags).read() }) & FLAG_READ_ONLY != 0
            }
        }
    }
}

impl Drop for DlTensor {
    fn drop(&mut self) {
        // SAFETY: DL-1, once; it is not used again.
        unsafe {
            match self.0 {
                Managed::Plain(tensor) => {
                    if let Some(deleter) = tensor.as_ref().deleter {
                        deleter(tensor.as_ptr());
                    }
                }
                Managed::Versioned(tensor) => {
                    if let Some(deleter) = (*tensor.as_ptr()).deleter {
                        deleter(tensor.as_ptr());
                    }
                }
            }
        }
    }
}
