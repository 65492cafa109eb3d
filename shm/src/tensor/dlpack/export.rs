//! Our tensors for other libraries. The rules are those of the module above.
#![allow(unsafe_code, reason = "makes and frees C structs")]

use std::ffi::c_void;
use std::ptr::NonNull;

use super::{
    CPU, DlBorrowed, DlDataType, DlDevice, DlManaged, DlTensor, DlVersioned, FLAG_READ_ONLY,
    Managed, VERSION,
};
use crate::tensor::dtype::DType;
use crate::tensor::error::TensorError;
use crate::tensor::layout::Layout;

/// What `data` is a multiple of where there is no element.
const ALIGN: usize = 256;

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
    let end = first
        .checked_add(elements)
        .and_then(|end| end.checked_mul(size));
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
        if !start.addr().is_multiple_of(dtype.align()) {
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
        strides: layout
            .strides()
            .iter()
            .map(|stride| *stride as i64)
            .collect(),
        _memory: memory,
    });
    let (shape, strides) = (exported.shape.as_mut_ptr(), exported.strides.as_mut_ptr());
    let exported = NonNull::from(Box::leak(exported));
    // SAFETY: just leaked, and ours until the pointer is given away.
    unsafe {
        let (described, context) = parts(&mut (*exported.as_ptr()).managed);
        (described.shape, described.strides) = (shape, strides);
        *context = exported.as_ptr().cast();
        Ok(NonNull::new_unchecked(
            &raw mut (*exported.as_ptr()).managed,
        ))
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
        export(memory, dtype, layout, make, parts).map(|made| Self(Managed::Plain(made)))
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
        export(memory, dtype, layout, make, parts).map(|made| Self(Managed::Versioned(made)))
    }
}
