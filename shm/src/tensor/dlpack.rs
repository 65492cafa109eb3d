//! Tensors of other libraries, and ours for them: DLPack 1.x, by its C structs.
//!
//! ```text
//! DLTensor                  data, device, ndim, dtype, shape, strides (in elements; null for row
//!                           major), byte_offset
//! DLManagedTensor           a DLTensor, the producer's context, its deleter
//! DLManagedTensorVersioned  version, context, deleter, flags (1 read-only, 2 copied), a DLTensor
//! ```
//!
//! - DL-1 who has a managed tensor calls its deleter once, when nothing of it is used any more. Here
//!   that is when the last handle of an [`Imported`] is dropped, or a refused tensor is.
//! - DL-2 what a tensor says of itself is checked before its memory is looked at: device, type,
//!   axes, strides, size, alignment.
//! - DL-3 nobody writes to an imported tensor while it is here: whoever hands it over promises that.
//! - DL-4 what is exported keeps its memory until its deleter is called, and is marked read-only
//!   where the struct has a place for that.
#![allow(unsafe_code, reason = "C structs with pointers and deleters")]

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use super::dtype::DType;
use super::error::TensorError;
use super::layout::{self, Layout, RANK_MAX, row_major};

/// `DLDeviceType` of plain memory.
const CPU: i32 = 1;
/// The version that is written.
const VERSION: DlVersion = DlVersion { major: 1, minor: 0 };
/// `DLPACK_FLAG_BITMASK_READ_ONLY`.
pub const FLAG_READ_ONLY: u64 = 1;
/// What `data` of an exported tensor is a multiple of where there is no element.
const ALIGN: usize = 256;

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
pub enum DlTensor {
    /// `DLManagedTensor`.
    Plain(NonNull<DlManaged>),
    /// `DLManagedTensorVersioned`.
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
        Self::Plain(tensor)
    }

    /// Takes a `DLManagedTensorVersioned` over.
    ///
    /// # Safety
    /// As for [`from_plain`](Self::from_plain).
    #[must_use]
    pub unsafe fn from_versioned(tensor: NonNull<DlVersioned>) -> Self {
        Self::Versioned(tensor)
    }

    /// Gives a `DLManagedTensor` away: whoever has it calls its deleter. The tensor itself if it is
    /// a versioned one.
    ///
    /// # Errors
    /// The tensor, if it is of the other struct.
    pub fn into_plain(self) -> Result<NonNull<DlManaged>, Self> {
        match self {
            Self::Plain(tensor) => {
                std::mem::forget(self);
                Ok(tensor)
            }
            Self::Versioned(_) => Err(self),
        }
    }

    /// As [`into_plain`](Self::into_plain), for the versioned struct.
    ///
    /// # Errors
    /// The tensor, if it is of the other struct.
    pub fn into_versioned(self) -> Result<NonNull<DlVersioned>, Self> {
        match self {
            Self::Versioned(tensor) => {
                std::mem::forget(self);
                Ok(tensor)
            }
            Self::Plain(_) => Err(self),
        }
    }

    /// What it says of itself. A version that is not known says nothing else.
    fn tensor(&self) -> Result<DlBorrowed, TensorError> {
        match self {
            // SAFETY: DL-1, it is there.
            Self::Plain(tensor) => Ok(unsafe { tensor.as_ref() }.tensor),
            Self::Versioned(tensor) => {
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
        match self {
            Self::Plain(_) => false,
            Self::Versioned(tensor) => {
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
            match self {
                Self::Plain(tensor) => {
                    if let Some(deleter) = tensor.as_ref().deleter {
                        deleter(tensor.as_ptr());
                    }
                }
                Self::Versioned(tensor) => {
                    if let Some(deleter) = (*tensor.as_ptr()).deleter {
                        deleter(tensor.as_ptr());
                    }
                }
            }
        }
    }
}

/// A tensor of another library that was looked at (DL-2). Clones are handles of one.
#[derive(Clone, Debug)]
pub struct Imported {
    managed: Arc<DlTensor>,
    start: NonNull<u8>,
    bytes: usize,
    dtype: DType,
    layout: Layout,
}

// SAFETY: DL-3, memory that nobody writes, kept by `managed`.
unsafe impl Send for Imported {}
// SAFETY: as above.
unsafe impl Sync for Imported {}

impl Imported {
    /// Looks at a tensor.
    ///
    /// # Errors
    /// [`TensorError`] for one that is not in plain memory, of another type or version, or that
    /// contradicts itself; it is given back to its producer then (DL-1).
    pub fn new(managed: DlTensor) -> Result<Self, TensorError> {
        let tensor = managed.tensor()?;
        let DlDevice { kind, number } = tensor.device;
        if kind != CPU {
            let device = kind;
            return Err(TensorError::DlDevice { device, number });
        }
        let DlDataType { code, bits, lanes } = tensor.dtype;
        let dtype = DType::of_dlpack(code, bits).filter(|_| lanes == 1);
        let dtype = dtype.ok_or(TensorError::DlType { code, bits, lanes })?;
        let damaged = |problem| TensorError::DlDamaged { problem };
        let rank = usize::try_from(tensor.ndim).map_err(|_| damaged("it has fewer than no axes"))?;
        if rank > RANK_MAX {
            return Err(TensorError::Rank { rank });
        }
        if rank > 0 && tensor.shape.is_null() {
            return Err(damaged("it has axes and no shape"));
        }
        let mut shape = Vec::with_capacity(rank);
        let mut strides = Vec::with_capacity(rank);
        for axis in 0..rank {
            // SAFETY: the producer's promise: `ndim` lengths.
            let length = unsafe { tensor.shape.add(axis).read() };
            let length = usize::try_from(length);
            shape.push(length.map_err(|_| damaged("an axis is shorter than nothing"))?);
            if !tensor.strides.is_null() {
                // SAFETY: the producer's promise: `ndim` strides, where there are any.
                strides.push(unsafe { tensor.strides.add(axis).read() } as isize);
            }
        }
        layout::count(&shape)?;
        if tensor.strides.is_null() {
            strides = row_major(&shape);
        }
        let bytes_each = dtype.bytes();
        let reach = layout::reach(&shape, &strides);
        let (low, elements) = match reach {
            None => (0, 0),
            Some((low, high)) => {
                let elements = usize::try_from(high - low + 1).ok();
                let bytes = elements.and_then(|elements| elements.checked_mul(bytes_each));
                let fits = bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok());
                match (fits, elements) {
                    (true, Some(elements)) => (-low as usize, elements),
                    _ => return Err(TensorError::TooLarge { shape }),
                }
            }
        };
        let (start, bytes) = if elements == 0 {
            (NonNull::<u128>::dangling().cast(), 0)
        } else {
            let address = tensor.data.addr() as u64;
            let first = address.checked_add(tensor.byte_offset);
            let first = first.and_then(|first| first.checked_sub((low * bytes_each) as u64));
            let Some(first) = first.filter(|_| address != 0) else {
                return Err(damaged("its memory begins before the first address, or nowhere"));
            };
            if first as usize % dtype.align() != 0 {
                return Err(TensorError::Misaligned {
                    dtype,
                    address: first as usize,
                    align: dtype.align(),
                });
            }
            // From the pointer, so that it keeps what the pointer may reach.
            let data = tensor.data.cast::<u8>();
            let start = data.wrapping_add(tensor.byte_offset as usize);
            let start = NonNull::new(start.wrapping_sub(low * bytes_each));
            let start = start.ok_or_else(|| damaged("its memory begins nowhere"))?;
            (start, elements * bytes_each)
        };
        let layout = Layout::strided(&shape, &strides, low, elements)?;
        Ok(Self {
            managed: Arc::new(managed),
            start,
            bytes,
            dtype,
            layout,
        })
    }

    /// Type of the elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where the elements lie in [`bytes`](Self::bytes).
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether its producer says that nobody may write to it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.managed.is_read_only()
    }

    /// From the lowest element to the highest one.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: DL-2, DL-3: the producer's memory as far as its elements reach.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

/// What an exported tensor keeps until its deleter is called (DL-4).
struct Exported<S> {
    managed: S,
    shape: Vec<i64>,
    strides: Vec<i64>,
    _memory: Box<dyn Send + Sync>,
}

/// Bytes that an export keeps; they do not move while the value is there.
pub trait Memory: Send + Sync + 'static {
    /// The buffer that a layout's offset counts from.
    fn bytes(&self) -> &[u8];
}

fn describe(bytes: &[u8], dtype: DType, layout: &Layout) -> Result<DlBorrowed, TensorError> {
    let (code, bits) = dtype.dlpack();
    let size = dtype.bytes();
    let (first, elements) = layout.span();
    let end = first.checked_add(elements).and_then(|end| end.checked_mul(size));
    if end.is_none_or(|end| end > bytes.len()) {
        return Err(TensorError::Bytes {
            dtype,
            size,
            offset: (first as u64).saturating_mul(size as u64),
            bytes: (elements as u64).saturating_mul(size as u64),
            buffer: bytes.len() as u64,
        });
    }
    let data = if layout.is_empty() {
        std::ptr::without_provenance_mut(ALIGN)
    } else {
        let start = bytes.as_ptr().wrapping_add(layout.offset() * size);
        if start.addr() % dtype.align() != 0 {
            return Err(TensorError::Misaligned {
                dtype,
                address: start.addr(),
                align: dtype.align(),
            });
        }
        start.cast_mut().cast()
    };
    Ok(DlBorrowed {
        data,
        device: DlDevice {
            kind: CPU,
            number: 0,
        },
        ndim: layout.rank() as i32,
        dtype: DlDataType {
            code,
            bits,
            lanes: 1,
        },
        shape: std::ptr::null_mut(),
        strides: std::ptr::null_mut(),
        byte_offset: 0,
    })
}

fn export<S>(
    memory: impl Memory,
    dtype: DType,
    layout: &Layout,
    make: impl FnOnce(DlBorrowed) -> S,
    parts: fn(&mut S) -> (&mut DlBorrowed, &mut *mut c_void),
) -> Result<NonNull<S>, TensorError> {
    // On the heap first: what a value holds in itself must not move once it is described.
    let memory = Box::new(memory);
    let described = describe(memory.bytes(), dtype, layout)?;
    let mut exported = Box::new(Exported {
        managed: make(described),
        // An axis of a layout is no longer than `isize::MAX`, unless there is no element (LY-1).
        shape: layout.shape().iter().map(|length| *length as i64).collect(),
        strides: layout.strides().iter().map(|stride| *stride as i64).collect(),
        _memory: memory,
    });
    let (shape, strides) = (exported.shape.as_mut_ptr(), exported.strides.as_mut_ptr());
    let exported = NonNull::from(Box::leak(exported));
    // SAFETY: just leaked, and ours until the pointer is given away.
    unsafe {
        let (described, context) = parts(&mut (*exported.as_ptr()).managed);
        (described.shape, described.strides) = (shape, strides);
        *context = exported.as_ptr().cast();
        Ok(NonNull::new_unchecked(&raw mut (*exported.as_ptr()).managed))
    }
}

unsafe extern "C" fn delete_plain(managed: *mut DlManaged) {
    // SAFETY: DL-1: `export` made it, and it is not used again.
    drop(unsafe { Box::from_raw((*managed).context.cast::<Exported<DlManaged>>()) });
}

unsafe extern "C" fn delete_versioned(managed: *mut DlVersioned) {
    // SAFETY: as above.
    drop(unsafe { Box::from_raw((*managed).context.cast::<Exported<DlVersioned>>()) });
}

impl DlTensor {
    /// A `DLManagedTensor` of elements in `memory`, which is kept until the deleter is called. The
    /// struct cannot say that it is read-only: whoever gets it must know.
    ///
    /// # Errors
    /// [`TensorError::Bytes`] if the layout does not lie in the memory, and
    /// [`TensorError::Misaligned`].
    pub fn export_plain(
        memory: impl Memory,
        dtype: DType,
        layout: &Layout,
    ) -> Result<Self, TensorError> {
        fn parts(managed: &mut DlManaged) -> (&mut DlBorrowed, &mut *mut c_void) {
            (&mut managed.tensor, &mut managed.context)
        }
        let make = |tensor| DlManaged {
            tensor,
            context: std::ptr::null_mut(),
            deleter: Some(delete_plain),
        };
        export(memory, dtype, layout, make, parts).map(Self::Plain)
    }

    /// A `DLManagedTensorVersioned` of elements in `memory`, marked read-only (DL-4).
    ///
    /// # Errors
    /// As for [`export_plain`](Self::export_plain).
    pub fn export_versioned(
        memory: impl Memory,
        dtype: DType,
        layout: &Layout,
    ) -> Result<Self, TensorError> {
        fn parts(managed: &mut DlVersioned) -> (&mut DlBorrowed, &mut *mut c_void) {
            (&mut managed.tensor, &mut managed.context)
        }
        let make = |tensor| DlVersioned {
            version: VERSION,
            context: std::ptr::null_mut(),
            deleter: Some(delete_versioned),
            flags: FLAG_READ_ONLY,
            tensor,
        };
        export(memory, dtype, layout, make, parts).map(Self::Versioned)
    }
}
