//! A worker's life, which ends by `SIGKILL`.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use maser_shm::channel::TrySendError;
use maser_shm::control::ControlMemory;
use maser_shm::store::{Foreign, ForeignObject, PeerId};

use super::{Announcer, GIVEN_MAX, News, Releases, Rings, open, store};
use crate::pattern::{fill, number_in};
use crate::random::Random;
use crate::row::{Outcome, broken};
use crate::wire::{self, Message};

/// Objects of the supervisor that a worker keeps for a while.
const KEPT_MAX: usize = 3;
/// Bytes of the largest object.
const BYTES_MAX: u64 = 5000;

/// Makes, gives, reads and lets go until it is killed.
pub(super) fn live(
    link: UnixStream,
    own: PeerId,
    supervisor: PeerId,
    huge: bool,
    seed: u64,
) -> Outcome<()> {
    let memory = match wire::receive(&link)? {
        Some(Message::Memory { bytes, file, .. }) => {
            ControlMemory::attach(file, bytes, "the supervisor").map_err(broken)?
        }
        other => return Err(broken(format!("no control memory came but {other:?}"))),
    };
    let announcer = Arc::new(Announcer::default());
    let to_the_supervisor = link.try_clone().map_err(broken)?;
    announcer
        .0
        .lock()
        .expect("nobody panics here")
        .push((supervisor, to_the_supervisor));
    let store = store(&announcer, own, huge)?;
    store.add_peer(supervisor, "the supervisor");
    let releases = Releases(Arc::new(Mutex::default()));
    let foreign = Foreign::new(Arc::new(releases.clone()));
    let mut rings = Rings::open(&memory, false)?;
    let mut random = Random::new(seed);
    let mut kept: VecDeque<ForeignObject> = VecDeque::new();
    let mut pending: VecDeque<News> = VecDeque::new();
    let mut given = 0;
    loop {
        let mut idle = true;
        while let Ok(line) = rings.receiver.try_recv() {
            idle = false;
            match News::of(line)? {
                News::Given(descriptor) => {
                    let object = open(&foreign, supervisor, descriptor, &link)?;
                    number_in(&object)?;
                    kept.push_back(object);
                }
                News::Released(descriptor) => {
                    store.take_back(supervisor, descriptor, 1).map_err(broken)?;
                    given -= 1;
                }
            }
        }
        while kept.len() > random.below(KEPT_MAX as u64 + 1) as usize {
            let old = kept.pop_front();
            old.map_or(Ok(0), |old| number_in(&old))?;
        }
        pending.extend(
            releases
                .take()
                .into_iter()
                .map(|(_, descriptor)| News::Released(descriptor)),
        );
        if given < GIVEN_MAX && random.below(2) == 0 {
            let bytes = 1 + random.below(BYTES_MAX) as usize;
            let mut object = store.try_create(bytes).map_err(broken)?;
            fill(&mut object, random.below(64) as usize);
            let object = object.seal();
            let descriptor = store.give(&object, supervisor).map_err(broken)?;
            pending.push_back(News::Given(descriptor));
            given += 1;
        }
        while let Some(news) = pending.front() {
            match rings.sender.try_send(news.line()) {
                Ok(()) => drop(pending.pop_front()),
                Err(TrySendError::Full(_)) => break,
                Err(TrySendError::Closed(_)) => return Ok(()),
            }
        }
        if idle {
            maser_shm::os::sched_yield();
        }
    }
}
