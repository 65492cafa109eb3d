//! Objects of other processes: mapped extents, and what lies in them.
//!
//! - FRN-1 descriptors are input: the range is checked against the mapping, whose size cannot change,
//!   then the object's mark is read, each word once. Whatever a peer sends, nothing is read outside
//!   of its own extent.
//! - FRN-2 an open object keeps its extent mapped, also when the extent was taken off the list or its
//!   owner is dead.
//! - FRN-3 each open stands for one reference that its owner gave; it goes back by [`Release`] when
//!   the last clone is dropped. An open that failed gives nothing back.
//! - FRN-4 the owner keeps a given object unchanged (OB-2). That an owner keeps to it is trusted, as
//!   far as what is read is concerned, and for nothing else; who does not trust it copies first.
#![allow(unsafe_code, reason = "hands out memory of other processes")]

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

use super::descriptor::Descriptor;
use super::error::StoreError;
use super::extent::ForeignExtent;
use super::header::Header;
use super::keys::KeyHash;
use super::peer::PeerId;
use crate::arena::classes::{HEADER_UNITS, UNIT_BYTES};

/// Tells an owner that references to an object of it are no longer used here.
pub trait Release: Send + Sync {
    /// `count` references go back. Called by whichever thread drops the last handle.
    fn release(&self, owner: PeerId, descriptor: Descriptor, count: u64);
}

/// An extent of another process.
#[derive(Debug)]
struct Attached {
    extent: ForeignExtent,
}

/// The extents of other processes that this one knows. Clones are handles of one list.
#[derive(Clone)]
pub struct Foreign(Arc<Shared>);

struct Shared {
    /// Extents that were taken off the list while objects of them were open, and others.
    taken_off: Mutex<Vec<(PeerId, Weak<Attached>)>>,
    extents: RwLock<HashMap<(PeerId, u32), Arc<Attached>, KeyHash>>,
    release: Arc<dyn Release>,
    takes_unsealed: bool,
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Foreign").field(&self.read().keys()).finish()
    }
}

impl Foreign {
    /// Knows no extent yet.
    #[must_use]
    pub fn new(release: Arc<dyn Release>) -> Self {
        Self::with(release, false)
    }

    /// As [`new`](Self::new), but maps files of huge pages that are not sealed as well (EX-4): where
    /// the owners were given a `huge_page_dir`.
    #[must_use]
    pub fn with_unsealed(release: Arc<dyn Release>) -> Self {
        Self::with(release, true)
    }

    fn with(release: Arc<dyn Release>, takes_unsealed: bool) -> Self {
        let extents = RwLock::default();
        Self(Arc::new(Shared {
            taken_off: Mutex::default(),
            extents,
            release,
            takes_unsealed,
        }))
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<(PeerId, u32), Arc<Attached>, KeyHash>> {
        let extents = &self.0.extents;
        extents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<(PeerId, u32), Arc<Attached>, KeyHash>> {
        let extents = &self.0.extents;
        extents.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Maps an extent that its owner announced. Announced twice is fine.
    ///
    /// # Errors
    /// What [`ForeignExtent::attach`] says; [`StoreError::ExtentTwice`] for other memory under a
    /// number that is taken.
    pub fn add_extent(
        &self,
        owner: PeerId,
        extent: u32,
        file: BorrowedFd<'_>,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let from = format!("peer {}", owner.0);
        let mapped = if self.0.takes_unsealed {
            ForeignExtent::attach_unsealed(file, bytes, &from)?
        } else {
            ForeignExtent::attach(file, bytes, &from)?
        };
        let mut extents = self.write();
        match extents.get(&(owner, extent)) {
            Some(known) if known.extent.file_number() == mapped.file_number() => Ok(()),
            Some(_) => Err(StoreError::ExtentTwice {
                peer: owner,
                extent,
            }),
            None => {
                let attached = Arc::new(Attached { extent: mapped });
                extents.insert((owner, extent), attached);
                Ok(())
            }
        }
    }

    /// The owner gave an extent back to the system.
    pub fn remove_extent(&self, owner: PeerId, extent: u32) {
        let removed = self.write().remove(&(owner, extent));
        self.take_off(owner, removed);
    }

    fn take_off(&self, owner: PeerId, removed: impl IntoIterator<Item = Arc<Attached>>) {
        let mut taken_off = self.taken_off();
        taken_off.retain(|(_, attached)| attached.strong_count() > 0);
        for attached in removed {
            taken_off.push((owner, Arc::downgrade(&attached)));
        }
    }

    fn taken_off(&self) -> MutexGuard<'_, Vec<(PeerId, Weak<Attached>)>> {
        let taken_off = self.0.taken_off.lock();
        taken_off.unwrap_or_else(PoisonError::into_inner)
    }

    /// Faults the pages of an extent in, so that reading objects of it costs no fault. For a thread
    /// that has time.
    ///
    /// # Errors
    /// [`StoreError::UnknownExtent`], and what the kernel said.
    pub fn populate(&self, owner: PeerId, extent: u32) -> Result<(), StoreError> {
        let attached = self.read().get(&(owner, extent)).cloned();
        let unknown = StoreError::UnknownExtent {
            peer: owner,
            extent,
        };
        let attached = attached.ok_or(unknown)?;
        Ok(attached.extent.populate(0, attached.extent.bytes())?)
    }

    /// Forgets all extents of a process; what is open stays (FRN-2).
    pub fn remove_peer(&self, owner: PeerId) {
        let mut gone = Vec::new();
        self.write().retain(|key, attached| {
            let stays = key.0 != owner;
            if !stays {
                gone.push(Arc::clone(attached));
            }
            stays
        });
        self.take_off(owner, gone);
    }

    /// Extents of a process that are mapped here, also those that open objects alone keep: how many,
    /// and their bytes. Those of a dead process count for nobody else (`Store::charge`).
    #[must_use]
    pub fn mapped(&self, owner: PeerId) -> (usize, u64) {
        let extents = self.read();
        let of_owner = extents.iter().filter(|(key, _)| key.0 == owner);
        let listed = of_owner.map(|(_, attached)| Arc::clone(attached));
        let mut mapped: Vec<_> = listed.collect();
        drop(extents);
        let taken_off = self.taken_off();
        let kept = taken_off.iter().filter(|(of, _)| *of == owner);
        mapped.extend(kept.filter_map(|(_, attached)| attached.upgrade()));
        drop(taken_off);
        let bytes = mapped.iter().map(|attached| attached.extent.bytes() as u64);
        (mapped.len(), bytes.sum())
    }

    /// Opens an object that its owner gave to this process.
    ///
    /// # Errors
    /// [`StoreError::UnknownExtent`], [`StoreError::Damaged`], [`StoreError::Gone`].
    pub fn open(&self, owner: PeerId, descriptor: Descriptor) -> Result<ForeignObject, StoreError> {
        let attached = self.read().get(&(owner, descriptor.extent)).cloned();
        let Some(attached) = attached else {
            return Err(StoreError::UnknownExtent {
                peer: owner,
                extent: descriptor.extent,
            });
        };
        let (offset, extent_bytes) = (descriptor.offset(), attached.extent.bytes() as u64);
        // FRN-1. An offset has 38 bits.
        let end = offset.checked_add(descriptor.bytes);
        if descriptor.unit < HEADER_UNITS || end.is_none_or(|end| end > extent_bytes) {
            return Err(StoreError::Damaged {
                peer: owner,
                extent: descriptor.extent,
                extent_bytes,
                offset,
                bytes: descriptor.bytes,
            });
        }
        // SAFETY: FRN-1, inside; an extent begins with a page, so units of it are aligned.
        let payload = unsafe { attached.extent.start().add(offset as usize) };
        // SAFETY: FRN-1, a unit lies before it.
        let header = unsafe { Header::before(payload) };
        if !header.is_sealed(descriptor.generation, descriptor.bytes) {
            return Err(StoreError::Gone {
                peer: owner,
                extent: descriptor.extent,
                offset,
            });
        }
        Ok(ForeignObject(Arc::new(Opened {
            foreign: Arc::clone(&self.0),
            _attached: attached,
            owner,
            descriptor,
            payload,
        })))
    }
}

/// An object of another process. Cloning counts here; the last one to go tells the owner.
#[derive(Clone, Debug)]
pub struct ForeignObject(Arc<Opened>);

struct Opened {
    foreign: Arc<Shared>,
    /// FRN-2.
    _attached: Arc<Attached>,
    owner: PeerId,
    descriptor: Descriptor,
    payload: NonNull<u8>,
}

// SAFETY: FRN-2, FRN-4: memory that is mapped while the value is there, and that nobody here writes.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = self.owner;
        let descriptor = self.descriptor;
        write!(f, "{descriptor:?} of {owner:?}, {UNIT_BYTES}-byte units")
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let release = &self.foreign.release;
        release.release(self.owner, self.descriptor, 1); // FRN-3
    }
}

impl ForeignObject {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> PeerId {
        self.0.owner
    }

    /// What names it. It keeps nothing: only the owner can give the object to others.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        self.0.descriptor
    }
}

impl Deref for ForeignObject {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: FRN-1, FRN-2, FRN-4.
        unsafe { slice::from_raw_parts(self.0.payload.as_ptr(), self.0.descriptor.bytes as usize) }
    }
}
