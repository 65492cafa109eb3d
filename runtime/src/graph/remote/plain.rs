//! Which types are nothing but their bytes, found out when the program is compiled.
//!
//! The macros know the types of a function, but not what they implement: `PlainProbe::<T>::IS` is the
//! inherent constant where `T` is [`Plain`] and the trait's where it is not.
#![allow(
    unsafe_code,
    reason = "copies values whose type was proven to be plain"
)]

use super::packet::{INLINE_BYTES, Kind, Packed, Packet, head};
use maser_shm::control::Plain;
use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// The answer for `T`; only a plain `T` has one that says yes.
#[derive(Debug)]
pub struct IsPlain<T>(bool, PhantomData<fn() -> T>);

impl<T> Clone for IsPlain<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for IsPlain<T> {}

/// Asks whether `T` is plain.
#[derive(Debug)]
pub struct PlainProbe<T>(PhantomData<fn() -> T>);

impl<T: Plain> PlainProbe<T> {
    /// It is.
    pub const IS: IsPlain<T> = IsPlain(true, PhantomData);
}

/// The answer for all other types.
pub trait NotPlain<T> {
    /// It is not.
    const IS: IsPlain<T> = IsPlain(false, PhantomData);
}

impl<T> NotPlain<T> for PlainProbe<T> {}

impl<T> IsPlain<T> {
    /// No, or not worth knowing.
    pub(crate) const NO: Self = Self(false, PhantomData);

    /// The answer itself.
    pub(crate) const fn get(self) -> bool {
        self.0
    }

    /// The answer of an erased codec: `claimed` is the plain type that it is for, if it is plain.
    pub(crate) fn from_codec(claimed: Option<TypeId>) -> Self
    where
        T: 'static,
    {
        Self(claimed == Some(TypeId::of::<T>()), PhantomData)
    }

    /// Packs a value of an erased type if that is `T` and plain; false if it is not.
    pub(crate) const fn pack_any(self) -> fn(&dyn Any, &mut Packed) -> bool
    where
        T: 'static,
    {
        match self.0 {
            true => |value, packed| match value.downcast_ref::<T>() {
                // The same yes.
                Some(value) => Self(true, PhantomData).pack(value, packed),
                None => false,
            },
            false => |_, _| false,
        }
    }

    /// Packs `value` if it is plain; false if it is not.
    #[inline(always)]
    pub(crate) fn pack(self, value: &T, packed: &mut Packed) -> bool {
        if !self.0 {
            return false;
        }
        // SAFETY: `T` is plain (the only way to a yes), so all of its bytes are initialised.
        let bytes = unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
        };
        if const { size_of::<T>() <= INLINE_BYTES } {
            packed.set_inline(bytes);
            return true;
        }
        let filled = packed.fill(Kind::Value, |more| {
            more.extend_from_slice(bytes);
            Ok(())
        });
        filled.is_ok()
    }

    /// The line of `value`, if it is plain and stands in one.
    #[inline(always)]
    pub(crate) fn packet(self, value: &T) -> Option<Packet> {
        let first = self.inline_head()?;
        let mut packet = [first, 0, 0, 0, 0, 0, 0];
        // SAFETY: `T` is plain (the only way to a yes), so all of its bytes are initialised; they are
        // no more than the six words after the first (`inline_head`).
        unsafe {
            std::ptr::copy_nonoverlapping(
                std::ptr::from_ref(value).cast::<u8>(),
                packet[1..].as_mut_ptr().cast::<u8>(),
                size_of::<T>(),
            );
        }
        Some(packet)
    }

    /// The first word of a packet that holds a plain `T` in its line.
    #[inline(always)]
    pub(crate) const fn inline_head(self) -> Option<u64> {
        if self.0 && size_of::<T>() <= INLINE_BYTES {
            Some(head(Kind::Value, size_of::<T>()))
        } else {
            None
        }
    }

    /// The value of these bytes, if `T` is plain and they are as many.
    #[inline(always)]
    pub(crate) fn unpack(self, bytes: &[u8]) -> Option<T> {
        if !self.0 || bytes.len() != size_of::<T>() {
            return None;
        }
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: as many bytes as `T` has, and any bytes are a plain `T`.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                value.as_mut_ptr().cast::<u8>(),
                size_of::<T>(),
            );
            Some(value.assume_init())
        }
    }
}
