//! The socket between the keeper and a worker: rare messages, and descriptors with them.
//!
//! ```text
//! bytes 0..4   length of the body, little endian
//! then         the body, encoded with postcard; descriptors come with the first byte
//! ```
//!
//! - SK-1 lengths are input: beyond [`MESSAGE_BYTES_MAX`] nothing is allocated and the socket is
//!   given up.

use maser_shm::os::shared_memory;
use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
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
    let mut bytes = vec![0; 4];
    bytes = postcard::to_extend(message, bytes).map_err(invalid)?;
    let length = u32::try_from(bytes.len() - 4).map_err(invalid)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    let sent = shared_memory::send(socket, &bytes, files)?;
    socket.write_all(&bytes[sent..])
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
