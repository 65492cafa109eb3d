//! What survivors and victims tell each other beside the memory they share.
//!
//! ```text
//! byte  0  kind    u64
//! byte  8  number  u64   an extent's, a count
//! byte 16  bytes   u64   of the memory that comes with it
//! byte 24  a descriptor of an object: extent u32, unit u32, generation u64, bytes u64
//! ```
//!
//! A message is written by one system call, so a killed process sends all of it or nothing.

use std::io::{ErrorKind, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use maser_shm::os::shared_memory;
use maser_shm::store::Descriptor;

use crate::row::{Outcome, broken};

const BYTES: usize = 48;

/// See the module's page.
#[derive(Debug)]
pub enum Message {
    /// Memory: an extent of this number, or control memory.
    Memory {
        number: u64,
        bytes: u64,
        file: OwnedFd,
    },
    /// A reference to an object.
    Ref(Descriptor),
    /// Some references to an object go back.
    Release { count: u64, descriptor: Descriptor },
    /// The sender is ready.
    Ready,
}

fn encode(kind: u64, number: u64, bytes: u64, descriptor: Descriptor) -> [u8; BYTES] {
    let mut text = [0; BYTES];
    text[..8].copy_from_slice(&kind.to_le_bytes());
    text[8..16].copy_from_slice(&number.to_le_bytes());
    text[16..24].copy_from_slice(&bytes.to_le_bytes());
    text[24..28].copy_from_slice(&descriptor.extent.to_le_bytes());
    text[28..32].copy_from_slice(&descriptor.unit.to_le_bytes());
    text[32..40].copy_from_slice(&descriptor.generation.to_le_bytes());
    text[40..].copy_from_slice(&descriptor.bytes.to_le_bytes());
    text
}

/// Sends memory.
pub fn send_memory(
    link: &UnixStream,
    number: u64,
    bytes: u64,
    file: BorrowedFd<'_>,
) -> Outcome<()> {
    let text = encode(0, number, bytes, Descriptor::default());
    shared_memory::send(link, &text, &[file]).map_err(broken)?;
    Ok(())
}

/// Sends a reference.
pub fn send_ref(mut link: &UnixStream, descriptor: Descriptor) -> Outcome<()> {
    let text = encode(1, 0, 0, descriptor);
    link.write_all(&text).map_err(broken)
}

/// Gives references back.
pub fn send_release(mut link: &UnixStream, descriptor: Descriptor, count: u64) -> Outcome<()> {
    let text = encode(2, count, 0, descriptor);
    link.write_all(&text).map_err(broken)
}

/// Says that all is ready.
pub fn send_ready(mut link: &UnixStream) -> Outcome<()> {
    let text = encode(3, 0, 0, Descriptor::default());
    link.write_all(&text).map_err(broken)
}

/// The next message; `None` at the end.
pub fn receive(link: &UnixStream) -> Outcome<Option<Message>> {
    let mut text = [0; BYTES];
    let received = shared_memory::receive(link, &mut text);
    let (count, mut files) = match received {
        // It died with something unread. What it had sent came before this.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (0, Vec::new()),
        other => other.map_err(broken)?,
    };
    if count == 0 {
        return Ok(None);
    }
    if count != BYTES {
        return Err(broken(format!("{count} bytes of a message came")));
    }
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| text[at + i]));
    let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| text[at + i]));
    let descriptor = Descriptor {
        extent: half(24),
        unit: half(28),
        generation: word(32),
        bytes: word(40),
    };
    Ok(Some(match (word(0), files.pop()) {
        (0, Some(file)) => Message::Memory {
            number: word(8),
            bytes: word(16),
            file,
        },
        (1, None) => Message::Ref(descriptor),
        (2, None) => Message::Release {
            count: word(8),
            descriptor,
        },
        (3, None) => Message::Ready,
        (kind, _) => return Err(broken(format!("a message of kind {kind} came"))),
    }))
}
