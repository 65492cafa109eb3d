//! What can be wrong with a tensor.

use super::dtype::DType;
use super::layout::RANK_MAX;

/// See the module's page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// More axes than a tensor can have.
    #[error("{rank} axes, and a tensor has at most {RANK_MAX}; merge some")]
    Rank {
        /// How many there were to be.
        rank: usize,
    },
    /// A shape of more elements than can be counted.
    #[error("a tensor of shape {shape:?} has more elements than memory has bytes")]
    TooLarge {
        /// The shape.
        shape: Vec<usize>,
    },
    /// Shape and strides have different lengths.
    #[error("{strides} strides for {axes} axes; give one for each")]
    StrideCount {
        /// How many axes.
        axes: usize,
        /// How many strides.
        strides: usize,
    },
    /// Elements would lie outside of the buffer.
    #[error(
        "shape {shape:?} with strides {strides:?} from element {offset} on reaches from element \
         {first} to {last}, and the buffer has {elements}; check the strides"
    )]
    OutOfBuffer {
        /// The shape.
        shape: Vec<usize>,
        /// The strides in elements.
        strides: Vec<isize>,
        /// Where the first element lies.
        offset: usize,
        /// The lowest element that is reached.
        first: i128,
        /// The highest one.
        last: i128,
        /// Elements of the buffer.
        elements: usize,
    },
    /// There is no such axis.
    #[error("there is no axis {axis}: the tensor has {rank}, from 0 on")]
    Axis {
        /// Which was named.
        axis: usize,
        /// How many there are.
        rank: usize,
    },
    /// A slice that the axis does not have.
    #[error(
        "{start}..{end} in steps of {step} is no slice of axis {axis}, which has {length} elements; \
         take a part of 0..{length} and a step other than 0"
    )]
    Slice {
        /// Of which axis.
        axis: usize,
        /// From here.
        start: usize,
        /// To here, exclusive.
        end: usize,
        /// In such steps.
        step: isize,
        /// Elements of the axis.
        length: usize,
    },
    /// An index of another tensor.
    #[error("{index:?} is no index of a tensor of shape {shape:?}")]
    Index {
        /// The index.
        index: Vec<usize>,
        /// The shape.
        shape: Vec<usize>,
    },
    /// Not each axis once.
    #[error("{axes:?} is no order of {rank} axes; name each from 0 on once")]
    Order {
        /// What was given.
        axes: Vec<usize>,
        /// How many axes there are.
        rank: usize,
    },
    /// Another number of elements.
    #[error(
        "shape {from:?} has {elements} elements and {to:?} has {wanted}; a reshape keeps their number"
    )]
    ElementCount {
        /// The shape there is.
        from: Vec<usize>,
        /// Its elements.
        elements: usize,
        /// The shape that was asked for.
        to: Vec<usize>,
        /// Its elements.
        wanted: usize,
    },
    /// It would take a copy.
    #[error(
        "{from:?} with strides {strides:?} cannot become {to:?} without a copy; copy it first \
         (`to_contiguous`)"
    )]
    NeedsCopy {
        /// The shape there is.
        from: Vec<usize>,
        /// Its strides in elements.
        strides: Vec<isize>,
        /// What was asked for.
        to: Vec<usize>,
    },
    /// The elements do not lie one after the other.
    #[error(
        "the elements of shape {shape:?} with strides {strides:?} do not lie one after the other; \
         copy it first (`to_contiguous`), or go through its indices"
    )]
    NotContiguous {
        /// The shape.
        shape: Vec<usize>,
        /// Its strides in elements.
        strides: Vec<isize>,
    },
    /// Elements of another type.
    #[error("the elements are {found}, not {wanted}; ask for {found}")]
    WrongType {
        /// What they are.
        found: DType,
        /// What was asked for.
        wanted: DType,
    },
    /// A range of bytes that is no range of elements.
    #[error(
        "{bytes} bytes from byte {offset} on are no elements of {dtype} in a buffer of {buffer} \
         bytes; they have {size} bytes each"
    )]
    Bytes {
        /// The type of the elements.
        dtype: DType,
        /// Bytes of one.
        size: usize,
        /// Where they were to begin.
        offset: u64,
        /// Bytes of them.
        bytes: u64,
        /// Bytes of the buffer.
        buffer: u64,
    },
    /// An address that elements of this type cannot have.
    #[error(
        "{dtype} elements cannot lie at {address:#x}: the address must be a multiple of {align}"
    )]
    Misaligned {
        /// The type.
        dtype: DType,
        /// The address.
        address: usize,
        /// What it has to be a multiple of.
        align: usize,
    },
    /// A tensor of DLPack that is of another kind.
    #[error(
        "the DLPack tensor is of type {code} with {bits} bits and {lanes} lanes, which no DType is"
    )]
    DlType {
        /// `DLDataTypeCode`.
        code: u8,
        /// Bits of an element.
        bits: u8,
        /// Lanes of an element.
        lanes: u16,
    },
    /// A tensor of DLPack that is on a device.
    #[error(
        "the DLPack tensor is on device type {device} (number {number}), and only the CPU's memory \
         (type 1) can be shared; copy it to the host first"
    )]
    DlDevice {
        /// `DLDeviceType`.
        device: i32,
        /// Number of the device.
        number: i32,
    },
    /// A tensor of a DLPack that is not known.
    #[error("the DLPack tensor is of version {major}.{minor}, and version 1 is understood")]
    DlVersion {
        /// Major version.
        major: u32,
        /// Minor version.
        minor: u32,
    },
    /// A tensor of DLPack that contradicts itself.
    #[error("the DLPack tensor is damaged: {problem}")]
    DlDamaged {
        /// How.
        problem: &'static str,
    },
}
