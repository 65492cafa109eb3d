//! What a dead process leaves, and who still reads what it had given (BK-8).

use super::Bulk;
use super::claims::HAS_OBJECTS;
use crate::worker::parcel::IN_STORE;
use crate::worker::peer::Peer;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The references that a dead process held, and its extents: settled when this is dropped.
struct Estate {
    bulk: Arc<Bulk>,
    peer: Arc<Peer>,
}

impl Drop for Estate {
    fn drop(&mut self) {
        self.bulk.peer_is_gone(&self.peer);
    }
}

#[derive(Default)]
struct State {
    count: usize,
    /// The process is dead, and somebody reads.
    estate: Option<Estate>,
}

/// Who decodes messages of a process that have objects with them.
#[derive(Default)]
pub(in crate::worker) struct Readers(Mutex<State>);

/// One of them.
pub(in crate::worker) struct Reader<'a>(&'a Readers);

impl Readers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, until it is dropped.
    pub(in crate::worker) fn enter(&self) -> Reader<'_> {
        self.lock().count += 1;
        Reader(self)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let left = {
            let mut state = self.0.lock();
            state.count -= 1;
            match state.count {
                0 => state.estate.take(),
                _ => None,
            }
        };
        drop(left);
    }
}

/// The calling thread has a message of `peer` with this flag, and decodes it.
#[inline]
pub(in crate::worker) fn reads(peer: &Peer, flag: u8) -> Option<Reader<'_>> {
    (flag & (HAS_OBJECTS | IN_STORE) != 0).then(|| peer.readers.enter())
}

/// `peer` is dead, and all that it had published was taken off its rings.
pub(in crate::worker) fn is_dead(bulk: &Arc<Bulk>, peer: &Arc<Peer>) {
    let estate = Estate {
        bulk: bulk.clone(),
        peer: peer.clone(),
    };
    let own = {
        let mut state = peer.readers.lock();
        match state.count {
            0 => Some(estate),
            _ => {
                state.estate = Some(estate);
                None
            }
        }
    };
    drop(own);
}
