//! Registered memory: what a device may read and write.
//!
//! - KR-1 memory is registered once in a process, whoever asks for it how often: while a registration lives,
//!   another of the same memory and access is the same. The same means the same value of [`Memory`]: an
//!   address that was unmapped and mapped again is another one, and so another generation. When the last
//!   region of a registration is gone so is the key: nothing is kept for later, since peers could go on
//!   using it.
//! - KR-2 a process may lock so many bytes (`RLIMIT_MEMLOCK`), but for one with CAP_IPC_LOCK. What is left is
//!   asked before memory is registered, so the error has figures.
//!
//! One key serves all peers. They are told it over connections that are encrypted where there is a secret,
//! but packets carry it in clear, and a key is 32 bits that a device counts up: whoever can send packets into
//! the fabric can use it. So this transport is for fabrics of one's own.

use super::device::{Domain, made};
use crate::endpoint::TransportKind;
use crate::memory::{Access, Memory, MemoryRegion};
use crate::transport::RegisterError;
use bytes::Bytes;
use maser_rdma_sys::*;
use rustix::process::{Resource, getrlimit};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError, Weak};

/// Bytes of the pages that are locked, at least.
const PAGE_BYTES: u64 = 4096;
/// The capability to lock memory without a limit.
const CAP_IPC_LOCK: u32 = 14;

/// Registrations that live, by address, length and access (KR-1).
pub(super) type Cache = HashMap<(usize, usize, u8), Weak<Registered>>;

/// A registration.
pub(super) struct Registered {
    domain: Arc<Domain>,
    mr: NonNull<ibv_mr>,
    of: Weak<dyn Memory>,
    key: (usize, usize, u8),
}

// SAFETY: calls of the library may come from any thread.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

impl Drop for Registered {
    fn drop(&mut self) {
        {
            let cache = self.domain.registered.lock();
            let mut cache = cache.unwrap_or_else(PoisonError::into_inner);
            // Another may have taken its place meanwhile.
            let is_gone = |found: &Weak<Self>| found.strong_count() == 0;
            if cache.get(&self.key).is_some_and(is_gone) {
                cache.remove(&self.key);
            }
        }
        // SAFETY: made by the library, and given back once.
        unsafe { self.domain.verbs.ibv_dereg_mr(self.mr.as_ptr()) };
    }
}

impl Registered {
    /// What requests of this process name it by.
    pub(super) fn local_key(&self) -> u32 {
        // SAFETY: the registration lives.
        unsafe { self.mr.as_ref().lkey }
    }

    /// What requests of peers name it by.
    fn remote_key(&self) -> u32 {
        // SAFETY: as above.
        unsafe { self.mr.as_ref().rkey }
    }

    /// Whether requests of queue pairs in `domain` may name it.
    pub(super) fn is_of(&self, domain: &Arc<Domain>) -> bool {
        Arc::ptr_eq(&self.domain, domain)
    }

    /// Registers memory, or finds it registered (KR-1).
    pub(super) fn new(
        domain: &Arc<Domain>,
        memory: &Arc<dyn Memory>,
        access: Access,
    ) -> Result<Arc<Self>, RegisterError> {
        if access.intersects(Access::WRITE | Access::ATOMIC) && !memory.is_writable() {
            return Err(RegisterError::ReadOnly { access });
        }
        let start = memory.start();
        let key = (start.addr().get(), memory.len(), access.bits());
        let cache = domain.registered.lock();
        let mut cache = cache.unwrap_or_else(PoisonError::into_inner);
        let found = cache.get(&key).and_then(Weak::upgrade);
        // One that was found may be the last handle of it: not dropped under the lock.
        if let Some(found) = found {
            let same = found
                .of
                .upgrade()
                .is_some_and(|of| Arc::ptr_eq(&of, memory));
            drop(cache);
            return match same {
                true => Ok(found),
                false => Self::fresh(domain, memory, access, key).map(Arc::new),
            };
        }
        let fresh = Arc::new(Self::fresh(domain, memory, access, key)?);
        cache.insert(key, Arc::downgrade(&fresh));
        Ok(fresh)
    }

    fn fresh(
        domain: &Arc<Domain>,
        memory: &Arc<dyn Memory>,
        access: Access,
        key: (usize, usize, u8),
    ) -> Result<Self, RegisterError> {
        let bytes = memory.len() as u64;
        may_lock(bytes)?;
        let mut flags = 0;
        let mut allow = |wanted, flag| flags |= if wanted { flag } else { 0 };
        allow(memory.is_writable(), IBV_ACCESS_LOCAL_WRITE);
        allow(access.contains(Access::READ), IBV_ACCESS_REMOTE_READ);
        allow(access.contains(Access::WRITE), IBV_ACCESS_REMOTE_WRITE);
        allow(access.contains(Access::ATOMIC), IBV_ACCESS_REMOTE_ATOMIC);
        // SAFETY: the memory is mapped as long as it lives (`Memory`), and whoever has this has it.
        let mr = made(unsafe {
            let start = memory.start().as_ptr().cast();
            let pd = domain.pd.as_ptr();
            domain
                .verbs
                .ibv_reg_mr(pd, start, memory.len(), flags as i32)
        });
        let mr = mr.map_err(|source| match source.raw_os_error() {
            // Others of the process have locked more meanwhile.
            Some(libc::ENOMEM) if left_to_lock().is_some_and(|left| left < pages(bytes)) => {
                let left = left_to_lock().unwrap_or(0);
                RegisterError::LockLimit { bytes, left }
            }
            _ => RegisterError::Refused { bytes, source },
        })?;
        Ok(Self {
            domain: domain.clone(),
            mr,
            of: Arc::downgrade(memory),
            key,
        })
    }

    /// The region of it.
    pub(super) fn region(self: Arc<Self>, memory: Arc<dyn Memory>, access: Access) -> MemoryRegion {
        let key = Bytes::copy_from_slice(&self.remote_key().to_le_bytes());
        MemoryRegion::new(TransportKind::Rdma, memory, access, key, self)
    }
}

/// The key in a peer's region; one that is none is refused by the peer's device.
pub(super) fn remote_key(key: &[u8]) -> u32 {
    <[u8; 4]>::try_from(key).map_or(0, u32::from_le_bytes)
}

fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES).saturating_mul(PAGE_BYTES)
}

/// KR-2.
pub(super) fn may_lock(bytes: u64) -> Result<(), RegisterError> {
    match left_to_lock() {
        Some(left) if left < pages(bytes) => Err(RegisterError::LockLimit { bytes, left }),
        _ => Ok(()),
    }
}

/// Bytes that this process may still lock; `None` if there is no limit, or none that can be read.
fn left_to_lock() -> Option<u64> {
    let limit = getrlimit(Resource::Memlock).current?;
    left_of(limit, &fs::read_to_string("/proc/self/status").ok()?)
}

/// The same, by what `/proc/self/status` says.
fn left_of(limit: u64, status: &str) -> Option<u64> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()
    };
    let capabilities = u64::from_str_radix(field("CapEff:")?, 16).ok()?;
    if capabilities & 1 << CAP_IPC_LOCK != 0 {
        return None;
    }
    // Devices count what they pin apart from what is locked.
    let pinned: u64 = field("VmPin:")?.parse().ok()?;
    Some(limit.saturating_sub(pinned.saturating_mul(1024)))
}

/// Memory of one's own that a device uses.
pub(super) fn register_own(
    domain: &Arc<Domain>,
    memory: &Arc<dyn Memory>,
) -> io::Result<Arc<Registered>> {
    Registered::new(domain, memory, Access::empty()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str =
        "Name:\tx\nVmLck:\t      64 kB\nVmPin:\t    1024 kB\nCapEff:\t0000000000000000\n";

    #[test]
    fn what_may_still_be_locked_is_the_limit_less_what_is_pinned() {
        assert_eq!(left_of(8 << 20, STATUS), Some(7 << 20));
        assert_eq!(left_of(1 << 19, STATUS), Some(0));
    }

    #[test]
    fn who_may_lock_all_has_no_limit() {
        let status = STATUS.replace("0000000000000000", "0000000000004000");
        assert_eq!(left_of(0, &status), None);
        assert_eq!(left_of(0, "Name:\tx\n"), None);
    }

    #[test]
    fn memory_is_locked_in_pages() {
        assert_eq!([0, 1, 4096, 4097].map(pages), [0, 4096, 4096, 8192]);
    }

    #[test]
    fn a_key_that_is_none_is_zero() {
        assert_eq!(remote_key(&[1, 2, 0, 0]), 0x201);
        assert_eq!(remote_key(&[1, 2]), 0);
    }
}
