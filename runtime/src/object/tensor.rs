//! Tensors: elements of a type that is known at run time, in a shape, in memory that is shared
//! without being copied.
//!
//! - TN-1 the layout lies in the part: it was made for as many elements as the part has (LY-1).

use super::array::Array;
use super::beside::{self, Place};
use super::buffer::{Part, Typed};
use super::number;
use crate::error::{Error, Result};
use maser_shm::tensor::dlpack::Memory;
use maser_shm::tensor::{DType, DlTensor, Element, Imported, Layout, TensorError};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Numbers in a shape. Cloning counts; views (slices, transpositions, reshapes) share the memory.
///
/// ```
/// # fn main() -> maser::Result<()> {
/// use maser::Tensor;
/// let tensor = Tensor::from_vec(vec![1_i32, 2, 3, 4, 5, 6], &[2, 3])?;
/// let column = tensor.transpose().select(0, 1)?;
/// assert_eq!(column.shape(), [2]);
/// assert_eq!(column.view::<i32>()?.iter().collect::<Vec<_>>(), [2, 5]);
/// assert!(tensor.view::<f32>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tensor {
    part: Part,
    dtype: DType,
    layout: Layout,
}

impl Tensor {
    /// The elements of an array in a shape, row by row.
    ///
    /// # Errors
    /// [`Error::Tensor`] if their number is another.
    pub fn new<T: Element>(array: &Array<T>, shape: &[usize]) -> Result<Self> {
        let layout = Layout::contiguous(&[array.len()])?.reshaped(shape)?;
        Ok(Self {
            part: array.part().clone(),
            dtype: T::DTYPE,
            layout,
        })
    }

    /// The elements of an array where strides lead, in elements and perhaps negative, from the one
    /// at `offset` on.
    ///
    /// # Errors
    /// [`Error::Tensor`] if they lead out of the array.
    pub fn strided<T: Element>(
        array: &Array<T>,
        shape: &[usize],
        strides: &[isize],
        offset: usize,
    ) -> Result<Self> {
        let layout = Layout::strided(shape, strides, offset, array.len())?;
        Ok(Self {
            part: array.part().clone(),
            dtype: T::DTYPE,
            layout,
        })
    }

    /// Elements in a shape, row by row.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_vec<T: Element>(elements: Vec<T>, shape: &[usize]) -> Result<Self> {
        Self::new(&Array::from_vec(elements), shape)
    }

    /// A tensor of another library, in its memory, which it gets back when the last handle is gone.
    ///
    /// # Errors
    /// [`Error::Tensor`] for one that is not in plain memory, of another type or version, or that
    /// contradicts itself; its producer has it back then.
    pub fn from_dlpack(tensor: DlTensor) -> Result<Self> {
        let imported = Imported::new(tensor)?;
        let (dtype, layout) = (imported.dtype(), imported.layout().clone());
        Ok(Self {
            part: Part::of_import(imported),
            dtype,
            layout,
        })
    }

    /// The tensor for another library, in place: a `DLManagedTensorVersioned` that is marked
    /// read-only and keeps the memory until its deleter is called.
    ///
    /// # Errors
    /// [`Error::Tensor`] where the memory is not aligned.
    pub fn to_dlpack(&self) -> Result<DlTensor> {
        let memory = Kept(self.part.clone());
        Ok(DlTensor::export_versioned(
            memory,
            self.dtype,
            &self.layout,
        )?)
    }

    /// As [`to_dlpack`](Self::to_dlpack), as a `DLManagedTensor` of older libraries, which cannot be
    /// told that it is read-only.
    ///
    /// # Errors
    /// As [`to_dlpack`](Self::to_dlpack).
    pub fn to_dlpack_plain(&self) -> Result<DlTensor> {
        let memory = Kept(self.part.clone());
        Ok(DlTensor::export_plain(memory, self.dtype, &self.layout)?)
    }

    /// Type of the elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Elements along each axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    /// How far it is to the next element along each axis, in elements.
    #[must_use]
    pub fn strides(&self) -> &[isize] {
        self.layout.strides()
    }

    /// How many axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.layout.rank()
    }

    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }

    /// Whether the elements lie row by row without gaps.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    fn with(&self, layout: Layout) -> Self {
        Self {
            part: self.part.clone(),
            dtype: self.dtype,
            layout,
        }
    }

    /// A part of one axis, in steps, backwards if they are negative.
    ///
    /// # Errors
    /// [`Error::Tensor`] if there is no such part.
    pub fn slice(&self, axis: usize, range: Range<usize>, step: isize) -> Result<Self> {
        Ok(self.with(self.layout.slice(axis, range, step)?))
    }

    /// What has `at` in this axis: one axis less.
    ///
    /// # Errors
    /// [`Error::Tensor`] if there is none.
    pub fn select(&self, axis: usize, at: usize) -> Result<Self> {
        Ok(self.with(self.layout.select(axis, at)?))
    }

    /// The axes in the opposite order.
    #[must_use]
    pub fn transpose(&self) -> Self {
        self.with(self.layout.transposed())
    }

    /// The axes in this order.
    ///
    /// # Errors
    /// [`Error::Tensor`] if not each is named once.
    pub fn permute(&self, axes: &[usize]) -> Result<Self> {
        Ok(self.with(self.layout.permuted(axes)?))
    }

    /// The same elements in the same order in another shape.
    ///
    /// # Errors
    /// [`Error::Tensor`] for another number of elements, and where only a copy could have that
    /// shape.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        Ok(self.with(self.layout.reshaped(shape)?))
    }

    /// Row by row without gaps: itself, or a copy on the heap.
    ///
    /// # Errors
    /// None today; memory may run out in later versions.
    pub fn to_contiguous(&self) -> Result<Self> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        let layout = Layout::contiguous(self.shape())?;
        Ok(Self {
            part: Part::of_bytes(&self.gathered()),
            dtype: self.dtype,
            layout,
        })
    }

    /// The bytes of all elements, row by row: where they are, if they lie so.
    fn gathered(&self) -> Cow<'_, [u8]> {
        let size = self.dtype.bytes();
        let from = self.part.bytes();
        if self.is_contiguous() {
            let (first, count) = self.layout.span();
            return Cow::Borrowed(&from[first * size..][..count * size]); // TN-1
        }
        let mut bytes = Vec::with_capacity(self.len() * size);
        for place in self.layout.places() {
            bytes.extend_from_slice(&from[place * size..][..size]); // TN-1
        }
        Cow::Owned(bytes)
    }

    /// The elements, if they are of type `T`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if they are not.
    pub fn view<T: Element>(&self) -> Result<TensorView<'_, T>> {
        if self.dtype != T::DTYPE {
            return Err(Error::from(TensorError::WrongType {
                found: self.dtype,
                wanted: T::DTYPE,
            }));
        }
        Ok(TensorView {
            elements: Typed::of(self.part.clone())?,
            layout: &self.layout,
        })
    }

    /// The elements as an array that shares the memory, if they are of type `T` and lie row by row
    /// without gaps.
    ///
    /// # Errors
    /// [`Error::Tensor`] if they are or do not.
    pub fn to_array<T: Element>(&self) -> Result<Array<T>> {
        self.view::<T>()?;
        if !self.is_contiguous() {
            return Err(Error::from(not_contiguous(&self.layout)));
        }
        let (first, count) = self.layout.span();
        let size = self.dtype.bytes();
        match self.part.range(first * size..(first + count) * size) {
            Some(part) => Array::try_of(part),
            None => unreachable!("TN-1"),
        }
    }

    /// Whether it lies where other processes can read it.
    #[must_use]
    pub fn is_in_store(&self) -> bool {
        !matches!(self.part.buffer(), super::buffer::Buffer::Heap(_))
    }
}

fn not_contiguous(layout: &Layout) -> TensorError {
    TensorError::NotContiguous {
        shape: layout.shape().to_vec(),
        strides: layout.strides().to_vec(),
    }
}

/// What an exported tensor keeps.
struct Kept(Part);

impl Memory for Kept {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl<T: Element> TryFrom<Array<T>> for Tensor {
    type Error = Error;

    /// One axis with all elements.
    fn try_from(array: Array<T>) -> Result<Self> {
        Self::new(&array, &[array.len()])
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensor of shape {:?}", self.dtype, self.shape())
    }
}

/// Type, shape and elements; what other process, and where they lie, does not count.
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype
            && self.shape() == other.shape()
            && self.gathered() == other.gathered()
    }
}

/// The elements of a tensor.
#[derive(Clone)]
pub struct TensorView<'a, T: Element> {
    elements: Typed<T>,
    layout: &'a Layout,
}

impl<T: Element> TensorView<'_, T> {
    /// The element with this index.
    #[must_use]
    pub fn get(&self, index: &[usize]) -> Option<&T> {
        let place = self.layout.place(index).ok()?;
        self.elements.as_slice().get(place)
    }

    /// All elements, the last axis the fastest.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        let elements = self.elements.as_slice();
        self.layout.places().map(|place| elements[place])
    }

    /// The elements one after the other, if they lie so.
    ///
    /// # Errors
    /// [`Error::Tensor`] if they do not.
    pub fn as_slice(&self) -> Result<&[T]> {
        if !self.layout.is_contiguous() {
            return Err(Error::from(not_contiguous(self.layout)));
        }
        let (first, count) = self.layout.span();
        Ok(&self.elements.as_slice()[first..first + count])
    }
}

/// A tensor in the bytes of a value: its buffer, part of it, and the layout in that.
#[derive(Serialize, Deserialize)]
struct Mark<'a> {
    place: Place<'a>,
    offset: u64,
    bytes: u64,
    dtype: u8,
    shape: Vec<usize>,
    strides: Vec<isize>,
    first: usize,
}

/// What other serialisers see.
#[derive(Serialize)]
struct Plain<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    elements: Numbers<'a>,
}

struct Numbers<'a>(DType, &'a [u8]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number::serialize(self.0, self.1, serializer)
    }
}

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match beside::pack(&self.part).map_err(beside::unwritten)? {
            Some((place, offset, bytes)) => Mark {
                place,
                offset,
                bytes,
                dtype: self.dtype.number(),
                shape: self.shape().to_vec(),
                strides: self.strides().to_vec(),
                first: self.layout.offset(),
            }
            .serialize(serializer),
            None => Plain {
                dtype: self.dtype.name(),
                shape: self.shape(),
                elements: Numbers(self.dtype, &self.gathered()),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !beside::is_unpacking() {
            return super::tensor_text::deserialize(deserializer);
        }
        let mark = Mark::deserialize(deserializer)?;
        let buffer = beside::unpack(mark.place).map_err(beside::refused)?;
        let dtype = DType::of_number(mark.dtype)
            .ok_or_else(|| D::Error::custom("a tensor of an unknown type"))?;
        let part = Part::of_message(buffer, dtype, mark.offset, mark.bytes);
        let part = part.map_err(beside::refused)?;
        let elements = part.bytes().len() / dtype.bytes();
        let layout = Layout::strided(&mark.shape, &mark.strides, mark.first, elements);
        let layout = layout.map_err(beside::refused)?;
        Ok(Self {
            part,
            dtype,
            layout,
        })
    }
}

impl Tensor {
    /// Elements row by row, as another serialiser had them.
    pub(super) fn of_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        let elements = bytes.len() / dtype.bytes();
        let layout = Layout::contiguous(&[elements])?.reshaped(shape)?;
        Ok(Self {
            part: Part::of_bytes(bytes),
            dtype,
            layout,
        })
    }
}
