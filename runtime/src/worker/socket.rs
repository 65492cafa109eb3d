//! The socket between the keeper and a worker: rare messages, and descriptors with them.
//!
//! ```text
//! bytes 0..4   length of the body, little endian
//! then         the body, encoded with postcard; descriptors come with the first byte
//! ```
//!
//! - SK-1 lengths are input: beyond [`MESSAGE_BYTES_MAX`] nothing is allocated and the socket is
//!   given up.
//! - SK-2 the keeper waits for no worker: what does not fit into a socket, because its worker is stopped
//!   or busy, waits in the [`Wire`], and later messages behind it; and of a message that a worker
//!   has not sent whole, what came waits there for the rest.

use maser_shm::os::shared_memory;
use serde::{Serialize, de::DeserializeOwned};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Bytes of the longest message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Bytes of the length before a body.
const LENGTH_BYTES: usize = 4;

fn invalid(problem: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.to_string())
}

/// Sends one message; waits while the socket is full.
///
/// # Errors
/// What the kernel said.
pub(crate) fn send<M: Serialize>(
    mut socket: &UnixStream,
    message: &M,
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = encode(message)?;
    let sent = shared_memory::send(socket, &bytes, files)?;
    socket.write_all(&bytes[sent..])
}

fn encode<M: Serialize>(message: &M) -> io::Result<Vec<u8>> {
    let mut bytes = postcard::to_extend(message, vec![0; LENGTH_BYTES]).map_err(invalid)?;
    let length = u32::try_from(bytes.len() - LENGTH_BYTES).map_err(invalid)?;
    bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// A message that waits for room, without what of it was sent.
struct Letter {
    bytes: Vec<u8>,
    sent: usize,
    /// They go with the first byte.
    files: Vec<OwnedFd>,
}

/// A message of which not all has come.
#[derive(Default)]
struct Begun {
    /// Its length and its body, as far as they came.
    bytes: Vec<u8>,
    files: Vec<OwnedFd>,
}

/// What there is to hear.
pub(crate) enum Heard<M> {
    /// A whole message, and what came with it.
    Message(M, Vec<OwnedFd>),
    /// None, or not the whole of one.
    NotYet,
    /// The other end is closed.
    End,
}

/// The keeper's end of the socket to one worker (SK-2).
pub(crate) struct Wire {
    stream: UnixStream,
    waiting: RefCell<VecDeque<Letter>>,
    begun: RefCell<Begun>,
}

impl Wire {
    /// Over this socket.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            waiting: RefCell::default(),
            begun: RefCell::default(),
        }
    }

    /// To be watched.
    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Whether something waits for room.
    pub(crate) fn is_full(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Sends one message, now or when there is room.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) fn send<M: Serialize>(
        &self,
        message: &M,
        files: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = encode(message)?;
        let mut waiting = self.waiting.borrow_mut();
        let sent = match waiting.is_empty() {
            true => shared_memory::try_send(&self.stream, &bytes, files)?,
            false => 0,
        };
        if sent < bytes.len() {
            let left: &[BorrowedFd<'_>] = if sent == 0 { files } else { &[] };
            let files = left.iter().map(|file| file.try_clone_to_owned());
            waiting.push_back(Letter {
                bytes,
                sent,
                files: files.collect::<io::Result<_>>()?,
            });
        }
        Ok(())
    }

    /// Sends of what waits as much as there is room for; nothing more to one that is gone.
    pub(crate) fn flush(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(letter) = waiting.front_mut() {
            let files: Vec<BorrowedFd<'_>> = letter.files.iter().map(AsFd::as_fd).collect();
            match shared_memory::try_send(&self.stream, &letter.bytes[letter.sent..], &files) {
                Ok(0) => return,
                Ok(count) => {
                    drop(files);
                    letter.files.clear();
                    letter.sent += count;
                    if letter.sent == letter.bytes.len() {
                        waiting.pop_front();
                    }
                }
                Err(_) => {
                    drop(files);
                    return waiting.clear();
                }
            }
        }
    }
}

impl Wire {
    /// The next message, if all of it is there.
    ///
    /// # Errors
    /// What the kernel said; `InvalidData` for what is no message (SK-1).
    pub(crate) fn receive<M: DeserializeOwned>(&self) -> io::Result<Heard<M>> {
        let mut begun = self.begun.borrow_mut();
        loop {
            let end = match begun.bytes.first_chunk() {
                None => LENGTH_BYTES,
                Some(length) => LENGTH_BYTES + body_bytes(*length)?,
            };
            let had = begun.bytes.len();
            if had == end {
                let Begun { bytes, files } = std::mem::take(&mut *begun);
                let message = postcard::from_bytes(&bytes[LENGTH_BYTES..]).map_err(invalid)?;
                return Ok(Heard::Message(message, files));
            }
            begun.bytes.resize(end, 0);
            let received = shared_memory::try_receive(&self.stream, &mut begun.bytes[had..]);
            let count = received.as_ref().map_or(0, |(count, _)| *count);
            begun.bytes.truncate(had + count);
            match received {
                Ok((0, _)) => return Ok(Heard::End),
                Ok((_, files)) => begun.files.extend(files),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Heard::NotYet);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The length of a body (SK-1).
fn body_bytes(length: [u8; LENGTH_BYTES]) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(invalid(format!(
            "a message of {length} bytes, and at most {MESSAGE_BYTES_MAX} are allowed"
        )));
    }
    Ok(length)
}

/// Receives one message; waits for it. `None` at the end of the socket.
///
/// # Errors
/// What the kernel said; `InvalidData` for what is no message (SK-1).
pub(crate) fn receive<M: DeserializeOwned>(
    mut socket: &UnixStream,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut length = [0; LENGTH_BYTES];
    let (first, files) = shared_memory::receive(socket, &mut length)?;
    if first == 0 {
        return Ok(None);
    }
    socket.read_exact(&mut length[first..])?;
    let mut bytes = vec![0; body_bytes(length)?];
    socket.read_exact(&mut bytes)?;
    Ok(Some((
        postcard::from_bytes(&bytes).map_err(invalid)?,
        files,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn text(wire: &Wire) -> Option<(String, usize)> {
        match wire.receive::<String>() {
            Ok(Heard::Message(text, files)) => Some((text, files.len())),
            Ok(Heard::NotYet) => None,
            Ok(Heard::End) => panic!("the end"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_message_that_comes_byte_by_byte_is_heard_when_it_is_whole_and_nobody_waits_for_it() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let wire = Wire::new(ours);
        assert_eq!(text(&wire), None);
        for said in ["", "some", "words"] {
            let bytes = encode(&said.to_owned()).expect("encoded");
            let (last, first) = bytes.split_last().expect("a length at least");
            for byte in first {
                theirs.write_all(&[*byte]).expect("sent");
                assert_eq!(text(&wire), None);
            }
            theirs.write_all(&[*last]).expect("sent");
            assert_eq!(text(&wire), Some((said.to_owned(), 0)));
        }
    }

    #[test]
    fn descriptors_wait_with_their_message_for_its_end_and_go_with_no_other() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let wire = Wire::new(ours);
        let (mut kept, given) = UnixStream::pair().expect("a pair");
        let bytes = encode(&"with one".to_owned()).expect("encoded");
        let sent = shared_memory::send(&theirs, &bytes[..1], &[given.as_fd()]).expect("sent");
        assert_eq!(sent, 1);
        drop(given);
        assert_eq!(text(&wire), None);
        (&theirs).write_all(&bytes[1..]).expect("sent");
        send(&theirs, &"without".to_owned(), &[]).expect("sent");
        assert_eq!(text(&wire), Some(("with one".to_owned(), 1)));
        assert_eq!(text(&wire), Some(("without".to_owned(), 0)));
        let mut end = [0];
        assert_eq!(
            kept.read(&mut end).expect("closed"),
            0,
            "nobody has the descriptor any more"
        );
    }

    #[test]
    fn the_end_and_what_is_no_message_are_told_apart() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let wire = Wire::new(ours);
        theirs.write_all(&u32::MAX.to_le_bytes()).expect("sent");
        let refused = wire.receive::<String>().err().expect("too long");
        assert!(refused.to_string().contains("at most"), "{refused}");
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        drop(theirs);
        assert!(matches!(
            Wire::new(ours).receive::<String>(),
            Ok(Heard::End)
        ));
    }
}
