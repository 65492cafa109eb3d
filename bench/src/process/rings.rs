//! What objects travel over: two line rings, and what each side knows of the other's store.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use maser_shm::channel::Shared;
use maser_shm::channel::spsc::{
    LineReceiver, LineSender, line_bytes, line_receiver_in, line_sender_in,
};
use maser_shm::control::{Carver, ControlMemory};
use maser_shm::store::{Descriptor, Foreign, PeerId, Release, Store};

use super::until_some;

/// The first process in the books of the second, and the other way round.
pub(super) const FIRST: PeerId = PeerId(1);
pub(super) const SECOND: PeerId = PeerId(2);

/// What is given, and what is let go of; the descriptor of nothing has generation 0.
pub(super) type Message = [Descriptor; 2];
pub(super) type Sender = LineSender<Message, Shared>;
pub(super) type Receiver = LineReceiver<Message, Shared>;

pub(super) const NONE: Descriptor = Descriptor {
    extent: 0,
    unit: 0,
    generation: 0,
    bytes: 0,
};
const DEPTH: usize = 8;

/// Two line rings in control memory.
pub(super) fn rings_bytes() -> Result<usize, String> {
    let bytes = line_bytes::<Message>(DEPTH).map_err(|error| error.to_string())?;
    Ok(Carver::bytes(&[bytes, bytes]))
}

pub(super) fn open_rings(
    memory: &ControlMemory,
    is_first: bool,
) -> Result<(Sender, Receiver), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let bytes = line_bytes::<Message>(DEPTH).map_err(|error| told(&error))?;
    let mut carver = Carver::new(memory.whole());
    let there = carver.take(bytes).map_err(|error| told(&error))?;
    let back = carver.take(bytes).map_err(|error| told(&error))?;
    let (out, into) = if is_first {
        (there, back)
    } else {
        (back, there)
    };
    let sender = line_sender_in(&out, DEPTH).map_err(|error| told(&error))?;
    let receiver = line_receiver_in(&into, DEPTH).map_err(|error| told(&error))?;
    Ok((sender, receiver))
}

#[inline]
pub(super) fn send(sender: &mut Sender, message: Message) {
    // One message at a time is under way, so there is always room.
    let _sent = sender.try_send(message);
}

#[inline]
pub(super) fn receive(receiver: &mut Receiver) -> Message {
    until_some(|| receiver.try_recv().ok())
}

/// Notes what was let go of, for the next message.
#[derive(Debug, Default)]
pub(super) struct LetGo(Mutex<Descriptor>);

impl LetGo {
    pub(super) fn take(&self) -> Descriptor {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut noted, NONE)
    }
}

impl Release for LetGo {
    fn release(&self, _owner: PeerId, descriptor: Descriptor, _count: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = descriptor;
    }
}

/// Number and bytes of each extent, and its file.
pub(super) type Extents = (Vec<(u32, u64)>, Vec<OwnedFd>);

pub(super) fn extents_of(store: &Store) -> std::io::Result<Extents> {
    let (mut extents, mut files) = (Vec::new(), Vec::new());
    store.extents(|id, file, bytes| {
        extents.push((id, bytes));
        files.push(file.try_clone_to_owned());
    });
    let files: std::io::Result<_> = files.into_iter().collect();
    Ok((extents, files?))
}

pub(super) fn known(
    owner: PeerId,
    extents: &[(u32, u64)],
    files: impl Iterator<Item = OwnedFd>,
) -> Result<(Foreign, Arc<LetGo>), String> {
    let let_go = Arc::new(LetGo::default());
    let foreign = Foreign::new(let_go.clone());
    for (&(id, bytes), file) in extents.iter().zip(files) {
        let added = foreign.add_extent(owner, id, file.as_fd(), bytes);
        added.map_err(|error| error.to_string())?;
        foreign
            .populate(owner, id)
            .map_err(|error| error.to_string())?;
    }
    Ok((foreign, let_go))
}
