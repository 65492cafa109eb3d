//! Messages between the two processes: JSON in frames of one size, with descriptors.

use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use maser_shm::os::shared_memory;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a frame; what is shorter is filled up with spaces, which JSON does not mind.
const FRAME_BYTES: usize = 1_024;

/// Sends `message`.
///
/// # Errors
/// The socket's; `InvalidInput` for a message that is longer than a frame.
pub(super) fn send<M: Serialize>(
    socket: &UnixStream,
    message: &M,
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut frame = serde_json::to_vec(message)?;
    if frame.len() > FRAME_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    frame.resize(FRAME_BYTES, b' ');
    let mut sent = shared_memory::send(socket, &frame, files)?;
    while sent < FRAME_BYTES {
        sent += shared_memory::send(socket, &frame[sent..], &[])?;
    }
    Ok(())
}

/// Receives a message; `None` at the end.
///
/// # Errors
/// The socket's; `InvalidData` for what is no such message.
pub(super) fn receive<M: DeserializeOwned>(
    mut socket: &UnixStream,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut frame = [0; FRAME_BYTES];
    let (count, files) = shared_memory::receive(socket, &mut frame)?;
    if count == 0 {
        return Ok(None);
    }
    socket.read_exact(&mut frame[count..])?;
    Ok(Some((serde_json::from_slice(&frame)?, files)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_message_arrives_with_its_descriptors_and_a_long_one_is_refused() {
        let (here, there) = UnixStream::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send(&here, &(7, "seven"), &[file.as_fd()]).unwrap();
        let ((number, text), files) = receive::<(u64, String)>(&there).unwrap().unwrap();
        assert_eq!((number, text.as_str(), files.len()), (7, "seven", 1));
        assert!(send(&here, &"x".repeat(FRAME_BYTES), &[]).is_err());
        drop(here);
        assert!(receive::<u64>(&there).unwrap().is_none());
    }
}
