//! Copies past the caches with streaming stores: the limit of everything that copies much.
//!
//! - SM-1 streaming stores are weakly ordered; a store fence ends each copy, as it must before
//!   anything publishes it.
//! - SM-2 written apart from the store's own routine and shaped otherwise, so that it is a limit and
//!   no mirror.
#![allow(unsafe_code, reason = "vector instructions and raw copies")]

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use crate::harness::{BenchError, Contender, Window, check};

/// Copies `from` to `to`, past the caches where that is known how.
///
/// # Panics
/// If they differ in length.
fn stream(to: &mut [u8], from: &[u8]) {
    assert_eq!(to.len(), from.len(), "a copy has one length");
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the instructions are there.
        return unsafe { x86::stream(to, from) };
    }
    to.copy_from_slice(from);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{_mm_sfence, _mm256_loadu_si256, _mm256_stream_si256};

    /// Bytes of a step: four lines, so that whole lines leave together.
    const STEP_BYTES: usize = 256;
    const VECTOR_BYTES: usize = 32;

    /// # Safety
    /// AVX is there.
    #[target_feature(enable = "avx")]
    pub(super) unsafe fn stream(to: &mut [u8], from: &[u8]) {
        let ahead = to.as_ptr().align_offset(STEP_BYTES).min(to.len());
        to[..ahead].copy_from_slice(&from[..ahead]);
        let steps_bytes = (to.len() - ahead) / STEP_BYTES * STEP_BYTES;
        for at in (ahead..ahead + steps_bytes).step_by(STEP_BYTES) {
            // SAFETY: inside of both, which do not overlap; the target is aligned to a step.
            unsafe {
                let source = from.as_ptr().add(at);
                let target = to.as_mut_ptr().add(at);
                let parts: [_; STEP_BYTES / VECTOR_BYTES] = std::array::from_fn(|part| {
                    _mm256_loadu_si256(source.add(part * VECTOR_BYTES).cast())
                });
                for (part, value) in parts.into_iter().enumerate() {
                    _mm256_stream_si256(target.add(part * VECTOR_BYTES).cast(), value);
                }
            }
        }
        let rest = ahead + steps_bytes;
        to[rest..].copy_from_slice(&from[rest..]);
        _mm_sfence(); // SM-1
    }
}

/// Where a copy goes to: it is asked for each time, so that a copy can go to the same pages as what
/// it is compared with.
pub type Place = Box<dyn Fn() -> Box<dyn DerefMut<Target = [u8]>>>;

/// A buffer that goes back to its place.
struct Lent {
    buffer: Vec<u8>,
    home: Rc<Cell<Vec<u8>>>,
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.set(std::mem::take(&mut self.buffer));
    }
}

/// One buffer of `bytes`, touched, for all copies.
pub fn kept(bytes: usize) -> Place {
    let home = Rc::new(Cell::new(vec![1; bytes]));
    Box::new(move || {
        let (buffer, home) = (home.take(), Rc::clone(&home));
        Box::new(Lent { buffer, home })
    })
}

/// Streaming copies into a place.
pub struct StreamCopy {
    name: &'static str,
    from: Arc<[u8]>,
    place: Place,
    cores: usize,
}

impl StreamCopy {
    /// Copies of `from` by so many cores, one or two.
    pub fn new(name: &'static str, from: &Arc<[u8]>, place: Place, cores: usize) -> Self {
        let from = Arc::clone(from);
        Self {
            name,
            from,
            place,
            cores,
        }
    }
}

impl Contender for StreamCopy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (mut right, mut failed) = (0, None);
        let (calls, partner) = (window.calls(), window.partner());
        window.time(|| {
            let mut to = (self.place)();
            if self.cores == 1 {
                stream(&mut to, &self.from);
                right += u64::from(to.first() == self.from.first());
                return;
            }
            // The second half goes by another copy of the handle: the other core writes it whole.
            let half = to.len() / 2;
            let (from, begin) = (Arc::clone(&self.from), half);
            let target = Half(to[half..].as_mut_ptr(), to.len() - half);
            let other = partner.run(move || target.fill(&from[begin..]));
            stream(&mut to[..half], &self.from[..half]);
            match other.join() {
                Ok(()) => right += u64::from(to.last() == self.from.last()),
                Err(error) => failed = Some(error),
            }
        });
        match failed {
            Some(error) => Err(error),
            None => check(self.name, calls, right),
        }
    }
}

/// The part of a target that the other core writes.
struct Half(*mut u8, usize);

// SAFETY: the bytes are nobody else's while the job runs: its maker writes the other part and waits
// for the job before it touches or frees them.
unsafe impl Send for Half {}

impl Half {
    fn fill(self, from: &[u8]) {
        // SAFETY: as above.
        stream(
            unsafe { std::slice::from_raw_parts_mut(self.0, self.1) },
            from,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_arrives_and_none_beside() {
        let from: Vec<u8> = (0..3_000_u32).map(|i| (i * 7 % 251) as u8).collect();
        for start in [0, 1, 31, 32, 255] {
            for bytes in [0, 1, 255, 256, 257, 1_000, 2_500] {
                let mut to = vec![0xEE; 3_000];
                stream(&mut to[start..start + bytes], &from[13..13 + bytes]);
                assert!(to[..start].iter().all(|&byte| byte == 0xEE));
                assert_eq!(to[start..start + bytes], from[13..13 + bytes]);
                assert!(to[start + bytes..].iter().all(|&byte| byte == 0xEE));
            }
        }
    }
}
