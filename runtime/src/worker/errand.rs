//! What processes of a node ask each other besides calls: names of actors, and ends of actors.
//!
//! The driver has the names of the node. A worker that makes an actor with a name claims the name
//! there first; the driver then knows whose it is, and asks that worker when somebody looks for it.
//!
//! - ER-1 an errand has a number, and its answer is the value of that number (XP-3); those without an
//!   answer have the number 0.
//! - ER-2 what a claim says is true for whoever learns anything from the claimant afterwards: it is
//!   answered before the actor is made, and given back on every link before anything that is sent
//!   later.
//! - ER-3 the names of a process that died are free, and the resources of its actors: whoever settles the dead takes them away, and
//!   a dead process gets none.

use super::handles::Awaited;
use super::incoming::{Answer, Answering, Kind as Given};
use super::link::Link;
use super::message::{Head, Kind};
use super::peer::Peer;
use super::{registry, serve};
use crate::actor::core::ActorCore;
use crate::error::{Error, Fault, Result};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::graph::relay;
use crate::node::Node;
use crate::object::reference::{Promise, Ref};
use crate::object::{codec, scope};
use crate::resources::{Demand, Grant};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// See the module's page.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Errand {
    /// The actor of a class, by its constructor's place, that has this name; gives its handle.
    Find { class: u32, name: String },
    /// An actor of the sender is about to be made with this name; gives nothing, or why it cannot be.
    Claim { name: String, token: u64 },
    /// ER-2: it has the name no more. No answer.
    Unclaim { name: String, token: u64 },
    /// An actor of the sender is about to be made, and asks for this; gives nothing, or why it cannot
    /// be.
    Take {
        what: String,
        num_cpus: f64,
        num_gpus: f64,
        resources: Vec<(String, f64)>,
        token: u64,
    },
    /// It needs it no more. No answer.
    GiveBack { token: u64 },
    /// An actor that drives a graph which the sender compiles; gives its handle.
    Relay,
    /// Ends the actor of this number, as `maser::kill` or `maser::kill_and_restart` do. No answer.
    End { number: u32, restarts: bool },
}

impl Errand {
    fn message(&self, number: u64) -> (Head, Vec<u8>) {
        let head = Head {
            kind: Kind::Errand,
            flag: 0,
            a: number,
            b: 0,
        };
        // Names and numbers can be written.
        (head, postcard::to_stdvec(self).unwrap_or_default())
    }
}

/// Asks `peer` for something (ER-1).
pub(crate) fn ask<T: crate::Value>(node: &Node, peer: &Arc<Peer>, errand: &Errand) -> Ref<T> {
    let (promise, value) = Promise::<T>::new();
    let arrive = move |bytes: std::result::Result<&[u8], Fault>| {
        promise.fulfil(bytes.and_then(|mut bytes| {
            codec::read::<T>(&mut bytes).map_err(|problem| {
                Fault::new(scope::explained(Error::NotPortable {
                    function: "a question to another process".into(),
                    value: "its answer".into(),
                    problem,
                }))
            })
        }));
    };
    let number = node.random.next_u64();
    let awaited = Awaited {
        arrive: Box::new(arrive),
    };
    peer.await_value(number, awaited, errand.message(number));
    value
}

/// Tells `peer` something, over the link that calls take.
pub(crate) fn tell(node: &Node, peer: &Arc<Peer>, there: usize, errand: &Errand) {
    let (head, body) = errand.message(0);
    on_scheduler(node, peer, move |peer, local| {
        // A process that has ended needs not be told.
        if let Ok(link) = local.links.get(local, peer, there) {
            link.send(head, &body);
        }
    });
}

pub(super) fn on_scheduler(
    node: &Node,
    peer: &Arc<Peer>,
    send: impl FnOnce(&Arc<Peer>, &Local) + Send + 'static,
) {
    match Local::current() {
        Some(local) => send(peer, local),
        None => {
            let peer = peer.clone();
            node.post_to(0, letter::closure(move |local| send(&peer, local)));
        }
    }
}

/// A name that this process has in the driver; given back when dropped.
pub(crate) struct Claim {
    node: Arc<Node>,
    driver: Arc<Peer>,
    name: String,
    token: u64,
}

impl Claim {
    /// Asks the driver for a name, and waits.
    ///
    /// # Errors
    /// [`Error::ActorNameTaken`], or what stands in the way of waiting.
    pub(crate) fn of(node: &Arc<Node>, driver: &Arc<Peer>, name: &str) -> Result<Self> {
        let token = node.random.next_u64();
        let errand = Errand::Claim {
            name: name.to_owned(),
            token,
        };
        // Made first: whoever stops waiting gives it back.
        let claim = Self {
            node: node.clone(),
            driver: driver.clone(),
            name: name.to_owned(),
            token,
        };
        ask::<()>(node, driver, &errand).get()?;
        Ok(claim)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.node.is_closing() {
            return;
        }
        let errand = Errand::Unclaim {
            name: std::mem::take(&mut self.name),
            token: self.token,
        };
        let (head, body) = errand.message(0);
        on_scheduler(&self.node, &self.driver, move |driver, local| {
            // ER-2.
            for there in 0..driver.schedulers() {
                if let Ok(link) = local.links.get(local, driver, there) {
                    link.send(head, &body);
                }
            }
        });
    }
}

/// What an actor of this process has of the driver's resources; given back when dropped.
pub(crate) struct Taken {
    node: Arc<Node>,
    driver: Arc<Peer>,
    token: u64,
}

impl Taken {
    /// Asks the driver for what `Errand::Take` says, with the token that is given, and waits.
    ///
    /// # Errors
    /// [`Error::ActorUnavailable`], [`Error::Infeasible`], or what stands in the way of waiting.
    pub(crate) fn of(
        node: &Arc<Node>,
        driver: &Arc<Peer>,
        errand: impl FnOnce(u64) -> Errand,
    ) -> Result<Self> {
        let token = node.random.next_u64();
        // Made first: whoever stops waiting gives it back.
        let taken = Self {
            node: node.clone(),
            driver: driver.clone(),
            token,
        };
        ask::<()>(node, driver, &errand(token)).get()?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.node.is_closing() {
            let token = self.token;
            // Over the link that the question took.
            let gate = self.driver.schedulers() - 1;
            tell(&self.node, &self.driver, gate, &Errand::GiveBack { token });
        }
    }
}

/// In the driver, what actors have that workers made: worker, token, grant.
#[derive(Default)]
pub(crate) struct Lendings(Mutex<Vec<(u64, u64, Grant)>>);

impl Lendings {
    fn take_out(&self, which: impl Fn(u64, u64) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let out: Vec<_> = all
            .extract_if(.., |(peer, token, _)| which(*peer, *token))
            .collect();
        drop(all);
        // Outside of the lock: others may be started.
        drop(out);
    }

    fn add(&self, peer: &Arc<Peer>, token: u64, grant: Option<Grant>) {
        let Some(grant) = grant else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((peer.id, token, grant));
        drop(all);
        // Whoever settles the dead looks after that was known.
        if peer.death().is_some() {
            self.peer_is_gone(peer);
        }
    }

    fn peer_is_gone(&self, peer: &Arc<Peer>) {
        self.take_out(|of, _| of == peer.id);
    }
}

/// ER-3: what a dead process had of the node is free.
pub(super) fn peer_is_gone(node: &Node, peer: &Arc<Peer>) {
    node.names.peer_is_gone(peer);
    node.lendings.peer_is_gone(peer);
}

/// Does what a peer asks for. On the link's scheduler.
pub(super) fn serve(link: &Arc<Link>, head: Head, body: &[u8], local: &Local) {
    let errand = match postcard::from_bytes::<Errand>(body) {
        Ok(errand) => errand,
        Err(problem) => {
            return link
                .peer
                .is_mad(&format!("a question that is none: {problem}"));
        }
    };
    let names = &local.node.names;
    let answer = match errand {
        Errand::Find { class, name } => {
            let found = registry::at(class).and_then(|entry| match entry.named {
                Some(named) => named(&name),
                None => Err(Error::InvalidArgument {
                    argument: "class",
                    problem: format!("function {class} makes no actor"),
                    remedy: "both processes must be of the same build".into(),
                }),
            });
            found.map(|answering| match answering.0 {
                Given::One(answer) => answer,
                _ => unreachable!("`named` gives one handle"),
            })
        }
        Errand::Claim { name, token } => names
            .claim(&name, &link.peer, token)
            .map(|()| Answer::of(Ref::done(Ok(())))),
        Errand::Unclaim { name, token } => return names.unclaim(&name, token),
        Errand::Take {
            what,
            num_cpus,
            num_gpus,
            resources,
            token,
        } => Demand::of(Some(num_cpus), Some(num_gpus), &resources)
            .and_then(|demand| Grant::for_actor(&local.node, demand, &what))
            .map(|grant| {
                local.node.lendings.add(&link.peer, token, grant);
                Answer::of(Ref::done(Ok(())))
            }),
        Errand::Relay => Ok(Answer::of(Ref::done(Ok(relay::open(&local.node))))),
        Errand::GiveBack { token } => {
            let peer = link.peer.id;
            return local
                .node
                .lendings
                .take_out(|of, its| (of, its) == (peer, token));
        }
        Errand::End { number, restarts } => {
            let Some(actor) = link.peer.exports().find(number) else {
                let early = link.clone();
                return link.peer.exports().keep_early(number, early, head, body);
            };
            return match restarts {
                true => ActorCore::restart(actor.core()),
                false => ActorCore::kill(actor.core()),
            };
        }
    };
    let answer = answer.unwrap_or_else(|error| Answer::of(Ref::<()>::done(Err(Fault::new(error)))));
    serve::give(link, head.a, Arc::new(answer), local);
}

/// The actor of class `A` with this name, as far as this process knows; what the macros put into the
/// table of functions.
///
/// # Errors
/// [`Error::ActorNotFound`].
pub fn named<A: crate::ActorType>(name: &str) -> Result<Answering> {
    let node = Node::current("looking for an actor")?;
    crate::actor::registry::look::<A>(&node, name).map(Answering::value)
}
