//! What of this process another one holds: actors and values that are to come.
//!
//! - XP-1 an actor is known to its peer by a number that the peer chose (it made the actor), or that
//!   this process chose ([`OWN`]). Calls come over several links, so one may come before the message
//!   that makes the actor: it is kept until then.
//! - XP-2 the handle that the peer's handles stand for is given back when the peer has dropped as many
//!   as it was given, and every call that it sent before has come: the peer says how many there were.
//!   Numbers are sums over the whole life of the link, so it does not matter in which order news
//!   come over several links.
//! - XP-3 a value that is to come is asked for as often as the peer got its number: once, but for those
//!   that go by several edges of graphs (BX-2). What the peer does not want it says.
//! - XP-4 a link keeps the target of its last call, without a handle of its own in the sums: a call is
//!   counted before it looks at `ends`, and `ends` is set before the sums are looked at, so whichever
//!   comes second sees the other. A link takes a target back under its lock while `ends` is clear;
//!   who sets it clears the links afterwards.

use super::bulk::claims::Claims;
use super::incoming::{Answer, HeldActor};
use super::link::Link;
use super::message::Head;
use maser_shm::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Numbers from here on are chosen by the process that has the actor.
pub(crate) const OWN: u32 = 1 << 31;

/// A call that came before its actor: the link, the message, its body.
pub(super) type Early = (Arc<Link>, Head, Vec<u8>);

/// Numbers are given one after the other and come from processes of this node: they are spread as
/// they are.
#[derive(Default)]
struct Numbers(u64);

impl Hasher for Numbers {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // The golden ratio: the table looks at the highest bits.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// XP-2.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// Handles given to the peer, and dropped by it.
    given: u64,
    dropped: u64,
    /// Calls that came, those of the target aside, and that the peer says it sent.
    came: u64,
    sent: u64,
}

/// An actor as calls that come find it (XP-4).
pub(super) struct Target {
    pub(super) number: u32,
    pub(super) actor: Arc<HeldActor>,
    /// Calls that came (XP-2).
    came: AtomicU64,
    /// Handles were dropped: any call may be the last.
    ends: AtomicBool,
}

impl Target {
    /// Whether a link may keep it.
    pub(super) fn may_be_kept(&self) -> bool {
        !self.ends.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
struct Exported {
    target: Option<Arc<Target>>,
    sums: Sums,
    /// XP-1.
    early: Vec<Early>,
    /// It could not be made.
    failed: bool,
    counted: Counted,
}

/// The calls of an actor whose state is saved now and then.
#[derive(Default)]
struct Counted {
    n: u64,
    /// Ids of those since the last time.
    ids: Vec<u64>,
}

impl Exported {
    fn is_even(&self) -> bool {
        let Sums {
            given,
            dropped,
            came,
            sent,
        } = self.sums;
        let at_target = self.target.as_ref();
        let came = came + at_target.map_or(0, |target| target.came.load(Ordering::SeqCst));
        given == dropped && came == sent
    }

    fn has(&mut self, number: u32, actor: Arc<HeldActor>) {
        let ends = AtomicBool::new(self.sums.dropped > 0);
        self.target.get_or_insert_with(|| {
            Arc::new(Target {
                number,
                actor,
                came: AtomicU64::new(0),
                ends,
            })
        });
    }
}

#[derive(Default)]
struct State {
    actors: HashMap<u32, Exported, BuildHasherDefault<Numbers>>,
    /// XP-3, and how often each was promised.
    values: HashMap<u64, (Arc<Answer>, usize)>,
}

impl State {
    /// XP-2: takes an actor out that the peer does not hold any more, to be dropped outside of the
    /// lock.
    fn take_if_even(&mut self, number: u32) -> Option<Exported> {
        let is_even = self.actors.get(&number)?.is_even();
        is_even.then(|| self.actors.remove(&number)).flatten()
    }
}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Exports(Mutex<State>);

impl Exports {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The actor of this number, if it is here.
    pub(crate) fn find(&self, number: u32) -> Option<Arc<HeldActor>> {
        Some(self.target(number)?.actor.clone())
    }

    /// The same, to be called.
    pub(super) fn target(&self, number: u32) -> Option<Arc<Target>> {
        self.lock().actors.get(&number)?.target.clone()
    }

    /// A call of it came (XP-2, XP-4).
    #[inline]
    pub(super) fn called(&self, target: &Target) {
        target.came.fetch_add(1, Ordering::SeqCst);
        if target.ends.load(Ordering::SeqCst) {
            self.count(target.number, |_| {});
        }
    }

    /// XP-1.
    pub(super) fn keep_early(&self, number: u32, link: Arc<Link>, head: Head, body: &[u8]) {
        let mut state = self.lock();
        let exported = state.actors.entry(number).or_default();
        if !exported.failed {
            return exported.early.push((link, head, body.to_vec()));
        }
        drop(state);
        drop(Claims::split(&link.peer, head.flag, body));
    }

    /// The actor is about to be made again, with the state after `n` calls.
    pub(super) fn expect(&self, number: u32, n: u64) {
        let mut state = self.lock();
        state.actors.entry(number).or_default().counted.n = n;
    }

    /// Counts a call whose id is `id`: its number, and after each `interval` the ids of the calls
    /// since the last time.
    pub(super) fn counts(&self, number: u32, id: u64, interval: u64) -> (u64, Option<Vec<u64>>) {
        let mut state = self.lock();
        let Some(Exported { counted, .. }) = state.actors.get_mut(&number) else {
            return (0, None);
        };
        counted.n += 1;
        counted.ids.push(id);
        let is_turn = counted.n.checked_rem(interval) == Some(0);
        let ids = is_turn.then(|| std::mem::take(&mut counted.ids));
        (counted.n, ids)
    }

    /// The actor was made, or not; gives the calls that waited for it.
    pub(super) fn add(&self, number: u32, made: Option<HeldActor>) -> Vec<Early> {
        let mut state = self.lock();
        let exported = state.actors.entry(number).or_default();
        exported.failed = made.is_none();
        exported.sums.given += 1;
        if let Some(actor) = made {
            exported.has(number, Arc::new(actor));
        }
        std::mem::take(&mut exported.early)
    }

    /// A handle of an actor of this process goes to the peer.
    pub(super) fn give(&self, number: u32, actor: &Arc<HeldActor>) {
        let mut state = self.lock();
        let exported = state.actors.entry(number).or_default();
        exported.sums.given += 1;
        exported.has(number, actor.clone());
    }

    /// A call of it was made here, or a handle of it came back (XP-2).
    pub(crate) fn was_called(&self, number: u32) {
        self.count(number, |exported| exported.sums.came += 1);
    }

    /// The peer has no handle any more (XP-2).
    pub(super) fn dropped(&self, number: u32, handles: u64, calls: u64) {
        self.count(number, |exported| {
            exported.sums.dropped += handles;
            exported.sums.sent += calls;
            if let Some(target) = &exported.target {
                target.ends.store(true, Ordering::SeqCst);
            }
        });
    }

    fn count(&self, number: u32, with: impl FnOnce(&mut Exported)) {
        let mut state = self.lock();
        let Some(exported) = state.actors.get_mut(&number) else {
            return;
        };
        with(exported);
        let gone = state.take_if_even(number);
        drop(state);
        drop(gone);
    }

    /// A value that is to come was promised to the peer (XP-3).
    pub(super) fn promise(&self, number: u64, value: &Arc<Answer>) {
        let mut state = self.lock();
        let promised = state.values.entry(number);
        promised.or_insert_with(|| (value.clone(), 0)).1 += 1;
    }

    /// The peer asks for it, or does not want it.
    pub(super) fn asked_for(&self, number: u64) -> Option<Arc<Answer>> {
        let mut state = self.lock();
        let (value, promised) = state.values.get_mut(&number)?;
        *promised -= 1;
        match *promised {
            0 => state.values.remove(&number).map(|(value, _)| value),
            _ => Some(value.clone()),
        }
    }

    /// Whether nothing of this process is held by the peer.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.values.is_empty() && state.actors.is_empty()
    }

    /// The peer is dead: its handles are gone.
    pub(super) fn clear(&self) {
        let state = std::mem::take(&mut *self.lock());
        drop(state);
    }
}
