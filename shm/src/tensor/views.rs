//! Layouts made of layouts, for the same buffer: LY-1 holds for what is made because each index of
//! it names an element that the one before has.

use std::ops::Range;

use super::error::TensorError;
use super::layout::{Layout, RANK_MAX, count, row_major};

impl Layout {
    fn axis(&self, axis: usize) -> Result<(usize, isize), TensorError> {
        match self.shape.get(axis) {
            Some(length) => Ok((*length, self.strides[axis])),
            None => Err(TensorError::Axis {
                axis,
                rank: self.rank(),
            }),
        }
    }

    /// A part of one axis: `range` in steps of `step`, from its end where the step is negative.
    ///
    /// # Errors
    /// [`TensorError::Axis`], [`TensorError::Slice`].
    pub fn slice(
        &self,
        axis: usize,
        range: Range<usize>,
        step: isize,
    ) -> Result<Self, TensorError> {
        let (length, stride) = self.axis(axis)?;
        let Range { start, end } = range;
        let wrong = TensorError::Slice {
            axis,
            start,
            end,
            step,
            length,
        };
        if step == 0 || start > end || end > length {
            return Err(wrong);
        }
        let taken = (end - start).div_ceil(step.unsigned_abs());
        let first = if step < 0 && end > start {
            end - 1
        } else {
            start
        };
        let mut view = self.clone();
        view.shape[axis] = taken;
        // With one element or none the step leads nowhere, so any will do where it does not fit.
        view.strides[axis] = stride.checked_mul(step).unwrap_or(0);
        view.elements = count(&view.shape)?;
        if !view.is_empty() {
            view.offset = (self.offset as i128 + first as i128 * stride as i128) as usize;
        }
        Ok(view)
    }

    /// What has `at` in this axis: one axis less.
    ///
    /// # Errors
    /// [`TensorError::Axis`], [`TensorError::Slice`].
    pub fn select(&self, axis: usize, at: usize) -> Result<Self, TensorError> {
        let end = at.saturating_add(1);
        let mut view = self.slice(axis, at..end, 1)?;
        view.shape.remove(axis);
        view.strides.remove(axis);
        Ok(view)
    }

    /// The axes in another order: the axis `at` of the view is the axis `axes[at]` of this.
    ///
    /// # Errors
    /// [`TensorError::Order`].
    pub fn permuted(&self, axes: &[usize]) -> Result<Self, TensorError> {
        let rank = self.rank();
        let mut seen = [false; RANK_MAX];
        let each_once = axes.len() == rank
            && axes
                .iter()
                .all(|axis| *axis < rank && !std::mem::replace(&mut seen[*axis], true));
        if !each_once {
            return Err(TensorError::Order {
                axes: axes.to_vec(),
                rank,
            });
        }
        Ok(Self {
            shape: axes.iter().map(|axis| self.shape[*axis]).collect(),
            strides: axes.iter().map(|axis| self.strides[*axis]).collect(),
            ..*self
        })
    }

    /// The axes in the opposite order.
    #[must_use]
    pub fn transposed(&self) -> Self {
        Self {
            shape: self.shape.iter().rev().copied().collect(),
            strides: self.strides.iter().rev().copied().collect(),
            ..*self
        }
    }

    /// One axis more, with one element.
    ///
    /// # Errors
    /// [`TensorError::Axis`], [`TensorError::Rank`].
    pub fn with_axis(&self, axis: usize) -> Result<Self, TensorError> {
        if axis > self.rank() {
            let rank = self.rank();
            return Err(TensorError::Axis { axis, rank });
        }
        let mut view = self.clone();
        view.shape.insert(axis, 1);
        view.strides.insert(axis, 0);
        count(&view.shape)?;
        Ok(view)
    }

    /// The same elements in the same order in another shape.
    ///
    /// # Errors
    /// [`TensorError::ElementCount`]; [`TensorError::NeedsCopy`] where no strides lead through them.
    pub fn reshaped(&self, shape: &[usize]) -> Result<Self, TensorError> {
        let wanted = count(shape)?;
        if wanted != self.elements {
            return Err(TensorError::ElementCount {
                from: self.shape.clone(),
                elements: self.elements,
                to: shape.to_vec(),
                wanted,
            });
        }
        let strides = if self.is_empty() {
            Some(row_major(shape))
        } else {
            self.strides_of(shape)
        };
        let strides = strides.ok_or_else(|| TensorError::NeedsCopy {
            from: self.shape.clone(),
            strides: self.strides.clone(),
            to: shape.to_vec(),
        })?;
        Ok(Self {
            shape: shape.to_vec(),
            strides,
            ..*self
        })
    }

    /// Strides that lead through the elements in their order: axes that follow each other without
    /// a gap are one run, and each axis of the new shape has to lie within a run.
    fn strides_of(&self, shape: &[usize]) -> Option<Vec<isize>> {
        let mut runs: Vec<(usize, isize)> = Vec::with_capacity(self.rank());
        let axes = self.shape.iter().copied().zip(self.strides.iter().copied());
        for (length, stride) in axes.filter(|(length, _)| *length != 1) {
            match runs.last_mut() {
                Some((run, step)) if stride.checked_mul(length as isize) == Some(*step) => {
                    (*run, *step) = (*run * length, stride);
                }
                _ => runs.push((length, stride)),
            }
        }
        let mut strides = vec![0; shape.len()];
        let mut runs = runs.into_iter().rev();
        let (mut left, mut step) = (1, 0_isize);
        for (axis, length) in shape.iter().copied().enumerate().rev() {
            if length == 1 {
                continue;
            }
            if left == 1 {
                (left, step) = runs.next()?;
            }
            if left % length != 0 {
                return None;
            }
            strides[axis] = step;
            left /= length;
            // Beyond the last element of a run the step is not used.
            step = step.checked_mul(length as isize).unwrap_or(0);
        }
        Some(strides)
    }
}
