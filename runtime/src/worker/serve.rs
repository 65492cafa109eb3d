//! What is done with messages of another process: its calls are made here as a program would make
//! them, and answered when their results are there.
#![allow(unsafe_code, reason = "type-erased cells and actors")]

use super::exports::Target;
use super::incoming::{Answer, Answering, HeldActor, Incoming, Kind as Given};
use super::link::Link;
use super::message::{Head, Kind};
use super::parcel::Parcel;
use super::peer::Peer;
use super::pool::Stays;
use super::{along, checkpoint, errand, registry, stream, wire_error};
use crate::actor::create::ActorOptions;
use crate::error::{Error, Fault, Outcome};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::object::scope;
use crate::object::when_done::when_done;
use crate::task::options::TaskOptions;
use crate::task::raw::Header;
use std::sync::Arc;

/// Flag of an answer: the body is an error.
pub(super) const FAILED: u8 = 1;
/// Flag of a task, a call or the making of an actor: the body begins with its options.
pub(super) const WITH_OPTIONS: u8 = 8;
/// Flag of a task: its CPUs are lent out while it waits for a result.
pub(super) const LENDS: u8 = 16;
/// Flag of a call: the body begins with its id.
pub(super) const WITH_ID: u8 = 4;

/// Gives a value that the peer asked for, now or when it is there.
pub(super) fn give(link: &Arc<Link>, number: u64, value: Arc<Answer>, local: &Local) {
    if is_done(&value) {
        let head = Head {
            kind: Kind::Value,
            flag: 0,
            a: number,
            b: 0,
        };
        return send(link, head, &[&value], local);
    }
    let link = link.clone();
    let shared = local.shared.clone();
    when_done(value.cell(), move || {
        let errand = letter::closure(move |local| give(&link, number, value, local));
        // SAFETY: LT-1, a fresh letter.
        unsafe { shared.post(errand) };
    });
}

/// Splits the second operand of a call: the function, and the actor's number.
pub(super) fn split(b: u64) -> (u32, u32) {
    (b as u32, (b >> 32) as u32)
}

/// The second operand of a call.
pub(super) fn joined(function: u32, actor: u32) -> u64 {
    u64::from(function) | u64::from(actor) << 32
}

/// Does what a message asks for. On the link's scheduler. `target` is what was called last over it,
/// and what this gives back is to be kept instead.
pub(super) fn serve(
    link: &Arc<Link>,
    head: Head,
    body: &[u8],
    target: Option<Arc<Target>>,
    local: &Local,
) -> Option<Arc<Target>> {
    if head.kind == Kind::Call {
        return call(link, head, body, target, local);
    }
    match head.kind {
        Kind::Task => {
            let (function, _) = split(head.b);
            // In a worker it runs here; in the driver, which a worker asked, in the pool.
            let nested = local.node.workers.membership().is_none();
            let stays = if nested { Stays::Nested } else { Stays::Here };
            let given = stays.during(local, || {
                invoke_task(&link.peer, function, (head.flag, body))
            });
            let lends = head.flag & LENDS != 0;
            reply(link, Asked::task(head.a, !nested, lends), given, local);
        }
        Kind::Create => create(link, head, body, local),
        Kind::Restore => checkpoint::make_again(link, head, body, local),
        Kind::Checkpoint => checkpoint::has_come(link, head, body),
        Kind::Drop => {
            let (number, handles) = split(head.a);
            link.peer
                .exports()
                .dropped(number, u64::from(handles), head.b);
            link.peer.forget_targets();
            super::member::an_actor_is_gone(local);
        }
        Kind::Ask => {
            let value = link.peer.exports().asked_for(head.a);
            if let Some(value) = value.filter(|_| head.flag != along::UNWANTED) {
                give(link, head.a, value, local);
            }
        }
        Kind::Value => {
            let awaited = link.peer.value_came(head.a);
            scope::from_peer(&link.peer, head.flag, body, |bytes| {
                let Some(awaited) = awaited else { return };
                (awaited.arrive)(match head.flag {
                    FAILED => Err(Fault::new(wire_error::decode(bytes))),
                    _ => Ok(bytes),
                });
            });
        }
        Kind::Errand => errand::serve(link, head, body, local),
        Kind::Release => local.node.bulk.take_back(&link.peer, body),
        Kind::Blocked => link.task_waits(head.a, head.flag),
        Kind::Cancel => local.links.serving.cancel(link, head.a),
        Kind::More => link.peer.pumps().more(link.there(), head),
        Kind::Call | Kind::Answer | Kind::Item => unreachable!("taken before"),
    }
    target
}

/// Makes a call of an actor that came.
#[inline]
fn call(
    link: &Arc<Link>,
    head: Head,
    body: &[u8],
    last: Option<Arc<Target>>,
    local: &Local,
) -> Option<Arc<Target>> {
    let (function, number) = split(head.b);
    let exports = link.peer.exports();
    let is_same = |last: &Arc<Target>| last.number == number;
    let target = match last.filter(is_same).or_else(|| exports.target(number)) {
        Some(target) => target,
        None => {
            exports.keep_early(number, link.clone(), head, body);
            return None;
        }
    };
    exports.called(&target);
    let (id, body) = id_of(head, body);
    let body = (head.flag, body);
    let given = invoke(
        &link.peer,
        function,
        body,
        Some(&target.actor),
        ActorOptions::default(),
    );
    let n = match id {
        Some(id) => checkpoint::count(link, number, id, &target.actor, local),
        None => 0,
    };
    reply(link, Asked::call(head.a, n), given, local);
    Some(target)
}

/// What is done with a message of a process that is dead.
pub(super) fn serve_dead(link: &Link, head: Head, body: &[u8]) {
    if head.kind == Kind::Checkpoint {
        checkpoint::has_come(link, head, body);
    }
}

/// The id of a call, if it has one, and its arguments.
fn id_of(head: Head, body: &[u8]) -> (Option<u64>, &[u8]) {
    match body.split_first_chunk() {
        Some((id, args)) if head.flag & WITH_ID != 0 => (Some(u64::from_le_bytes(*id)), args),
        _ => (None, body),
    }
}

/// Makes the task that a message asks for.
fn invoke_task(
    peer: &Arc<Peer>,
    function: u32,
    (flag, body): (u8, &[u8]),
) -> Result<Answering, Error> {
    let (options, body) = match flag & WITH_OPTIONS {
        0 => (None, body),
        _ => TaskOptions::decode(body).map(|(options, body)| (Some(options), body))?,
    };
    scope::from_peer(peer, flag, body, |bytes| {
        let entry = registry::at(function)?;
        let name = (entry.meta)().name;
        let mut incoming = Incoming::new(name, bytes, None, ActorOptions::default()).asked(options);
        (entry.invoke)(&mut incoming)
    })
}

pub(super) fn invoke(
    peer: &Arc<Peer>,
    function: u32,
    (flag, body): (u8, &[u8]),
    actor: Option<&HeldActor>,
    options: ActorOptions,
) -> Result<Answering, Error> {
    let (retries, body) = match (body.split_first_chunk(), actor) {
        (Some((retries, args)), Some(_)) if flag & WITH_OPTIONS != 0 => {
            (Some(i32::from_le_bytes(*retries)), args)
        }
        _ => (None, body),
    };
    scope::from_peer(peer, flag, body, |bytes| {
        let entry = registry::at(function)?;
        let core = actor.map(HeldActor::core);
        let mut incoming = Incoming::new((entry.meta)().name, bytes, core, options);
        incoming.retries(retries);
        (entry.invoke)(&mut incoming)
    })
}

fn create(link: &Arc<Link>, head: Head, body: &[u8], local: &Local) {
    let (function, number) = split(head.b);
    // The driver was asked by a worker: what it makes is its own.
    let (stays, options) = match head.flag & WITH_OPTIONS {
        0 => (Stays::Here, ActorOptions::decode(body)),
        _ => (Stays::No, ActorOptions::decode_whole(body)),
    };
    let made = options.and_then(|(options, arguments)| {
        let arguments = (head.flag, arguments);
        let made = stays.during(local, || {
            invoke(&link.peer, function, arguments, None, options)
        });
        match made?.0 {
            Given::Actor(actor, end) => Ok((actor, end)),
            _ => Err(Error::InvalidArgument {
                argument: "function",
                problem: "an actor was to be made of something that is no actor".into(),
                remedy: "both processes must be of the same build".into(),
            }),
        }
    });
    let (actor, end) = match made {
        Ok((actor, end)) => (Some(actor), Ok(end)),
        Err(error) => (None, Err(error)),
    };
    let early = link.peer.exports().add(number, actor);
    match end {
        Ok(Some(end)) => {
            let given = Answering(Given::One(end));
            reply(link, Asked::call(head.a, 0), Ok(given), local);
        }
        Ok(None) => link.send(answer(head.a, 0, 0), &[]),
        Err(error) => fail(link, head.a, 0, &error),
    }
    for (link, head, body) in early {
        serve(&link, head, &body, None, local);
    }
}

/// What a call that came has in its answer.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    ticket: u64,
    /// Its number among its actor's calls, if they are counted.
    n: u64,
    /// Whether its place in the pool is free once it waits.
    is_task: bool,
    /// Whether it lends CPUs.
    lends: bool,
}

impl Asked {
    fn task(ticket: u64, is_task: bool, lends: bool) -> Self {
        Self {
            is_task,
            lends,
            ..Self::call(ticket, 0)
        }
    }

    pub(super) fn call(ticket: u64, n: u64) -> Self {
        Self {
            ticket,
            n,
            is_task: false,
            lends: false,
        }
    }
}

/// Sends what a call gives, now or when it is there.
fn reply(link: &Arc<Link>, asked: Asked, given: Result<Answering, Error>, local: &Local) {
    let Asked { ticket, n, .. } = asked;
    match given.map(|answering| answering.0) {
        Ok(Given::One(answer)) => {
            let serving = &local.links.serving;
            serving.begins(link, ticket, &answer, asked.is_task);
            if asked.lends {
                serving.lends(link, ticket, &answer);
            }
            run_now(&answer, local);
            if is_done(&answer) {
                serving.ends(link, ticket);
                return send(link, self::answer(ticket, 0, n), &[&answer], local);
            }
            let link = link.clone();
            let shared = local.shared.clone();
            when_done(answer.cell(), move || {
                let errand = letter::closure(move |local| {
                    local.links.serving.ends(&link, ticket);
                    send(&link, self::answer(ticket, 0, n), &[&answer], local);
                });
                // SAFETY: LT-1, a fresh letter.
                unsafe { shared.post(errand) };
            });
        }
        Ok(Given::Many(answers)) => many(link.clone(), ticket, n, answers, local),
        Ok(Given::Stream(items)) => stream::send(link, ticket, n, items),
        Ok(Given::Actor(..)) => {
            let error = Error::InvalidArgument {
                argument: "function",
                problem: "its result cannot be sent as one value".into(),
                remedy: "call it in its own process".into(),
            };
            fail(link, ticket, n, &error);
        }
        Err(error) => fail(link, ticket, n, &error),
    }
}

/// Answers once all of several results are there.
fn many(link: Arc<Link>, ticket: u64, n: u64, answers: Vec<Answer>, local: &Local) {
    match answers
        .iter()
        .find(|answer| !is_done(answer))
        .map(Answer::cell)
    {
        None => {
            let answers: Vec<&Answer> = answers.iter().collect();
            send(&link, answer(ticket, 0, n), &answers, local);
        }
        Some(cell) => {
            let shared = local.shared.clone();
            when_done(cell, move || {
                let errand = letter::closure(move |local| many(link, ticket, n, answers, local));
                // SAFETY: LT-1, a fresh letter.
                unsafe { shared.post(errand) };
            });
        }
    }
}

fn is_done(answer: &Answer) -> bool {
    // SAFETY: the answer holds a handle.
    unsafe { answer.cell().as_ref() }.completion.is_done()
}

/// Runs the call on the loop's own stack if it is the next of its actor anyway.
#[inline]
fn run_now(answer: &Answer, local: &Local) {
    if is_done(answer) || !local.may_run_inline() {
        return;
    }
    let cell = answer.cell();
    if local.tasks.pop_if_newest(cell.cast()) {
        // SAFETY: TC-1, taken from the queue.
        return unsafe { Header::run(cell, local) };
    }
    // SAFETY: the answer holds a handle.
    unsafe { (cell.as_ref().vtable().progress)(cell, Some(local), true) };
}

/// Sends the outcome of one result, or of several together.
fn send(link: &Link, mut head: Head, answers: &[&Answer], local: &Local) {
    let mut parcel = Parcel::in_buffer(local.links.buffer());
    let encoded: Outcome<()> = answers
        .iter()
        .try_for_each(|answer| answer.encode(&mut parcel));
    match encoded {
        Ok(()) => {
            head.flag = parcel.give(&link.peer, local);
            link.send(head, &parcel.bytes);
        }
        Err(fault) => {
            head.flag = FAILED;
            link.send(head, &wire_error::encode(&fault.0));
        }
    }
    local.links.give_buffer(parcel.bytes);
}

pub(super) fn fail(link: &Link, ticket: u64, n: u64, error: &Error) {
    link.send(answer(ticket, FAILED, n), &wire_error::encode(error));
}

pub(super) fn answer(ticket: u64, flag: u8, n: u64) -> Head {
    Head {
        kind: Kind::Answer,
        flag,
        a: ticket,
        b: n,
    }
}
