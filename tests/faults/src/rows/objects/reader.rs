//! A process that was given objects dies: its owner gets them back, once, and nothing else.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use maser_shm::store::{Descriptor, Foreign, ForeignObject, Object, PeerId, Release, Store};

use super::{OWNER, READER, announce, fill, has, next_ref, number_in, small_store};
use crate::row::{Outcome, Row, broken, check};
use crate::stepper::{Stepped, Survivor, Victim};
use crate::wire::{self, Message};

const BYTES: usize = 300;

/// The rows of this file.
pub const ROWS: [Row; 3] = [
    Row {
        name: "A1.get",
        claim: "a reader killed while it opens and reads an object: the owner has it back, whole",
        canary: "the owner does not settle what the dead one held",
        run: |run| GET.run(run),
    },
    Row {
        name: "A1.release",
        claim: "a reader killed while it lets go of an object: it is freed, and only once",
        canary: "the reader says twice that it let go",
        run: |run| RELEASE.run(run),
    },
    Row {
        name: "A1.receive_ref",
        claim: "a reader killed while it receives a reference: what was on its way is not lost, nor \
                is it freed before it arrives",
        canary: "a reference on its way is not counted",
        run: |run| RECEIVE.run(run),
    },
];

/// Tells the owner over the link.
struct Tells {
    link: Mutex<UnixStream>,
    times: usize,
}

impl Release for Tells {
    fn release(&self, _owner: PeerId, descriptor: Descriptor, count: u64) {
        let link = self.link.lock().expect("nobody panics here");
        for _ in 0..self.times {
            // An owner that is gone needs to hear nothing.
            let _told = wire::send_release(&link, descriptor, count);
        }
    }
}

fn reader(link: &UnixStream, times: usize) -> Outcome<Foreign> {
    let link = Mutex::new(link.try_clone().map_err(broken)?);
    Ok(Foreign::new(Arc::new(Tells { link, times })))
}

/// Takes in what comes before the references.
fn until_ready(foreign: &Foreign, link: &UnixStream) -> Outcome<()> {
    match next_ref(foreign, link)? {
        Some(Message::Ready) => Ok(()),
        other => Err(broken(format!("the owner is not ready: {other:?}"))),
    }
}

fn open_next(foreign: &Foreign, link: &UnixStream) -> Outcome<ForeignObject> {
    match next_ref(foreign, link)? {
        Some(Message::Ref(descriptor)) => foreign.open(OWNER, descriptor).map_err(broken),
        other => Err(broken(format!("no reference came but {other:?}"))),
    }
}

const GET: Stepped = Stepped {
    victim: |link, marks, _| {
        let foreign = reader(link, 1)?;
        until_ready(&foreign, link)?;
        let Some(Message::Ref(descriptor)) = next_ref(&foreign, link)? else {
            return Err(broken("no reference came"));
        };
        marks.begin();
        let object = foreign.open(OWNER, descriptor).map_err(broken)?;
        let number = number_in(&object)?;
        marks.end();
        std::mem::forget(object);
        check(number == 7, || format!("object {number} came"))
    },
    survivor: |planted| Lender::new(Kind::Keeps { settles: !planted }),
};

const RELEASE: Stepped = Stepped {
    victim: |link, marks, planted| {
        let foreign = reader(link, if planted { 2 } else { 1 })?;
        until_ready(&foreign, link)?;
        let object = open_next(&foreign, link)?;
        marks.begin();
        drop(object);
        marks.end();
        Ok(())
    },
    survivor: |_| Lender::new(Kind::Lends),
};

const RECEIVE: Stepped = Stepped {
    victim: |link, marks, _| {
        let foreign = reader(link, 1)?;
        until_ready(&foreign, link)?;
        marks.begin();
        let object = open_next(&foreign, link)?;
        let number = number_in(&object)?;
        marks.end();
        std::mem::forget(object);
        check(number == 7, || format!("object {number} came"))
    },
    survivor: |planted| Lender::new(if planted { Kind::Forgets } else { Kind::Lends }),
};

/// What an owner does with an object after it has given it away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It keeps a handle too; it takes back what a dead peer held, or (planted) does not.
    Keeps { settles: bool },
    /// The reader's is the only reference.
    Lends,
    /// Planted: nor is the reader's.
    Forgets,
}

/// An owner that gives an object to each victim.
struct Lender {
    store: Store,
    kind: Kind,
    kept: Option<Object>,
}

impl Lender {
    #[allow(clippy::new_ret_no_self, reason = "rows want any survivor")]
    fn new(kind: Kind) -> Outcome<Box<dyn Survivor>> {
        let store = small_store()?;
        Ok(Box::new(Self {
            store,
            kind,
            kept: None,
        }))
    }

    fn object(&self) -> Outcome<Object> {
        let mut object = self.store.try_create(BYTES).map_err(broken)?;
        fill(&mut object, 7);
        Ok(object.seal())
    }
}

impl Survivor for Lender {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        let store = self.store.clone();
        store.add_peer(READER, "the victim");
        let object = match self.kept.take() {
            Some(object) => object,
            None => self.object()?,
        };
        announce(&store, &link)?;
        wire::send_ready(&link)?;
        let descriptor = store.give(&object, READER).map_err(broken)?;
        wire::send_ref(&link, descriptor)?;
        let keeps = matches!(self.kind, Kind::Keeps { .. });
        if keeps {
            self.kept = Some(object);
        } else {
            drop(object);
        }
        if self.kind == Kind::Forgets {
            store.take_back(READER, descriptor, 1).map_err(broken)?;
        }
        victim.wait_for_death()?;
        let mut released = 0;
        while let Some(message) = wire::receive(&link)? {
            match message {
                Message::Release { count, descriptor } => {
                    store.take_back(READER, descriptor, count).map_err(broken)?;
                    released += count;
                }
                other => return Err(broken(format!("{other:?} came"))),
            }
        }
        let own = u64::from(keeps);
        if released > 0 {
            has(&store, own, false, "after the reader let go")?;
        }
        if self.kind != (Kind::Keeps { settles: false }) {
            store.peer_died(READER);
        }
        has(&store, own, false, "after the reader's death")?;
        if let Some(kept) = &self.kept {
            check(number_in(kept)? == 7, || "the object is another now".into())?;
        }
        // The next operation: memory for another object is to be had.
        drop(self.object()?);
        Ok(())
    }
}
