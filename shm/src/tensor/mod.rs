//! Numbers in memory: of what type, in what shape, and how others see them.
//!
//! | module | holds |
//! |---|---|
//! | [`dtype`] | types of elements, and their marks in DLPack |
//! | [`layout`] | shape, strides and offset: which element lies where |
//! | [`views`] | layouts made of layouts: slices, transpositions, reshapes |
//! | [`dlpack`] | tensors of other libraries, and ours for them |
//! | [`error`] | what can be wrong, with figures |

pub mod dlpack;
pub mod dtype;
pub mod error;
pub mod layout;
pub mod views;

pub use self::{
    dlpack::{DlTensor, Imported},
    dtype::{Bool, Complex, DType, Element},
    error::TensorError,
    layout::{Layout, RANK_MAX},
};
