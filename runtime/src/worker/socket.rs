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
//!   or busy, waits in the [`Outlet`], and later messages behind it.

use maser_shm::os::shared_memory;
use serde::{Serialize, de::DeserializeOwned};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Bytes of the longest message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

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
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(invalid)?;
    let length = u32::try_from(bytes.len() - 4).map_err(invalid)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// A message that waits for room, without what of it was sent.
struct Letter {
    bytes: Vec<u8>,
    sent: usize,
    /// They go with the first byte.
    files: Vec<OwnedFd>,
}

/// The keeper's end of the socket to one worker (SK-2).
pub(crate) struct Outlet {
    stream: UnixStream,
    waiting: RefCell<VecDeque<Letter>>,
}

impl Outlet {
    /// Over this socket.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            waiting: RefCell::default(),
        }
    }

    /// To receive from, and to be watched.
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

/// Receives one message; `None` at the end of the socket.
///
/// # Errors
/// What the kernel said; `InvalidData` for what is no message (SK-1).
pub(crate) fn receive<M: DeserializeOwned>(
    mut socket: &UnixStream,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let (first, files) = shared_memory::receive(socket, &mut length)?;
    if first == 0 {
        return Ok(None);
    }
    socket.read_exact(&mut length[first..])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(invalid(format!(
            "a message of {length} bytes, and at most {MESSAGE_BYTES_MAX} are allowed"
        )));
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes)?;
    Ok(Some((
        postcard::from_bytes(&bytes).map_err(invalid)?,
        files,
    )))
}
