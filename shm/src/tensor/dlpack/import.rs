//! Tensors of other libraries: looked at, then read in place. The rules are those of the module above.
#![allow(unsafe_code, reason = "reads what pointers of a C struct lead to")]

use std::ptr::NonNull;
use std::sync::Arc;

use super::{CPU, DlDataType, DlDevice, DlTensor};
use crate::tensor::dtype::DType;
use crate::tensor::error::TensorError;
use crate::tensor::layout::{self, Layout, RANK_MAX, row_major};

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
        let rank =
            usize::try_from(tensor.ndim).map_err(|_| damaged("it has fewer than no axes"))?;
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
                return Err(damaged(
                    "its memory begins before the first address, or nowhere",
                ));
            };
            if !(first as usize).is_multiple_of(dtype.align()) {
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
