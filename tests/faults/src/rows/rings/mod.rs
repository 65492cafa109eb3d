//! Rings between two processes of which one dies in the middle of a step.
//!
//! Values are checked: a torn one, one that was never sent, one that comes twice or one that is
//! missing is seen.
//!
//! | file | rows |
//! |---|---|
//! | [`channels`] | `A1.channel_write`, `A1.channel_read`, `A1.stream_write`, `A1.stream_read` |
//! | [`calls`] | `A1.call_slot`, `A1.call` |
//! | [`attach`] | `A1.attach`, `A1.detach` |
#![allow(unsafe_code, reason = "planted bugs write where they must not")]

mod attach;
mod calls;
mod channels;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use maser_shm::channel::spsc::{
    LineReceiver, LineSender, Receiver, Sender, channel_bytes, line_bytes, line_receiver_in,
    line_sender_in, receiver_in, sender_in,
};
use maser_shm::channel::{PeerFault, Shared, TryRecvError, TrySendError};
use maser_shm::control::ControlMemory;

use crate::row::{Outcome, Row, broken};
use crate::wire::{self, Message};

/// The rows of this folder.
pub fn rows() -> impl Iterator<Item = Row> {
    channels::ROWS
        .into_iter()
        .chain(calls::ROWS)
        .chain(attach::ROWS)
}

/// Slots of the rings here.
const CAPACITY: usize = 4;

/// A value that shows whether it is whole.
type Value = [u64; 5];

fn value(number: u64) -> Value {
    std::array::from_fn(|at| {
        number
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(at as u32)
    })
}

/// One kind of ring.
trait Ends: 'static {
    type Sender: Send;
    type Receiver: Send;
    fn bytes() -> usize;
    fn sender(memory: &ControlMemory) -> Outcome<Self::Sender>;
    fn receiver(memory: &ControlMemory) -> Outcome<Self::Receiver>;
    fn try_send(sender: &mut Self::Sender, value: Value) -> Result<(), TrySendError<Value>>;
    fn try_recv(receiver: &mut Self::Receiver) -> Result<Value, TryRecvError>;
    fn writer_died(receiver: &mut Self::Receiver) -> Option<PeerFault>;
    fn reader_died(sender: &mut Self::Sender) -> Option<PeerFault>;
}

macro_rules! ends {
    ($name:ident, $sender:ident, $receiver:ident, $bytes:ident, $open_sender:ident, $open_receiver:ident) => {
        struct $name;

        impl Ends for $name {
            type Sender = $sender<Value, Shared>;
            type Receiver = $receiver<Value, Shared>;
            fn bytes() -> usize {
                $bytes::<Value>(CAPACITY).expect("the capacity is possible")
            }
            fn sender(memory: &ControlMemory) -> Outcome<Self::Sender> {
                $open_sender(&memory.whole(), CAPACITY).map_err(broken)
            }
            fn receiver(memory: &ControlMemory) -> Outcome<Self::Receiver> {
                $open_receiver(&memory.whole(), CAPACITY).map_err(broken)
            }
            fn try_send(
                sender: &mut Self::Sender,
                value: Value,
            ) -> Result<(), TrySendError<Value>> {
                sender.try_send(value)
            }
            fn try_recv(receiver: &mut Self::Receiver) -> Result<Value, TryRecvError> {
                receiver.try_recv()
            }
            fn writer_died(receiver: &mut Self::Receiver) -> Option<PeerFault> {
                receiver.peer_died();
                receiver.fault()
            }
            fn reader_died(sender: &mut Self::Sender) -> Option<PeerFault> {
                sender.peer_died();
                sender.fault()
            }
        }
    };
}

ends!(
    LineEnds,
    LineSender,
    LineReceiver,
    line_bytes,
    line_sender_in,
    line_receiver_in
);
ends!(
    StreamEnds,
    Sender,
    Receiver,
    channel_bytes,
    sender_in,
    receiver_in
);

/// Makes control memory and shows it to the victim.
fn show(link: &UnixStream, bytes: usize) -> Outcome<ControlMemory> {
    let memory = ControlMemory::create(bytes).map_err(broken)?;
    wire::send_memory(link, 0, memory.bytes() as u64, memory.file())?;
    Ok(memory)
}

/// The control memory that was shown, not mapped yet.
fn shown(link: &UnixStream) -> Outcome<(OwnedFd, u64)> {
    match wire::receive(link)? {
        Some(Message::Memory { bytes, file, .. }) => Ok((file, bytes)),
        other => Err(broken(format!("no control memory came but {other:?}"))),
    }
}

fn map((file, bytes): (OwnedFd, u64)) -> Outcome<ControlMemory> {
    ControlMemory::attach(file, bytes, "the survivor").map_err(broken)
}

/// The bug of a publisher that is too early: writes the word after the one that holds `before`.
fn write_late(memory: &ControlMemory, before: u64, word: u64) -> Outcome<()> {
    let region = memory.whole();
    let words = region.start().cast::<u64>();
    for at in 0..region.bytes() / size_of::<u64>() - 1 {
        // SAFETY: inside of the mapping and aligned; the words are also written by nobody else now.
        unsafe {
            if words.add(at).read_volatile() == before {
                words.add(at + 1).write_volatile(word);
                return Ok(());
            }
        }
    }
    Err(broken("the half that was published is not there"))
}

/// A full ring where there should be room, and the like.
fn unexpected<T: std::fmt::Debug>(what: &str) -> impl FnOnce(T) -> crate::row::Stop + '_ {
    move |got| broken(format!("{what}: {got:?}"))
}
