//! Keys of regions: what is registered here, and what of peers is used here.

use super::{Ep, Status, Worker};
use crate::endpoint::Endpoint;
use crate::memory::{Access, Memory};
use crate::ucx::control::RegionKey;
use maser_ucx_sys as ucx;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Memory that UCX knows of.
pub(super) struct Mapping {
    raw: ucx::ucp_mem_h,
    /// Outlives `raw`.
    _memory: Arc<dyn Memory>,
}

/// The key of a peer's region, as UCX uses it; a name for something of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ucx) struct RemoteKey(Endpoint);

pub(super) struct RawKey {
    raw: ucx::ucp_rkey_h,
    /// Operations under way with it.
    users: usize,
    /// Nobody else has it any more.
    is_over: bool,
}

/// Zeroes behind what UCX is given to parse, for a length in it that is wrong.
const PADDING: usize = 4096;

impl Worker {
    /// Tells UCX of memory, under `number`: the packed key for peers.
    ///
    /// # Errors
    /// What UCX says.
    pub(in crate::ucx) fn map(
        &mut self,
        number: u64,
        memory: Arc<dyn Memory>,
        access: Access,
    ) -> Result<Vec<u8>, Status> {
        let mut prot = ucx::UCP_MEM_MAP_PROT_LOCAL_READ;
        if memory.is_writable() {
            prot |= ucx::UCP_MEM_MAP_PROT_LOCAL_WRITE;
        }
        if access.contains(Access::READ) {
            prot |= ucx::UCP_MEM_MAP_PROT_REMOTE_READ;
        }
        if access.intersects(Access::WRITE | Access::ATOMIC) {
            prot |= ucx::UCP_MEM_MAP_PROT_REMOTE_READ | ucx::UCP_MEM_MAP_PROT_REMOTE_WRITE;
        }
        let params = ucx::ucp_mem_map_params_t {
            field_mask: u64::from(
                ucx::UCP_MEM_MAP_PARAM_FIELD_ADDRESS
                    | ucx::UCP_MEM_MAP_PARAM_FIELD_LENGTH
                    | ucx::UCP_MEM_MAP_PARAM_FIELD_PROT,
            ),
            address: memory.start().as_ptr().cast(),
            length: memory.len(),
            prot,
            // SAFETY: a struct of C in which zero means nothing.
            ..unsafe { std::mem::zeroed() }
        };
        let (ucp, context) = (self.ucp, self.context);
        let mut raw = ptr::null_mut();
        // SAFETY: the memory outlives the mapping, which keeps it.
        self.status(unsafe { ucp.ucp_mem_map(context, &params, &mut raw) })?;
        let mapping = Mapping {
            raw,
            _memory: memory,
        };
        let packed = self.pack(&mapping);
        match packed {
            Ok(_) => drop(self.mappings.insert(number, mapping)),
            Err(_) => self.unmap_raw(mapping),
        }
        packed
    }

    fn pack(&self, mapping: &Mapping) -> Result<Vec<u8>, Status> {
        let (mut buffer, mut bytes) = (ptr::null_mut(), 0);
        let (ucp, context) = (self.ucp, self.context);
        // SAFETY: a mapping of this context; what comes back is copied and given back.
        unsafe {
            self.status(ucp.ucp_rkey_pack(context, mapping.raw, &mut buffer, &mut bytes))?;
            let packed = std::slice::from_raw_parts(buffer.cast::<u8>(), bytes).to_vec();
            ucp.ucp_rkey_buffer_release(buffer);
            Ok(packed)
        }
    }

    /// What peers call the region of this number.
    pub(in crate::ucx) fn region_key(&self, number: u64) -> RegionKey {
        let mut key = RegionKey::default();
        key[..8].copy_from_slice(&self.id);
        key[8..].copy_from_slice(&number.to_le_bytes());
        key
    }

    /// The number of a region of this worker; `None` if it is another's.
    pub(in crate::ucx) fn number_of(&self, key: &[u8]) -> Option<u64> {
        let (id, number) = key.split_first_chunk()?;
        let number = <[u8; 8]>::try_from(number).ok()?;
        (*id == self.id).then(|| u64::from_le_bytes(number))
    }

    /// UCX forgets memory.
    pub(in crate::ucx) fn unmap(&mut self, number: u64) {
        if let Some(mapping) = self.mappings.remove(&number) {
            self.unmap_raw(mapping);
        }
    }

    pub(super) fn unmap_raw(&self, mapping: Mapping) {
        let (ucp, context) = (self.ucp, self.context);
        // SAFETY: mapped, and not since unmapped; the memory is dropped behind this.
        let _status = unsafe { ucp.ucp_mem_unmap(context, mapping.raw) };
    }

    /// The mapping under `number`, for operations with memory in it.
    pub(super) fn mapping(&self, number: u64) -> ucx::ucp_mem_h {
        let found = self.mappings.get(&number);
        found.map_or(ptr::null_mut(), |mapping| mapping.raw)
    }

    /// Makes a peer's packed key usable.
    ///
    /// # Errors
    /// What UCX says.
    pub(in crate::ucx) fn unpack(&mut self, ep: Ep, packed: &[u8]) -> Result<RemoteKey, Status> {
        let raw_ep = self.raw(ep)?;
        let padded = padded(packed);
        let mut raw = ptr::null_mut();
        // SAFETY: an endpoint of this worker, and bytes that are there, with zeroes behind them.
        let status = unsafe {
            let buffer = padded.as_ptr().cast::<c_void>();
            self.ucp.ucp_ep_rkey_unpack(raw_ep, buffer, &mut raw)
        };
        self.status(status)?;
        let key = RawKey {
            raw,
            users: 0,
            is_over: false,
        };
        let name = self.keys.insert(|_| key);
        name.map(RemoteKey)
            .ok_or(Status(ucx::UCS_ERR_EXCEEDS_LIMIT))
    }

    /// The key is not used any more, but by what is under way.
    pub(in crate::ucx) fn forget(&mut self, key: RemoteKey) {
        if let Some(found) = self.keys.get_mut(key.0) {
            found.is_over = true;
        }
        self.destroy_unused(key);
    }

    /// An operation begins with it.
    pub(super) fn use_key(&mut self, key: RemoteKey) -> Result<ucx::ucp_rkey_h, Status> {
        let found = self.keys.get_mut(key.0);
        let found = found.ok_or(Status(ucx::UCS_ERR_INVALID_PARAM))?;
        found.users += 1;
        Ok(found.raw)
    }

    /// An operation with it is done.
    pub(super) fn leave_key(&mut self, key: RemoteKey) {
        if let Some(found) = self.keys.get_mut(key.0) {
            found.users -= 1;
        }
        self.destroy_unused(key);
    }

    fn destroy_unused(&mut self, key: RemoteKey) {
        let is_unused = |found: &RawKey| found.is_over && found.users == 0;
        if self.keys.get(key.0).is_some_and(is_unused)
            && let Some(found) = self.keys.remove(key.0)
        {
            self.destroy_key(&found);
        }
    }

    pub(super) fn destroy_key(&self, key: &RawKey) {
        // SAFETY: unpacked by this worker, and not since destroyed; no operation has it.
        unsafe { self.ucp.ucp_rkey_destroy(key.raw) };
    }
}

/// The bytes as UCX is given them: with zeroes behind.
pub(super) fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len() + PADDING, 0);
    padded
}

/// The address of memory that is to be written.
pub(super) fn place(start: NonNull<u8>) -> *mut c_void {
    start.as_ptr().cast()
}
