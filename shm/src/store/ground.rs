//! The extents of one store: how many, how large, of what pages, within its budget.
//!
//! - GRD-1 `used` is the bytes of all extents that are there or being made, and with what is charged
//!   it is never above the budget. A budget that others take from too has granted them (BDG-1).
//! - GRD-2 an extent is announced before an object can lie in it, and its end after the last one is
//!   gone.
//! - GRD-3 no extent is made before one is needed. Each is twice as large as the one before, up to a
//!   limit; an object that would take more than half of the largest gets one of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attendant::Attendant;
use super::config::{HugePages, StoreConfig};
use super::error::StoreError;
use super::extent::{Extent, ExtentError};
use crate::arena::classes::{self, GRANULE_BYTES};
use crate::os::shared_memory::PageKind;

/// An extent with its number.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) id: u32,
    pub(super) extent: Extent,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    charged: BTreeMap<u64, (String, usize)>,
    charges: u64,
    extent_bytes_next: usize,
    id_next: u32,
    live: BTreeMap<u32, Arc<Ground>>,
    noticed: bool,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Grounds {
    config: StoreConfig,
    state: Mutex<State>,
    pub(super) attendant: Attendant,
}

impl Grounds {
    pub(super) fn new(config: StoreConfig) -> Self {
        let attendant = Attendant::new(config.warm_time);
        let state = State {
            extent_bytes_next: config.extent_bytes_first,
            ..State::default()
        };
        Self {
            config,
            state: Mutex::new(state),
            attendant,
        }
    }

    pub(super) fn config(&self) -> &StoreConfig {
        &self.config
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of extents and charges.
    pub(super) fn used(&self) -> usize {
        let state = self.state();
        state.used + charged(&state)
    }

    /// Bytes of extents, and how many there are.
    pub(super) fn extents(&self) -> (usize, usize) {
        let state = self.state();
        (state.used, state.live.len())
    }

    pub(super) fn live(&self) -> Vec<Arc<Ground>> {
        self.state().live.values().cloned().collect()
    }

    pub(super) fn charges(&self) -> Vec<(String, usize)> {
        self.state().charged.values().cloned().collect()
    }

    pub(super) fn charge(&self, name: &str, bytes: usize) -> u64 {
        let mut state = self.state();
        state.charges += 1;
        let number = state.charges;
        state.charged.insert(number, (name.to_owned(), bytes));
        number
    }

    pub(super) fn discharge(&self, number: u64) {
        self.state().charged.remove(&number);
    }

    /// Waits until all pages of the extents that are there have been faulted in.
    pub(super) fn settle(&self) {
        self.attendant.settle();
    }

    /// Makes an extent with room for such a payload; `None` if the budget has no room for one.
    pub(super) fn make(&self, payload_bytes: usize) -> Result<Option<Arc<Ground>>, StoreError> {
        let kinds: &[PageKind] = match self.config.huge_pages {
            HugePages::Auto => &[self.config.huge_page, PageKind::Plain],
            HugePages::Require => &[self.config.huge_page],
            HugePages::Off => &[PageKind::Plain],
        };
        let mut refused = None;
        for &kind in kinds {
            let last = Some(&kind) == kinds.last();
            match self.make_of(kind, payload_bytes) {
                Ok(ground) if last || ground.is_some() => {
                    return Ok(self.announced(ground, refused));
                }
                Ok(_) => {}
                Err(error) if last => return Err(error.into()),
                Err(error) => refused = Some(error),
            }
        }
        Ok(None)
    }

    fn announced(
        &self,
        ground: Option<Arc<Ground>>,
        refused: Option<ExtentError>,
    ) -> Option<Arc<Ground>> {
        let events = self.config.events.as_deref();
        if let (Some(reason), Some(_)) = (refused, &ground) {
            let first = !std::mem::replace(&mut self.state().noticed, true);
            if let (Some(events), true) = (events, first) {
                events.no_huge_pages(&reason);
            }
        }
        let ground = ground?;
        if let Some(events) = events {
            let extent = &ground.extent;
            events.extent_made(ground.id, extent.file(), extent.bytes() as u64); // GRD-2
        }
        if self.config.populate {
            self.attendant.add(&ground);
        }
        Some(ground)
    }

    fn make_of(
        &self,
        kind: PageKind,
        payload_bytes: usize,
    ) -> Result<Option<Arc<Ground>>, ExtentError> {
        let page = kind.bytes().max(GRANULE_BYTES);
        let whole = |bytes: usize| bytes.checked_next_multiple_of(page).unwrap_or(usize::MAX);
        let least = whole(classes::extent_bytes_min(payload_bytes));
        let wanted = whole(self.state().extent_bytes_next);
        let own = least > self.config.extent_bytes_max / 2; // GRD-3
        if !own && let Ok(Some(ground)) = self.make_sized(kind, wanted.max(least), wanted <= least)
        {
            let mut state = self.state();
            let next = state.extent_bytes_next.saturating_mul(2);
            state.extent_bytes_next = next.min(self.config.extent_bytes_max);
            return Ok(Some(ground));
        }
        self.make_sized(kind, least, true)
    }

    fn make_sized(
        &self,
        kind: PageKind,
        bytes: usize,
        urgent: bool,
    ) -> Result<Option<Arc<Ground>>, ExtentError> {
        {
            let mut state = self.state();
            let left = self.config.store_bytes.saturating_sub(charged(&state));
            match state.used.checked_add(bytes) {
                Some(used) if used <= left => state.used = used, // GRD-1
                _ => return Ok(None),
            }
        }
        // Outside of the lock: it may take a while.
        let budget = self.config.budget.as_deref();
        if budget.is_some_and(|budget| !budget.take(bytes, urgent)) {
            self.state().used -= bytes;
            return Ok(None);
        }
        let node = self.config.numa_node;
        let made = match &self.config.huge_page_dir {
            Some(directory) if kind != PageKind::Plain => Extent::create_in(directory, bytes, node),
            _ => Extent::create_on(bytes, kind, node),
        };
        let extent = made.inspect_err(|_| {
            self.state().used -= bytes;
            if let Some(budget) = budget {
                budget.give_back(bytes);
            }
        })?;
        let mut state = self.state();
        let id = state.id_next;
        state.id_next = id.wrapping_add(1);
        let ground = Arc::new(Ground { id, extent });
        state.live.insert(id, Arc::clone(&ground));
        Ok(Some(ground))
    }

    /// Gives an extent back in which nothing lies any more.
    pub(super) fn retire(&self, ground: Arc<Ground>) {
        let (id, bytes) = (ground.id, ground.extent.bytes());
        self.state().live.remove(&id);
        drop(ground);
        self.state().used -= bytes;
        if let Some(budget) = self.config.budget.as_deref() {
            budget.give_back(bytes);
        }
        if let Some(events) = self.config.events.as_deref() {
            events.extent_retired(id);
        }
    }
}

fn charged(state: &State) -> usize {
    let bytes = state.charged.values().map(|(_, bytes)| *bytes);
    bytes.fold(0, usize::saturating_add)
}
