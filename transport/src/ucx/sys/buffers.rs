//! Memory of long messages, used again when nobody has them any more: fresh pages cost more than the copy.

use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers that are kept.
const MAX_KEPT: usize = 32;
/// The longest one that is kept.
const MAX_KEPT_BYTES: usize = 4 << 20;

/// See the module's page. A clone has the same buffers.
#[derive(Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A message in a buffer, which goes back.
struct Lent {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty one with room for so many bytes, and not for many times as many.
    pub(super) fn take(&self, bytes: usize) -> Vec<u8> {
        let fits = |kept: &Vec<u8>| (bytes..=bytes.saturating_mul(4)).contains(&kept.capacity());
        let mut kept = self.lock();
        match kept.iter().rposition(fits) {
            Some(place) => kept.swap_remove(place),
            None => Vec::with_capacity(bytes),
        }
    }

    /// What is in one, as a message; it comes back when nobody has that any more.
    pub(super) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        let home = self.clone();
        Bytes::from_owner(Lent { bytes, home })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut kept = self.home.lock();
        if kept.len() < MAX_KEPT && bytes.capacity() <= MAX_KEPT_BYTES {
            kept.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_its_message_is_gone() {
        let buffers = Buffers::default();
        let mut first = buffers.take(1000);
        first.extend_from_slice(b"message");
        let at = first.as_ptr();
        let message = buffers.lend(first);
        let other = buffers.take(1000);
        assert_ne!(other.as_ptr(), at);
        assert_eq!(&*message, b"message");
        drop(message);
        let short = buffers.take(10);
        assert_ne!(short.as_ptr(), at);
        let again = buffers.take(500);
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
    }
}
