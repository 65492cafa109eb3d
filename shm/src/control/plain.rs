//! Values that may lie in memory which others write.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A value of fixed size that is nothing but its bytes: any bytes are one (a peer may have written
/// them), it has no padding that would carry secrets of this process away, and it owns nothing.
///
/// Derive zerocopy's three traits, or use integers, floats and arrays of them:
///
/// ```
/// use zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
/// #[repr(C)]
/// struct Order { number: u64, price: f64 }
///
/// fn is_plain<T: maser_shm::control::Plain>() {}
/// is_plain::<Order>();
/// ```
pub trait Plain: FromBytes + IntoBytes + Immutable + Copy + Send + 'static {}

impl<T: FromBytes + IntoBytes + Immutable + Copy + Send + 'static> Plain for T {}
