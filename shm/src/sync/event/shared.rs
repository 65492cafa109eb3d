//! An event in control memory, as one process sees it.
#![allow(unsafe_code, reason = "an event in a region")]

use std::ops::Deref;
use std::ptr::NonNull;

use super::Event;
use crate::control::{ControlError, REGION_ALIGN, Region};

const _: () = assert!(align_of::<Event>() <= REGION_ALIGN);

/// An [`Event`] in a region. One thread of one process parks on it; threads of that process
/// [`notify`](Event::notify), those of others [`notify_across`](Event::notify_across).
#[derive(Clone, Debug)]
pub struct SharedEvent {
    event: NonNull<Event>,
    /// Keeps the memory mapped.
    _region: Region,
}

// SAFETY: CM-4: the event is an atomic word in memory that the value keeps mapped.
unsafe impl Send for SharedEvent {}
// SAFETY: as above; all steps take `&Event`.
unsafe impl Sync for SharedEvent {}

impl SharedEvent {
    /// Bytes of control memory that an event needs.
    pub const BYTES: usize = size_of::<Event>();

    /// The event at the start of `region`, which nothing but events has used.
    ///
    /// # Errors
    /// [`ControlError::Region`] if the region is smaller than [`BYTES`](Self::BYTES).
    ///
    /// # Examples
    ///
    /// ```
    /// use maser_shm::{control::ControlMemory, sync::event::SharedEvent};
    ///
    /// let memory = ControlMemory::create(SharedEvent::BYTES)?;
    /// let event = SharedEvent::in_region(&memory.whole())?;
    /// event.prepare_park();
    /// // In another process, over `ControlMemory::attach`.
    /// SharedEvent::in_region(&memory.whole())?.notify_across();
    /// assert!(event.park(None));
    /// # Ok::<(), maser_shm::control::ControlError>(())
    /// ```
    pub fn in_region(region: &Region) -> Result<Self, ControlError> {
        let region = region.part(0, Self::BYTES)?;
        Ok(Self {
            event: region.start().cast(),
            _region: region,
        })
    }
}

impl Deref for SharedEvent {
    type Target = Event;

    #[inline(always)]
    fn deref(&self) -> &Event {
        // SAFETY: CM-4: inside the mapping and aligned; any bytes are an atomic word (CM-3).
        unsafe { self.event.as_ref() }
    }
}
