//! Arrays of numbers that are shared without being copied, with every process of the node.
//!
//! An array is a counted handle. Inside a value that goes to another process only its descriptor
//! travels: the receiver reads the very memory that the owner wrote. What was made of a `Vec` lies on
//! the heap until another process is to have it, and is copied into the store then, once; what was
//! made by [`Array::in_store`] is there from the start. Other serialisers see a sequence of numbers.

use super::beside::{self, Place};
use super::buffer::{Buffer, Part, Typed, elements, elements_mut};
use super::number;
use super::store;
use crate::error::Result;
use maser_shm::store::ObjectMut;
use maser_shm::tensor::{DType, Element, TensorError};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, Deref, DerefMut, RangeBounds};

/// Numbers in memory that all processes of the node can read. Cloning counts and copies nothing.
///
/// ```
/// # fn main() -> maser::Result<()> {
/// let maser = maser::init()?;
/// let mut squares = maser::Array::<f32>::in_store(1000)?;
/// for (at, square) in squares.iter_mut().enumerate() {
///     *square = (at * at) as f32;
/// }
/// let squares = squares.seal();
/// let same = squares.clone();
/// assert_eq!(same[30], 900.0);
/// assert_eq!(same.as_ptr(), squares.as_ptr());
/// # drop(maser);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Array<T: Element>(Typed<T>);

impl<T: Element> Array<T> {
    /// An array of `len` elements in the store, to be written in place. It holds whatever was there
    /// before. Where the store is full it waits until somebody frees memory, for
    /// [`graph_submit_timeout`](crate::Config::graph_submit_timeout) at most.
    ///
    /// # Errors
    /// [`Error::StoreFull`](crate::Error::StoreFull) names those who hold memory, in whichever process;
    /// [`Error::NotRunning`](crate::Error::NotRunning) without a runtime;
    /// [`Error::Store`](crate::Error::Store) where the machine refuses.
    pub fn in_store(len: usize) -> Result<ArrayMut<T>> {
        let object = store::create::<T>(len)?;
        Ok(ArrayMut {
            object,
            elements: PhantomData,
        })
    }

    /// As [`in_store`](Self::in_store), at once or not at all.
    pub(crate) fn try_in_store(len: usize) -> Result<ArrayMut<T>> {
        let object = store::try_create::<T>(len)?;
        Ok(ArrayMut {
            object,
            elements: PhantomData,
        })
    }

    /// A copy of `elements` in the store.
    ///
    /// # Errors
    /// As [`in_store`](Self::in_store).
    pub fn copied(elements: &[T]) -> Result<Self> {
        let mut array = Self::in_store(elements.len())?;
        array.copy_from_slice(elements);
        Ok(array.seal())
    }

    /// Takes elements over, as they lie on the heap.
    #[must_use]
    pub fn from_vec(elements: Vec<T>) -> Self {
        Self::of(Part::of_vec(elements))
    }

    fn of(part: Part) -> Self {
        match Typed::of(part) {
            Ok(typed) => Self(typed),
            Err(error) => unreachable!("whole elements lie where they may: {error}"),
        }
    }

    pub(super) fn try_of(part: Part) -> Result<Self> {
        Ok(Self(Typed::of(part)?))
    }

    pub(super) fn part(&self) -> &Part {
        self.0.part()
    }

    /// A part of it, which is not copied.
    ///
    /// # Panics
    /// If it has no such part, as slices do.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.len(),
        };
        assert!(
            start <= end && end <= self.len(),
            "{start}..{end} of an array of {} elements",
            self.len()
        );
        let size = size_of::<T>();
        match self.part().range(start * size..end * size) {
            Some(part) => Self::of(part),
            None => unreachable!("checked above"),
        }
    }

    /// Whether it lies where other processes can read it.
    #[must_use]
    pub fn is_in_store(&self) -> bool {
        !matches!(self.part().buffer(), Buffer::Heap(_))
    }

    /// Whether it lies in the store of another process.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self.part().buffer(), Buffer::Foreign(_))
    }
}

impl<T: Element> Deref for Array<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.0.as_slice()
    }
}

impl<T: Element> AsRef<[T]> for Array<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: Element> From<Vec<T>> for Array<T> {
    fn from(elements: Vec<T>) -> Self {
        Self::from_vec(elements)
    }
}

impl<T: Element> FromIterator<T> for Array<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self::from_vec(elements.into_iter().collect())
    }
}

impl<T: Element> Default for Array<T> {
    fn default() -> Self {
        Self::from_vec(Vec::new())
    }
}

impl<'a, T: Element> IntoIterator for &'a Array<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Element + PartialEq> PartialEq for Array<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T: Element + Eq> Eq for Array<T> {}

impl<T: Element + PartialEq> PartialEq<[T]> for Array<T> {
    fn eq(&self, other: &[T]) -> bool {
        self[..] == *other
    }
}

/// Elements that `Debug` shows.
const SHOWN: usize = 8;

impl<T: Element + fmt::Debug> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = self.len().saturating_sub(SHOWN);
        let mut list = f.debug_list();
        list.entries(&self[..self.len() - more]);
        if more > 0 {
            list.entry(&format_args!("{more} more"));
        }
        list.finish()
    }
}

/// An array that is being written, in the store. Dropping it gives the memory back.
pub struct ArrayMut<T: Element> {
    object: ObjectMut,
    elements: PhantomData<T>,
}

impl<T: Element> ArrayMut<T> {
    /// Ends the writing: from now on it can be shared.
    #[must_use]
    pub fn seal(self) -> Array<T> {
        Array::of(Part::whole(Buffer::Own(self.object.seal())))
    }
}

impl<T: Element> Deref for ArrayMut<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        elements(&self.object)
    }
}

impl<T: Element> DerefMut for ArrayMut<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        elements_mut(&mut self.object)
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for ArrayMut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.len(), T::DTYPE)
    }
}

/// An array in the bytes of a value: its buffer, place and size in it, type.
type Mark<'a> = (Place<'a>, u64, u64, u8);

impl<T: Element> Serialize for Array<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = self.part();
        match beside::pack(part).map_err(beside::unwritten)? {
            Some((place, offset, bytes)) => {
                let mark: Mark<'_> = (place, offset, bytes, T::DTYPE.number());
                mark.serialize(serializer)
            }
            None => number::serialize(T::DTYPE, part.bytes(), serializer),
        }
    }
}

impl<'de, T: Element> Deserialize<'de> for Array<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !beside::is_unpacking() {
            let bytes = number::deserialize(T::DTYPE, deserializer)?;
            return Ok(Self::of(Part::of_bytes(&bytes)));
        }
        let (place, offset, bytes, dtype) = Mark::deserialize(deserializer)?;
        let buffer = beside::unpack(place).map_err(beside::refused)?;
        let found = DType::of_number(dtype)
            .ok_or_else(|| D::Error::custom("an array of an unknown type"))?;
        if found != T::DTYPE {
            let wanted = T::DTYPE;
            return Err(beside::refused(TensorError::WrongType { found, wanted }));
        }
        let part = Part::of_message(buffer, found, offset, bytes).map_err(beside::refused)?;
        Self::try_of(part).map_err(beside::refused)
    }
}
