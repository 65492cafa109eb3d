//! Types of elements.
//!
//! - DT-1 an element's bytes may be anything and make a value, and none of them is padding: what
//!   other processes wrote, and what was there before, can be read as elements. `bool` is no such
//!   type, so [`Bool`] takes its place.
#![allow(
    unsafe_code,
    reason = "a trait that promises what its types' bytes may be"
)]

use std::fmt;

pub use half::{bf16, f16};

/// A truth value in a byte: zero is false, all others are true.
#[derive(Clone, Copy, Debug, Default)]
#[repr(transparent)]
pub struct Bool(u8);

impl Bool {
    /// False.
    pub const FALSE: Self = Self(0);
    /// True.
    pub const TRUE: Self = Self(1);

    /// The value.
    #[inline]
    #[must_use]
    pub fn get(self) -> bool {
        self.0 != 0
    }
}

impl PartialEq for Bool {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Bool {}

impl From<bool> for Bool {
    #[inline]
    fn from(value: bool) -> Self {
        Self(u8::from(value))
    }
}

impl From<Bool> for bool {
    #[inline]
    fn from(value: Bool) -> Self {
        value.get()
    }
}

/// A complex number as C, NumPy and Fortran lay it out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Complex<T> {
    /// The real part.
    pub re: T,
    /// The imaginary part.
    pub im: T,
}

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum DType {
    /// [`Bool`].
    Bool = 0,
    /// `u8`.
    U8 = 1,
    /// `i8`.
    I8 = 2,
    /// `u16`.
    U16 = 3,
    /// `i16`.
    I16 = 4,
    /// `u32`.
    U32 = 5,
    /// `i32`.
    I32 = 6,
    /// `u64`.
    U64 = 7,
    /// `i64`.
    I64 = 8,
    /// 16 bits: 5 of exponent.
    F16 = 9,
    /// 16 bits: 8 of exponent.
    Bf16 = 10,
    /// `f32`.
    F32 = 11,
    /// `f64`.
    F64 = 12,
    /// Two `f32`.
    C64 = 13,
    /// Two `f64`.
    C128 = 14,
}

/// Codes of `DLDataTypeCode`.
mod code {
    pub const INT: u8 = 0;
    pub const UINT: u8 = 1;
    pub const FLOAT: u8 = 2;
    pub const BFLOAT: u8 = 4;
    pub const COMPLEX: u8 = 5;
    pub const BOOL: u8 = 6;
}

impl DType {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Bool,
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F16,
        Self::Bf16,
        Self::F32,
        Self::F64,
        Self::C64,
        Self::C128,
    ];

    /// The type of a number that came in a message.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number in messages.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Bytes of an element.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::C64 => 8,
            Self::C128 => 16,
        }
    }

    /// What an element's address is a multiple of.
    #[must_use]
    pub fn align(self) -> usize {
        match self {
            Self::C64 => align_of::<f32>(),
            Self::C128 => align_of::<f64>(),
            other => other.bytes(),
        }
    }

    /// Its name, as NumPy has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I32 => "int32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::C64 => "complex64",
            Self::C128 => "complex128",
        }
    }

    /// Code and bits in DLPack.
    #[must_use]
    pub fn dlpack(self) -> (u8, u8) {
        let code = match self {
            Self::Bool => code::BOOL,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => code::UINT,
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => code::INT,
            Self::F16 | Self::F32 | Self::F64 => code::FLOAT,
            Self::Bf16 => code::BFLOAT,
            Self::C64 | Self::C128 => code::COMPLEX,
        };
        (code, self.bytes() as u8 * 8)
    }

    /// The type with this code and these bits in DLPack, if it is one of ours.
    #[must_use]
    pub fn of_dlpack(code: u8, bits: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dtype| dtype.dlpack() == (code, bits))
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A type that arrays and tensors have elements of.
///
/// # Safety
/// DT-1; the type has the size and alignment of its [`DTYPE`](Element::DTYPE).
pub unsafe trait Element: Copy + Send + Sync + 'static {
    /// Its mark.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($type:ty: $dtype:ident,)*) => {
        $(
            const _: () = assert!(size_of::<$type>() % align_of::<$type>() == 0);
            // SAFETY: DT-1: numbers whose bits may be anything, or pairs of such without a gap.
            unsafe impl Element for $type {
                const DTYPE: DType = DType::$dtype;
            }
        )*

        #[cfg(test)]
        fn sizes() -> Vec<(DType, usize, usize)> {
            vec![$((DType::$dtype, size_of::<$type>(), align_of::<$type>())),*]
        }
    };
}

elements! {
    Bool: Bool,
    u8: U8,
    i8: I8,
    u16: U16,
    i16: I16,
    u32: U32,
    i32: I32,
    u64: U64,
    i64: I64,
    f16: F16,
    bf16: Bf16,
    f32: F32,
    f64: F64,
    Complex<f32>: C64,
    Complex<f64>: C128,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_an_element_of_its_size_and_alignment() {
        let sizes = sizes();
        assert_eq!(sizes.len(), DType::ALL.len());
        for (dtype, bytes, align) in sizes {
            assert_eq!((dtype.bytes(), dtype.align()), (bytes, align), "{dtype}");
        }
    }

    #[test]
    fn numbers_and_dlpack_codes_come_back_as_their_types() {
        for dtype in DType::ALL {
            assert_eq!(DType::of_number(dtype.number()), Some(dtype));
            let (code, bits) = dtype.dlpack();
            assert_eq!(DType::of_dlpack(code, bits), Some(dtype));
        }
        assert_eq!(DType::of_number(15), None);
        assert_eq!(DType::of_dlpack(2, 8), None, "there is no 8-bit float here");
    }

    #[test]
    fn any_byte_is_a_truth_value() {
        assert_eq!(Bool(255), Bool::TRUE);
        assert!(bool::from(Bool(2)) && !Bool::FALSE.get());
    }
}
