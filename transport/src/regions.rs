//! What is registered with one transport, found by the number that peers have.

use crate::endpoint::TransportKind;
use crate::memory::{Access, Memory, MemoryRegion, RemoteRegion};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

type Table = HashMap<u64, (Weak<dyn Memory>, Access)>;

/// See the module's page. A clone is the same table.
#[derive(Clone, Default)]
pub(crate) struct Regions(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    last: u64,
    table: Table,
}

/// Takes a region out of its table.
struct Registered {
    regions: Regions,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.regions.lock().table.remove(&self.number);
    }
}

impl Regions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers memory, until the last clone of the region is gone.
    pub(crate) fn register(
        &self,
        kind: TransportKind,
        memory: Arc<dyn Memory>,
        access: Access,
    ) -> MemoryRegion {
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state
            .table
            .insert(number, (Arc::downgrade(&memory), access));
        drop(state);
        let held = Registered {
            regions: self.clone(),
            number,
        };
        let key = Bytes::copy_from_slice(&number.to_le_bytes());
        MemoryRegion::new(kind, memory, access, key, held)
    }

    /// The number in the key of a peer's region; one that is none finds nothing there.
    pub(crate) fn number(region: &RemoteRegion) -> u64 {
        let number = <[u8; 8]>::try_from(&**region.key());
        number.map_or(0, u64::from_le_bytes)
    }

    /// The memory of a region, if it may be used so.
    ///
    /// # Errors
    /// What to tell the peer.
    pub(crate) fn find(&self, number: u64, wanted: Access) -> Result<Arc<dyn Memory>, String> {
        let found = {
            let state = self.lock();
            let found = state.table.get(&number);
            found.and_then(|(memory, access)| Some((memory.upgrade()?, *access)))
        };
        match found {
            None => Err("there is no such region, or no more".into()),
            Some((_, access)) if !access.contains(wanted) => {
                Err(format!("the region allows {access:?}, not {wanted:?}"))
            }
            Some((memory, _)) => Ok(memory),
        }
    }
}
