//! Results, of the types of their elements.
//!
//! A result lies in the store if a part does, since other processes may be to have it, and if it is
//! large, since memory of the store is used again and that of the heap comes fresh from the system,
//! page by page. A store that is full is no reason to fail.

use super::combine::Shared;
use super::operation::{Operation, ReduceOp};
use super::reduce::{Number, reduce};
use super::work::{Fill, Job, Work};
use crate::error::Result;
use crate::object::array::{Array, ArrayMut};
use crate::object::tensor::Tensor;
use maser_shm::tensor::dtype::{bf16, f16};
use maser_shm::tensor::{Bool, Complex, DType, Element};
use std::ops::Range;
use std::sync::Arc;

/// From this size on whoever waits in the group's process helps. Twice a piece of work: less would
/// not be divided.
const SHARED_BYTES: usize = 128 << 10;

/// Results from this size on lie in the store if the parts do: less travels as its bytes.
const IN_STORE_BYTES: usize = 4 << 10;

/// Results from this size on lie in the store: from 128 KiB on the allocator maps memory for each.
const LARGE_BYTES: usize = 128 << 10;

/// What came of an operation, or what is to be done for it.
pub(crate) enum Made {
    /// It is done.
    Done(Shared),
    /// It is large: all who wait have a share in the work.
    Left(Arc<dyn Work>),
}

/// Calls the function with the type of the elements.
macro_rules! for_type {
    ($dtype:expr, $call:ident $arguments:tt, $($name:ident: $type:ty,)*) => {
        match $dtype {
            $(DType::$name => $call::<$type> $arguments,)*
            other => unreachable!("{other} is refused before"),
        }
    };
    (number $dtype:expr, $call:ident $arguments:tt) => {
        for_type!($dtype, $call $arguments,
            U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64,
            F16: f16, Bf16: bf16, F32: f32, F64: f64,)
    };
    (any $dtype:expr, $call:ident $arguments:tt) => {
        for_type!($dtype, $call $arguments,
            U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64,
            F16: f16, Bf16: bf16, F32: f32, F64: f64, Bool: Bool,
            C64: Complex<f32>, C128: Complex<f64>,)
    };
}

/// Does it, or says what there is to do.
pub(super) fn perform(operation: Operation, tensors: &[Tensor]) -> Result<Made> {
    match operation {
        Operation::Barrier => Ok(Made::Done(Shared::Nothing)),
        Operation::Broadcast { .. } | Operation::Message { .. } => {
            Ok(Made::Done(Shared::Same(tensors[0].clone())))
        }
        Operation::Allgather => for_type!(any tensors[0].dtype(), gathered(tensors)),
        Operation::Allreduce(op) => {
            for_type!(number tensors[0].dtype(), reduced(op, tensors, Shared::Same))
        }
        Operation::ReduceScatter(op) => {
            let ranks = tensors.len();
            let cut = move |whole| Shared::Parts(cut(&whole, ranks));
            for_type!(number tensors[0].dtype(), reduced(op, tensors, cut))
        }
    }
}

/// Equal shares of the first dimension.
fn cut(whole: &Tensor, ranks: usize) -> Arc<[Tensor]> {
    let rows = whole.shape()[0] / ranks;
    let share = |rank: usize| match whole.slice(0, rank * rows..(rank + 1) * rows, 1) {
        Ok(share) => share,
        Err(error) => unreachable!("its rows were counted: {error}"),
    };
    (0..ranks).map(share).collect()
}

struct Reduce<T: Number> {
    op: ReduceOp,
    parts: Vec<Array<T>>,
}

impl<T: Number> Fill<T> for Reduce<T> {
    fn fill(&self, range: Range<usize>, out: &mut [T]) {
        let parts: Vec<&[T]> = self.parts.iter().map(|part| &part[range.clone()]).collect();
        reduce(self.op, out, &parts);
    }
}

fn reduced<T: Number>(
    op: ReduceOp,
    tensors: &[Tensor],
    share: impl Fn(Tensor) -> Shared + Send + Sync + 'static,
) -> Result<Made> {
    let parts = arrays_of::<T>(tensors)?;
    let len = parts[0].len();
    let whole = Whole::new(len, tensors);
    Ok(made(
        whole,
        Reduce { op, parts },
        tensors[0].shape().to_vec(),
        share,
    ))
}

struct Join<T: Element> {
    parts: Vec<Array<T>>,
}

impl<T: Element> Fill<T> for Join<T> {
    fn fill(&self, range: Range<usize>, out: &mut [T]) {
        // All parts are of one length.
        let len = self.parts[0].len();
        let mut at = range.start;
        let mut rest = out;
        while !rest.is_empty() {
            let part = &self.parts[at / len][at % len..];
            let (now, after) = rest.split_at_mut(part.len().min(rest.len()));
            now.copy_from_slice(&part[..now.len()]);
            at += now.len();
            rest = after;
        }
    }
}

fn gathered<T: Element + Default>(tensors: &[Tensor]) -> Result<Made> {
    let mut shape = tensors[0].shape().to_vec();
    match shape.first_mut() {
        Some(rows) => *rows *= tensors.len(),
        None => shape.push(tensors.len()),
    }
    let parts = arrays_of::<T>(tensors)?;
    let whole = Whole::new(parts[0].len() * parts.len(), tensors);
    Ok(made(whole, Join { parts }, shape, Shared::Same))
}

fn made<T: Element + Default>(
    mut whole: Whole<T>,
    fill: impl Fill<T>,
    shape: Vec<usize>,
    share: impl Fn(Tensor) -> Shared + Send + Sync + 'static,
) -> Made {
    let seal = move |whole: Whole<T>| share(whole.seal(&shape));
    let out = whole.as_mut_slice();
    if size_of_val(out) >= SHARED_BYTES {
        return Made::Left(Arc::new(Job::new(whole, fill, seal)));
    }
    fill.fill(0..out.len(), out);
    Made::Done(seal(whole))
}

/// The elements row by row; those of a view that are not are copied.
fn arrays_of<T: Element>(tensors: &[Tensor]) -> Result<Vec<Array<T>>> {
    let arrays = tensors
        .iter()
        .map(|tensor| tensor.to_contiguous()?.to_array());
    arrays.collect()
}

/// A result that is being written.
pub(super) enum Whole<T: Element> {
    /// In the store.
    Store(ArrayMut<T>),
    /// On the heap.
    Heap(Vec<T>),
}

impl<T: Element + Default> Whole<T> {
    /// For `len` elements that come of these tensors.
    fn new(len: usize, tensors: &[Tensor]) -> Self {
        let bytes = len * size_of::<T>();
        let is_for_others = || tensors.iter().any(Tensor::is_in_store);
        let goes_to_store = bytes >= LARGE_BYTES || (bytes >= IN_STORE_BYTES && is_for_others());
        if goes_to_store && let Ok(whole) = Array::try_in_store(len) {
            return Self::Store(whole);
        }
        Self::Heap(vec![T::default(); len])
    }
}

impl<T: Element> Whole<T> {
    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::Store(whole) => whole,
            Self::Heap(whole) => whole,
        }
    }

    fn seal(self, shape: &[usize]) -> Tensor {
        let whole = match self {
            Self::Store(whole) => whole.seal(),
            Self::Heap(whole) => Array::from_vec(whole),
        };
        match Tensor::new(&whole, shape) {
            Ok(tensor) => tensor,
            Err(error) => unreachable!("it was made for this shape: {error}"),
        }
    }
}
