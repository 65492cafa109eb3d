//! Checkpoints, on the side of the process in which the actor lives: saving the state after every
//! k-th call, and making an actor again from what was saved.
//!
//! - MA-1 the state is saved by a call of `save` that is queued right behind the k-th call, so it
//!   contains that call and those before it, and none after it.
//! - MA-2 an actor is made again by `restore` if there is a checkpoint, else, or if that fails, by
//!   its constructor; then the calls of the log run in their order, and nobody gets their answers.
//! - MA-4 who asked has the actor's name and counts its resources, the second time as the first.
//! - MA-3 what cannot be saved or restored is told to the maker, who remembers it.

use super::incoming::{Answer, Answering, HeldActor, Incoming, Kind as Given};
use super::link::Link;
use super::message::{BODY_BYTES_MAX, Head, Kind};
use super::parcel::Parcel;
use super::pool::Stays;
use super::saved::Saved;
use super::serve::{self, FAILED};
use super::{registry, stream, wire_error};
use crate::actor::create::ActorOptions;
use crate::error::{Error, Outcome};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::object::scope;
use crate::object::when_done::when_done;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Makes the call of `save`, or of `restore`, whose bytes are given.
type Invoke = fn(&mut Incoming<'_>) -> Result<Answering, Error>;

/// How a class saves its state and is made from it.
#[derive(Debug)]
pub struct Keeping {
    /// Saved after every so many calls.
    pub interval: u32,
    /// Calls `save`.
    pub save: Invoke,
    /// Makes an actor with `restore`.
    pub restore: Invoke,
}

/// What an actor is made again from.
#[derive(Serialize, Deserialize)]
pub(super) struct Rebirth<'a> {
    checkpoint: Option<&'a [u8]>,
    /// The last call in it.
    n: u64,
    /// Functions, flags and arguments.
    log: Vec<(u32, u8, &'a [u8])>,
    /// The flag of the message with options and constructor's arguments, and these.
    birth: (u8, &'a [u8]),
}

/// Bytes of a call's id, before its arguments.
pub(super) const ID_BYTES: usize = 8;

impl Rebirth<'_> {
    pub(super) fn encode(birth: &Parcel, saved: &Saved) -> Vec<u8> {
        let log = saved.log().iter();
        let rebirth = Rebirth {
            checkpoint: saved.checkpoint(),
            n: saved.n(),
            log: log
                .map(|done| {
                    (
                        done.function,
                        done.parcel.flag(),
                        done.parcel.bytes.get(ID_BYTES..).unwrap_or(&[]),
                    )
                })
                .collect(),
            birth: (birth.flag(), &birth.bytes),
        };
        postcard::to_stdvec(&rebirth).unwrap_or_default()
    }
}

/// A call with an id was queued: gives its number, and saves the state if it is its turn (MA-1).
pub(super) fn count(
    link: &Arc<Link>,
    number: u32,
    id: u64,
    actor: &HeldActor,
    local: &Local,
) -> u64 {
    let Some(keeping) = actor.block().meta.keeping else {
        return 0;
    };
    let interval = u64::from(keeping.interval);
    let exports = link.peer.exports();
    let (n, ids) = exports.counts(number, id, interval);
    if let Some(ids) = ids {
        save(link, number, n, ids, actor, keeping, local);
    }
    n
}

fn save(
    link: &Arc<Link>,
    number: u32,
    n: u64,
    ids: Vec<u64>,
    actor: &HeldActor,
    keeping: &'static Keeping,
    local: &Local,
) {
    let name = actor.block().meta.name;
    let mut call = Incoming::new(name, &[], Some(actor.core()), ActorOptions::default());
    let answer = match (keeping.save)(&mut call).map(|given| given.0) {
        Ok(Given::One(answer)) => answer,
        Ok(_) => unreachable!("the macro makes `save` a call with one result"),
        Err(error) => return tell(link, number, n, &ids, Err(&error)),
    };
    let link = link.clone();
    then(local, answer, move |answer, _| {
        let mut parcel = Parcel::default();
        let saved = match answer.encode(&mut parcel) {
            Ok(()) if !parcel.things.is_empty() => Err(no_state()),
            Ok(()) if parcel.bytes.len() >= BODY_BYTES_MAX / 2 => {
                Err(too_large(parcel.bytes.len()))
            }
            Ok(()) => Ok(&*parcel.bytes),
            Err(fault) => Err(fault.to_error()),
        };
        tell(&link, number, n, &ids, saved.as_ref().map(|bytes| *bytes));
    });
}

#[cold]
fn too_large(bytes: usize) -> Error {
    Error::CapacityExceeded {
        what: "bytes of a checkpoint".into(),
        in_flight: bytes,
        limit: BODY_BYTES_MAX / 2,
        remedy: "save less: large values can be made again, or kept by another actor".into(),
    }
}

#[cold]
fn no_state() -> Error {
    Error::InvalidArgument {
        argument: "save",
        problem: "it gave a value with a ref that is still awaited, or with a handle of an actor, \
                  and these may end with the process"
            .into(),
        remedy: "save values alone, or names of actors".into(),
    }
}

/// Calls `next` on this scheduler once the result is there.
fn then(local: &Local, answer: Answer, next: impl FnOnce(Answer, &Local) + Send + 'static) {
    let (node, index) = (local.node.clone(), local.shared.index);
    when_done(answer.cell(), move || {
        node.post_to(index, letter::closure(move |local| next(answer, local)));
    });
}

/// Sends a checkpoint, or what stood in its way; call 0 is `restore` (MA-3).
fn tell(link: &Link, number: u32, n: u64, ids: &[u64], saved: Result<&[u8], &Error>) {
    let (flag, bytes) = match saved {
        Ok(bytes) => (0, bytes),
        Err(error) => (FAILED, &*wire_error::encode(error)),
    };
    let body = postcard::to_stdvec(&(ids, bytes)).unwrap_or_default();
    let head = Head {
        kind: Kind::Checkpoint,
        flag,
        a: u64::from(number),
        b: n,
    };
    link.send(head, &body);
}

/// What [`tell`] sent, on the maker's side. On any thread.
pub(super) fn has_come(link: &Link, head: Head, body: &[u8]) {
    let Ok((ids, bytes)) = postcard::from_bytes::<(Vec<u64>, &[u8])>(body) else {
        return link.peer.distrust("a checkpoint that is none");
    };
    let number = head.a as u32;
    let Some(held) = link.peer.made(number) else {
        return;
    };
    let actor = held.core();
    let Some(supervisor) = actor.supervisor() else {
        return;
    };
    let checkpoint = (head.flag != FAILED).then_some(bytes);
    supervisor.checkpoint(number, head.b, &ids, checkpoint);
    if checkpoint.is_none() {
        let error = wire_error::decode(bytes);
        let name = actor.display_name();
        let message = match head.b {
            0 => format!(
                "actor {name} could not be restored from its checkpoint, and was made anew: {error}"
            ),
            n => format!("the state of actor {name} could not be saved after call {n}: {error}"),
        };
        let class = actor.meta.name.to_owned();
        actor.node.errors.note("checkpoint", message, Some(class));
    }
}

/// An actor that is being made again.
struct Comeback {
    link: Arc<Link>,
    ticket: u64,
    class: u32,
    number: u32,
    log: Vec<(u32, u8, Vec<u8>)>,
    birth: (u8, Vec<u8>),
}

/// MA-2.
pub(super) fn make_again(link: &Arc<Link>, head: Head, body: &[u8], local: &Local) {
    let (class, number) = serve::split(head.b);
    let rebirth: Rebirth<'_> = match postcard::from_bytes(body) {
        Ok(rebirth) => rebirth,
        Err(error) => {
            return link
                .peer
                .distrust(&format!("an actor that cannot be made: {error}"));
        }
    };
    link.peer.exports().expect(number, rebirth.n);
    let log = rebirth.log.iter();
    let back = Comeback {
        link: link.clone(),
        ticket: head.a,
        class,
        number,
        log: log
            .map(|(function, flag, args)| (*function, *flag, args.to_vec()))
            .collect(),
        birth: (rebirth.birth.0, rebirth.birth.1.to_vec()),
    };
    match rebirth.checkpoint {
        Some(checkpoint) => back.restore(checkpoint, local),
        None => back.construct(local),
    }
}

impl Comeback {
    fn restore(self, checkpoint: &[u8], local: &Local) {
        let made = ActorOptions::decode(&self.birth.1).and_then(|(options, _)| {
            let meta = (registry::at(self.class)?.meta)();
            let keeping = meta.keeping.ok_or_else(|| Error::InvalidArgument {
                argument: "function",
                problem: format!("a checkpoint came for {}, which saves none", meta.name),
                remedy: "both processes must be of the same build".into(),
            })?;
            Stays::Here.during(local, || {
                scope::from_peer(&self.link.peer, 0, checkpoint, |bytes| {
                    (keeping.restore)(&mut Incoming::new(meta.name, bytes, None, options))
                })
            })
        });
        self.made(made, local, |back, error, local| {
            tell(&back.link, back.number, 0, &[], Err(&error));
            back.construct(local);
        });
    }

    fn construct(self, local: &Local) {
        let (flag, birth) = &self.birth;
        let made = ActorOptions::decode(birth).and_then(|(options, args)| {
            Stays::Here.during(local, || {
                serve::invoke(&self.link.peer, self.class, (*flag, args), None, options)
            })
        });
        self.made(made, local, |back, error, _| {
            drop(back.link.peer.exports().add(back.number, None));
            serve::fail(&back.link, back.ticket, 0, &error);
        });
    }

    /// Waits for the end of a construction.
    fn made(self, made: Result<Answering, Error>, local: &Local, or: fn(Self, Error, &Local)) {
        match made.map(|given| given.0) {
            Ok(Given::Actor(actor, Some(end))) => {
                then(local, end, move |end, local| {
                    let ended: Outcome<()> = end.encode(&mut Parcel::default());
                    match ended {
                        Ok(()) => self.replay(actor, local),
                        Err(fault) => {
                            drop(actor);
                            or(self, fault.to_error(), local);
                        }
                    }
                });
            }
            Ok(Given::Actor(actor, None)) => {
                let error = actor.block().death();
                let gone = Error::ShutDown {
                    what: "making an actor".into(),
                };
                or(self, error.unwrap_or(gone), local);
            }
            Ok(_) => unreachable!("the macro makes an actor of these functions"),
            Err(error) => or(self, error, local),
        }
    }

    fn replay(mut self, actor: HeldActor, local: &Local) {
        let exports = self.link.peer.exports();
        drop(exports.add(self.number, Some(actor)));
        let Some(actor) = exports.find(self.number) else {
            return;
        };
        let mut answers = Vec::new();
        for (function, flag, args) in std::mem::take(&mut self.log) {
            let options = ActorOptions::default();
            let given = serve::invoke(
                &self.link.peer,
                function,
                (flag, &args),
                Some(&actor),
                options,
            );
            count(&self.link, self.number, 0, &actor, local);
            // A call that cannot be made changed nothing the first time either.
            match given.map(|given| given.0) {
                Ok(Given::One(answer)) => answers.push(answer),
                Ok(Given::Many(several)) => answers.extend(several),
                Ok(Given::Stream(items)) => answers.push(stream::drain(items)),
                Ok(Given::Actor(..)) | Err(_) => {}
            }
        }
        self.settle(answers, local);
    }

    fn settle(self, mut answers: Vec<Answer>, local: &Local) {
        match answers.pop() {
            None => self.link.send(serve::answer(self.ticket, 0, 0), &[]),
            Some(answer) => then(local, answer, move |_, local| {
                self.settle(answers, local);
            }),
        }
    }
}
