//! Where the schedulers of a process sleep, and how others ring there: an event for each, in memory
//! that the process shares with those that it is linked to.
//!
//! - DO-1 a process makes its doors before its schedulers, and they never move. Another process may
//!   not know them yet: whoever learns of them rings once, so nothing published before is slept
//!   over.

use crate::error::{Error, Result};
use maser_shm::control::{ControlMemory, REGION_ALIGN};
use maser_shm::sync::event::{Event, SharedEvent};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// Bytes from event to event.
const STRIDE: usize = SharedEvent::BYTES.next_multiple_of(REGION_ALIGN);

/// The event of one of this process's schedulers.
pub(crate) enum Door {
    /// In memory that others can see.
    Shared(SharedEvent),
    /// Where there is no such memory: this process cannot have worker processes.
    Own(Box<Event>),
}

impl Deref for Door {
    type Target = Event;

    #[inline(always)]
    fn deref(&self) -> &Event {
        match self {
            Self::Shared(event) => event,
            Self::Own(event) => event,
        }
    }
}

/// The doors of this process.
pub(crate) struct OwnDoors {
    memory: std::result::Result<ControlMemory, String>,
}

impl OwnDoors {
    /// Doors for so many schedulers.
    pub(crate) fn new(schedulers: usize) -> Self {
        let memory = ControlMemory::create(schedulers * STRIDE);
        Self {
            memory: memory.map_err(|error| error.to_string()),
        }
    }

    /// The door of scheduler `index`.
    pub(crate) fn door(&self, index: usize) -> Door {
        let shared = self.memory.as_ref().ok().and_then(|memory| {
            let region = memory.region(index * STRIDE, STRIDE).ok()?;
            SharedEvent::in_region(&region).ok()
        });
        match shared {
            Some(event) => Door::Shared(event),
            None => Door::Own(Box::default()),
        }
    }

    /// The memory, to be sent to others.
    pub(super) fn memory(&self) -> Result<&ControlMemory> {
        self.memory.as_ref().map_err(|reason| Error::System {
            what: "this process cannot have worker processes".into(),
            reason: reason.clone(),
        })
    }
}

/// The doors of another process.
pub(crate) struct Doors {
    schedulers: usize,
    /// DO-1.
    events: OnceLock<Vec<SharedEvent>>,
    memory: OnceLock<ControlMemory>,
}

impl Doors {
    /// Doors that are not known yet.
    pub(crate) fn unknown(schedulers: usize) -> Self {
        Self {
            schedulers,
            events: OnceLock::new(),
            memory: OnceLock::new(),
        }
    }

    /// The memory they are in, once it is known.
    pub(super) fn memory(&self) -> Option<&ControlMemory> {
        self.memory.get()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.schedulers
    }

    /// They are in this memory, which came from `from` (DO-1).
    pub(super) fn are_in(
        &self,
        file: OwnedFd,
        bytes: u64,
        from: &str,
    ) -> std::result::Result<(), String> {
        let memory = ControlMemory::attach(file, bytes, from).map_err(|error| error.to_string())?;
        let events: std::result::Result<Vec<_>, _> = (0..self.schedulers)
            .map(|index| {
                let region = memory.region(index * STRIDE, STRIDE)?;
                SharedEvent::in_region(&region)
            })
            .collect();
        let events = events.map_err(|error| error.to_string())?;
        let _first = self.memory.set(memory);
        let events = self.events.get_or_init(|| events);
        events.iter().for_each(|event| event.notify_across());
        Ok(())
    }

    /// Wakes scheduler `index` of the other process, for which something was published.
    #[inline(always)]
    pub(crate) fn ring(&self, index: usize) {
        if let Some(event) = self.events.get().and_then(|events| events.get(index)) {
            event.notify_across();
        }
    }
}
