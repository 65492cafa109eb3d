//! Extents of several processes: which are known here, and who was told of them (BK-3).

use super::{Bulk, Known, State};
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::worker::hello::{FromWorker, ToWorker};
use crate::worker::peer::Peer;
use maser_shm::store::extent::ExtentError;
use maser_shm::store::{PeerId, Store, StoreError, StoreEvents};
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// How long a receiver waits for news of an extent (BK-3). They are on their way already, so this is
/// the time that a keeper may be kept from running. A name of one that never comes holds its receiver up
/// for as long.
const EXTENT_WAIT: Duration = Duration::from_secs(1);

impl Bulk {
    /// Sends an extent to a worker (BK-3). Under the lock (BK-9).
    pub(super) fn tell(
        &self,
        peer: &Arc<Peer>,
        owner: PeerId,
        extent: u32,
        known: Option<Arc<Known>>,
    ) {
        let mut found = known.and_then(|known| {
            let file = known.file.as_ref()?.as_fd().try_clone_to_owned().ok()?;
            Some((file, known.bytes))
        });
        if owner == self.own()
            && let Some(Ok(store)) = self.store.get()
        {
            store.extents(|id, file, bytes| {
                if id == extent {
                    found = file.try_clone_to_owned().ok().map(|file| (file, bytes));
                }
            });
        }
        let (Some((file, bytes)), Some(node)) = (found, self.node()) else {
            return; // The receiver says that it does not know it.
        };
        let owner = owner.0;
        let news = ToWorker::Extent {
            owner,
            extent,
            bytes,
        };
        node.workers.tell(peer.id, news, Some(file));
    }

    /// Whether an extent may still be announced, of an object that `giver` gave (BK-3): to the driver
    /// by its owner, who gives what nobody else has given before; to a worker by the driver, also when
    /// its owner has died.
    pub(super) fn may_come(&self, state: &State, owner: PeerId, giver: PeerId) -> bool {
        !state.silent.contains(&giver) && (owner == giver || !self.is_driver())
    }

    /// BK-3.
    pub(super) fn await_extent(
        &self,
        owner: PeerId,
        extent: u32,
        giver: PeerId,
    ) -> Result<Arc<Known>> {
        let key = (owner, extent);
        let waits = |state: &mut State| {
            !state.known.contains_key(&key) && self.may_come(state, owner, giver)
        };
        let waited = self
            .news
            .wait_timeout_while(self.lock(), EXTENT_WAIT, waits);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let known = state.known.get(&key).cloned();
        known.ok_or_else(|| {
            Error::from(StoreError::UnknownExtent {
                peer: owner,
                extent,
            })
        })
    }

    /// A process announces an extent of `owner`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn extent_came(
        self: &Arc<Self>,
        owner: PeerId,
        extent: u32,
        file: OwnedFd,
        bytes: u64,
    ) -> std::result::Result<(), String> {
        let added = self.foreign.add_extent(owner, extent, file.as_fd(), bytes);
        added.map_err(|error| error.to_string())?;
        let is_driver = self.is_driver();
        let known = Arc::new(Known {
            file: is_driver.then_some(file),
            bytes,
            counted: OnceLock::new(),
            left: (!is_driver).then(|| (Arc::downgrade(self), owner, extent)),
        });
        let before = {
            let mut state = self.lock();
            let before = state.known.insert((owner, extent), known.clone());
            // BK-7.
            let joined: Vec<PeerId> = state
                .joined
                .iter()
                .filter(|(from, _)| *from == owner)
                .map(|(_, to)| *to)
                .collect();
            for to in joined {
                if state.told.insert((to, owner, extent))
                    && let Some(peer) = state.peers.get(&to)
                {
                    self.tell(peer, owner, extent, Some(known.clone())); // BK-9
                }
            }
            before
        };
        drop(before); // BK-5
        self.has_news();
        Ok(())
    }

    /// A worker said something about its extents.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::worker) fn heard(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        news: &FromWorker,
        files: Vec<OwnedFd>,
    ) -> std::result::Result<(), String> {
        let Some(&owner) = peer.store_id.get() else {
            return Ok(());
        };
        match *news {
            FromWorker::Extent { extent, bytes } => match files.into_iter().next() {
                Some(file) => self.extent_came(owner, extent, file, bytes),
                None => Err("an extent was announced and did not come".into()),
            },
            FromWorker::ExtentGone { extent } => {
                self.extent_is_gone(owner, extent);
                Ok(())
            }
            FromWorker::ExtentLeft { owner: of, extent } => {
                let left = self.lock().mapped.remove(&(owner, PeerId(of), extent));
                drop(left);
                Ok(())
            }
            _ => self.budget.heard(owner, news),
        }
    }

    /// All that a dead process had said was heard: nobody waits for more of it.
    pub(in crate::worker) fn says_no_more(&self, peer: &Arc<Peer>) {
        if let Some(&number) = peer.store_id.get() {
            self.lock().silent.insert(number);
            self.has_news();
        }
    }

    /// The driver said something about an extent.
    pub(in crate::worker) fn told(self: &Arc<Self>, news: &ToWorker, files: Vec<OwnedFd>) {
        match *news {
            ToWorker::Extent {
                owner,
                extent,
                bytes,
            } => {
                let came = match files.into_iter().next() {
                    Some(file) => self.extent_came(PeerId(owner), extent, file, bytes),
                    None => Err("it did not come".into()),
                };
                if let Err(problem) = came {
                    // Who is given an object there gets an error.
                    eprintln!("maser: extent {extent} of process {owner}: {problem}");
                }
            }
            ToWorker::ExtentGone { owner, extent } => self.extent_is_gone(PeerId(owner), extent),
            ToWorker::ProcessGone { process } => self.sibling_is_gone(PeerId(process)),
            ToWorker::Hello(_) | ToWorker::Stop | ToWorker::Graph(_) => {}
            _ => self.budget.told(self, news),
        }
    }

    /// An extent of `owner` is no more.
    pub(super) fn extent_is_gone(&self, owner: PeerId, extent: u32) {
        let known = {
            let mut state = self.lock();
            self.says_gone(&mut state, owner, Some(extent));
            state.known.remove(&(owner, extent))
        };
        drop(known);
        self.foreign.remove_extent(owner, extent);
    }

    /// Says that extents of `owner` are gone, to those who were told of them and have nothing there.
    /// Under the lock (BK-9).
    pub(super) fn says_gone(&self, state: &mut State, owner: PeerId, extent: Option<u32>) {
        for (peer, extent) in take_told(state, owner, extent) {
            let owner = owner.0;
            self.tell_gone(&peer, ToWorker::ExtentGone { owner, extent });
        }
    }

    /// In a worker: tells the driver something.
    pub(super) fn tell_driver(&self, news: &FromWorker) {
        if let Some(node) = self.node()
            && let Some(membership) = node.workers.membership()
        {
            membership.tell(news, &[]);
        }
    }

    /// In the driver: tells a worker something, if it is there.
    pub(super) fn tell_process(&self, to: PeerId, mut news: ToWorker) {
        if let ToWorker::Refused { workers, .. } = &mut news {
            for (of, name, _) in workers {
                *name = self.name_of(PeerId(*of));
            }
        }
        let peer = self.lock().peers.get(&to).cloned();
        if let Some(peer) = peer {
            self.tell_gone(&peer, news);
        }
    }

    /// What a worker is called.
    pub(super) fn name_of(&self, worker: PeerId) -> String {
        let peer = self.lock().peers.get(&worker).cloned();
        peer.map_or_else(|| "a worker that has ended".into(), |peer| peer.name())
    }

    /// The store, if there is one by now.
    pub(super) fn opened(&self) -> Option<&Store> {
        self.store.get()?.as_ref().ok()
    }

    /// There may be room for what waits for it.
    pub(super) fn there_is_room(&self) {
        if let Some(store) = self.opened() {
            store.tell_freed();
        }
    }

    pub(super) fn tell_gone(&self, peer: &Arc<Peer>, news: ToWorker) {
        if let Some(node) = self.node() {
            node.workers.tell(peer.id, news, None);
        }
    }
}

/// Who was told of extents of `owner`, of one or of all, and has been given nothing there that it
/// still has (BK-4).
fn take_told(state: &mut State, owner: PeerId, extent: Option<u32>) -> Vec<(Arc<Peer>, u32)> {
    let (peers, passed) = (&state.peers, &state.passed);
    let given: HashSet<(PeerId, u32)> = passed
        .keys()
        .filter(|(_, of, ..)| *of == owner)
        .map(|(to, _, extent, _)| (*to, *extent))
        .collect();
    let told = state.told.extract_if(|(to, of, number)| {
        *of == owner
            && extent.is_none_or(|extent| extent == *number)
            && !given.contains(&(*to, *number))
    });
    told.filter_map(|(to, _, number)| Some((peers.get(&to)?.clone(), number)))
        .collect()
}

/// Hears of the extents of this process's store.
pub(super) struct Announcer(pub(super) Weak<Bulk>);

impl StoreEvents for Announcer {
    fn extent_made(&self, id: u32, file: BorrowedFd<'_>, bytes: u64) {
        let node = self.0.upgrade().and_then(|bulk| bulk.node());
        if let Some(membership) = node.as_ref().and_then(|node| node.workers.membership()) {
            // BK-3.
            membership.tell(&FromWorker::Extent { extent: id, bytes }, &[file]);
        }
    }

    fn extent_retired(&self, id: u32) {
        let Some(bulk) = self.0.upgrade() else { return };
        let Some(node) = bulk.node() else { return };
        match node.workers.membership() {
            Some(membership) => membership.tell(&FromWorker::ExtentGone { extent: id }, &[]),
            None => bulk.extent_is_gone(bulk.own(), id),
        }
    }

    fn no_huge_pages(&self, reason: &ExtentError) {
        let bulk = self.0.upgrade();
        if bulk.is_some_and(|bulk| bulk.settings.mode == Mode::Script) {
            eprintln!("maser: the store has no huge pages: {reason}");
        }
    }
}
