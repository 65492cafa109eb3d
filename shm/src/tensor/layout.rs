//! Which element of a tensor lies where: shape, strides and the place of the first element, all in
//! elements.
//!
//! - LY-1 every index within the shape names an element of the buffer that the layout was made for:
//!   that is checked when it is made, with arithmetic that does not overflow, and views keep it.
//! - LY-2 a shape without elements reaches nothing, whatever its strides are.

use super::error::TensorError;

/// Most axes of a tensor.
pub const RANK_MAX: usize = 32;

/// See the module's page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<isize>,
    pub(super) offset: usize,
    pub(super) elements: usize,
}

/// Elements of a shape.
pub(super) fn count(shape: &[usize]) -> Result<usize, TensorError> {
    if shape.len() > RANK_MAX {
        return Err(TensorError::Rank { rank: shape.len() });
    }
    if shape.contains(&0) {
        return Ok(0);
    }
    let count = shape
        .iter()
        .try_fold(1_usize, |count, length| count.checked_mul(*length));
    let fits = count.filter(|count| isize::try_from(*count).is_ok());
    fits.ok_or_else(|| TensorError::TooLarge {
        shape: shape.to_vec(),
    })
}

/// The strides of elements that lie one after the other, the last axis the fastest.
pub(super) fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1_isize;
    for (stride, length) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        // LY-2: what does not fit belongs to a shape without elements.
        step = step.saturating_mul(isize::try_from(*length).unwrap_or(isize::MAX).max(1));
    }
    strides
}

/// The lowest and the highest element that is reached, from the first one; `None` where there is
/// none (LY-2).
pub(super) fn reach(shape: &[usize], strides: &[isize]) -> Option<(i128, i128)> {
    if shape.contains(&0) {
        return None;
    }
    let mut reach = (0_i128, 0_i128);
    for (length, stride) in shape.iter().zip(strides) {
        // At most 2^64 * 2^63 in each of 32 axes would pass 2^127: such a shape has no `count`.
        let far = (*length as i128 - 1).saturating_mul(*stride as i128);
        if far < 0 {
            reach.0 = reach.0.saturating_add(far);
        } else {
            reach.1 = reach.1.saturating_add(far);
        }
    }
    Some(reach)
}

impl Layout {
    /// Elements one after the other from the first of the buffer on, the last axis the fastest.
    ///
    /// # Errors
    /// [`TensorError::Rank`], [`TensorError::TooLarge`].
    pub fn contiguous(shape: &[usize]) -> Result<Self, TensorError> {
        let elements = count(shape)?;
        Ok(Self {
            shape: shape.to_vec(),
            strides: row_major(shape),
            offset: 0,
            elements,
        })
    }

    /// Elements in a buffer of `available` of them: the first at `offset`, the others where the
    /// strides, in elements and perhaps negative, lead (LY-1).
    ///
    /// # Errors
    /// [`TensorError::StrideCount`], [`TensorError::OutOfBuffer`], or as
    /// [`contiguous`](Self::contiguous).
    pub fn strided(
        shape: &[usize],
        strides: &[isize],
        offset: usize,
        available: usize,
    ) -> Result<Self, TensorError> {
        let elements = count(shape)?;
        if shape.len() != strides.len() {
            return Err(TensorError::StrideCount {
                axes: shape.len(),
                strides: strides.len(),
            });
        }
        let (low, high) = reach(shape, strides).unwrap_or((0, -1));
        let first = low + offset as i128;
        let last = high.saturating_add(offset as i128);
        if first < 0 || last >= available as i128 {
            return Err(TensorError::OutOfBuffer {
                shape: shape.to_vec(),
                strides: strides.to_vec(),
                offset,
                first,
                last,
                elements: available,
            });
        }
        Ok(Self {
            shape: shape.to_vec(),
            strides: strides.to_vec(),
            offset,
            elements,
        })
    }

    /// Elements along each axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How far it is to the next element along each axis, in elements.
    #[must_use]
    pub fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// Where in the buffer the element with index zero lies, in elements.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// How many axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// Whether the elements lie one after the other, the last axis the fastest. Strides of axes with
    /// one element do not matter.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1_isize;
        let axes = self.shape.iter().zip(&self.strides).rev();
        self.is_empty()
            || axes.into_iter().all(|(length, stride)| {
                let fits = *length == 1 || *stride == step;
                step *= *length as isize; // At most `elements`, which fits.
                fits
            })
    }

    /// The part of the buffer that the elements lie in: the lowest one, and how many from there.
    #[must_use]
    pub fn span(&self) -> (usize, usize) {
        match reach(&self.shape, &self.strides) {
            // LY-1: inside of a buffer.
            Some((low, high)) => (
                (self.offset as i128 + low) as usize,
                (high - low + 1) as usize,
            ),
            None => (self.offset, 0),
        }
    }

    /// Where in the buffer the element with this index lies.
    ///
    /// # Errors
    /// [`TensorError::Index`].
    pub fn place(&self, index: &[usize]) -> Result<usize, TensorError> {
        let within = index.len() == self.rank()
            && index
                .iter()
                .zip(&self.shape)
                .all(|(at, length)| at < length);
        if !within {
            return Err(TensorError::Index {
                index: index.to_vec(),
                shape: self.shape.clone(),
            });
        }
        // LY-1: each partial sum lies between the lowest and the highest element, but for the order
        // of the axes: the wide type has room for any.
        let steps = index.iter().zip(&self.strides);
        let place = steps.fold(self.offset as i128, |place, (at, stride)| {
            place + *at as i128 * *stride as i128
        });
        Ok(place as usize)
    }

    /// The places of all elements, the last axis the fastest.
    pub fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let mut index = vec![0_usize; self.rank()];
        let mut place = self.offset as i128;
        let mut left = self.elements;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let here = place as usize;
            for axis in (0..index.len()).rev() {
                let stride = self.strides[axis] as i128;
                index[axis] += 1;
                place += stride;
                if index[axis] < self.shape[axis] {
                    break;
                }
                place -= stride * self.shape[axis] as i128;
                index[axis] = 0;
            }
            Some(here)
        })
    }
}
