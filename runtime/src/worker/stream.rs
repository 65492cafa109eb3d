//! Streams between processes: the producer's process sends items as they come, no more of them than
//! the consumer has room for.
//!
//! - XS-1 the producer begins with [`WINDOW`] credits, and sends an item for each. The consumer gives
//!   credits back as its items are taken, half a window at a time.
//! - XS-2 items come in their order on the link of the call, and before its answer. An item that is
//!   an error is the last.
//! - XS-3 a consumer that drops its stream says so, and the producer ends at its next item.

use super::incoming::Answer;
use super::link::Link;
use super::message::{Head, Kind};
use super::parcel::Parcel;
use super::serve::{FAILED, answer};
use super::wire_error;
use crate::error::{Error, Fault, Outcome};
use crate::executor::gate::Gate;
use crate::executor::letter;
use crate::executor::local::Local;
use crate::executor::wait::wait_done;
use crate::task::failure::Failure;
use crate::task::meta::{Function, Meta};
use crate::task::options::TaskOptions;
use crate::task::spawn::spawn_with;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Items that may lie between producer and consumer.
pub(crate) const WINDOW: usize = 16;

/// Where the items of a call go in the process of the consumer.
pub(crate) trait Sink: Send {
    /// An item came, or the error that ends the stream.
    fn item(&mut self, item: Outcome<&[u8]>);
    /// The producer said that there are no more.
    fn is_complete(&mut self);
}

/// The way back to a producer.
#[derive(Default)]
pub(crate) struct Producer {
    at: OnceLock<(Arc<Link>, u64, usize)>,
    /// Items taken since credits were given back.
    taken: Mutex<usize>,
}

impl Producer {
    /// The call was sent, by scheduler `index`, with this ticket.
    pub(super) fn is_at(&self, link: &Arc<Link>, ticket: u64, index: usize) {
        let _first = self.at.set((link.clone(), ticket, index));
    }

    /// An item was taken (XS-1).
    pub(crate) fn was_taken(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        if *taken >= WINDOW / 2 {
            let credits = std::mem::take(&mut *taken);
            drop(taken);
            self.tell(0, credits as u64);
        }
    }

    /// Nobody wants more (XS-3).
    pub(crate) fn stop(&self) {
        self.tell(1, 0);
    }

    fn tell(&self, flag: u8, credits: u64) {
        let Some((link, ticket, index)) = self.at.get() else {
            return;
        };
        let head = Head {
            kind: Kind::More,
            flag,
            a: *ticket,
            b: credits,
        };
        match Local::current() {
            Some(local) if local.shared.index == *index => link.send(head, &[]),
            _ => {
                if let Ok(node) = crate::node::Node::current("reading a stream") {
                    let link = link.clone();
                    let errand = letter::closure(move |_| link.send(head, &[]));
                    node.post_to(*index, errand);
                }
            }
        }
    }
}

/// A producer of this process, whose items go to another one.
#[derive(Default)]
pub(crate) struct Pump {
    state: Mutex<Credits>,
    gate: Gate,
}

#[derive(Default)]
struct Credits {
    left: usize,
    stopped: bool,
}

/// The producers whose items go to one process, by the link's place and the ticket.
#[derive(Default)]
pub(crate) struct Pumps(Mutex<HashMap<(usize, u64), Arc<Pump>>>);

impl Pumps {
    /// Credits came, or the news that no more are wanted.
    pub(super) fn more(&self, there: usize, head: Head) {
        let pump = {
            let pumps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            pumps.get(&(there, head.a)).cloned()
        };
        if let Some(pump) = pump {
            pump.change(|credits| match head.flag {
                // More than a window is a garbled number, and no more is ever sent for it.
                0 => credits.left = (credits.left + head.b as usize).min(WINDOW),
                _ => credits.stopped = true,
            });
        }
    }

    /// The consumer's process has ended.
    pub(super) fn stop_all(&self) {
        let pumps = {
            let mut pumps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *pumps)
        };
        for pump in pumps.into_values() {
            pump.change(|credits| credits.stopped = true);
        }
    }
}

impl Pump {
    fn change(&self, with: impl FnOnce(&mut Credits)) {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.gate.notify_all();
    }

    /// Waits for a credit; false if no more items are wanted.
    fn take_credit(&self) -> Result<bool, Error> {
        let credit = self.gate.wait("the consumer of a stream", None, || {
            let mut credits = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if credits.stopped {
                return Some(false);
            }
            if credits.left == 0 {
                return None;
            }
            credits.left -= 1;
            Some(true)
        })?;
        Ok(credit.unwrap_or(false))
    }
}

/// The task that sends a stream's items.
struct Sending;

impl Function for Sending {
    const META: &'static Meta = &Meta::plain("sending a stream");
}

/// Sends what `items` gives for the call `ticket`, then its answer, which is the `n`th.
pub(super) fn send(
    link: &Arc<Link>,
    ticket: u64,
    n: u64,
    items: Box<dyn Iterator<Item = Answer> + Send>,
) {
    let pump = Arc::new(Pump::default());
    pump.change(|credits| credits.left = WINDOW);
    let key = (link.there(), ticket);
    let pumps = link.peer.pumps();
    pumps
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(key, pump.clone());
    let link = link.clone();
    drop(spawn_with::<Sending, (), (), _>(
        TaskOptions::default(),
        (),
        move |()| {
            let ended = run(&link, ticket, items, &pump);
            link.peer
                .pumps()
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&key);
            match ended {
                Ok(()) => link.send(answer(ticket, 0, n), &[]),
                Err(error) => link.send(answer(ticket, FAILED, n), &wire_error::encode(&error)),
            }
            Ok(())
        },
    ));
}

fn run(
    link: &Arc<Link>,
    ticket: u64,
    items: Box<dyn Iterator<Item = Answer> + Send>,
    pump: &Pump,
) -> Result<(), Error> {
    for item in items {
        if !pump.take_credit()? {
            return Ok(());
        }
        wait_done(item.cell(), None)?;
        let Some(local) = Local::current() else {
            return Ok(());
        };
        let mut parcel = Parcel::in_buffer(local.links.buffer());
        let mut head = Head {
            kind: Kind::Item,
            flag: 0,
            a: ticket,
            b: 0,
        };
        match item.encode(&mut parcel) {
            Ok(()) => {
                head.flag = parcel.give(&link.peer, local);
                link.send(head, &parcel.bytes);
            }
            Err(fault) => {
                head.flag = FAILED;
                link.send(head, &wire_error::encode(&fault.0));
                return Ok(());
            }
        }
        local.links.give_buffer(parcel.bytes);
    }
    Ok(())
}

/// Makes a stream to its end for nobody; gives that end.
pub(super) fn drain(items: Box<dyn Iterator<Item = Answer> + Send>) -> Answer {
    let options = TaskOptions::default();
    let drained = spawn_with::<Sending, (), (), _>(options, (), move |()| {
        for item in items {
            wait_done(item.cell(), None).map_err(Failure::runtime)?;
        }
        Ok(())
    });
    Answer::of(drained)
}

/// What came for a call that gives a stream.
pub(super) fn came(sink: &mut dyn Sink, flag: u8, body: &[u8]) {
    sink.item(match flag {
        FAILED => Err(Fault::new(wire_error::decode(body))),
        _ => Ok(body),
    });
}
