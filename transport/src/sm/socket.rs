//! The sockets by which two ends find each other, wake each other, and hear that the other is gone.
//!
//! An end listens at a Unix socket with an abstract name, which leaves nothing behind. Who connects says a
//! greeting of 16 bytes, with the descriptor of the memory that both will share:
//!
//! ```text
//! byte  0  magic    4 bytes
//! byte  4  version  u16  little endian, as all numbers
//! byte  6  0        u16
//! byte  8  area     u64  bytes of an area
//! ```
//!
//! After it a byte wakes the other end, and the end of the stream is the end of the peer's process, or of
//! its transport. Who is turned away is sent why.
//!
//! - XK-1 only processes of the same user are connected, whichever side they are on: the kernel says whose
//!   the other end is (`SO_PEERCRED`).
//! - XK-2 what arrives is input: the greeting has one length, one descriptor, and memory of the size that
//!   its areas need (CM-5).

use super::lane::AREA_BYTES;
use crate::endpoint::{Address, BadAddress, TransportKind};
use maser_shm::os::shared_memory;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// What all names begin with.
const PREFIX: &str = "maser-sm-";
/// Bytes of a name at most: what the kernel takes.
const MAX_NAME_BYTES: usize = 107;
const MAGIC: [u8; 4] = *b"msrS";
const VERSION: u16 = 1;
pub(super) const GREETING_BYTES: usize = 16;
/// Peers that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Wakes the other end.
const WAKE: u8 = b'w';
/// Before why somebody is turned away.
const TURNED_AWAY: u8 = b'n';
const MAX_REASON_BYTES: usize = 400;

/// Where an end is connected to.
pub(super) struct Listener {
    socket: OwnedFd,
    name: String,
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(socket)
}

impl Listener {
    pub(super) fn open() -> io::Result<Self> {
        // A name that nobody had or will have; it is no secret. The standard library's random state is the
        // system's random bytes.
        let [one, other] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
        let name = format!("{PREFIX}{}-{one:016x}{other:016x}", std::process::id());
        let socket = socket()?;
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self { socket, name })
    }

    pub(super) fn address(&self) -> Address {
        match Address::new(TransportKind::Sm, self.name.clone()) {
            Ok(address) => address,
            Err(error) => unreachable!("a short name: {error}"),
        }
    }

    /// The next that connected, if it is of the same user (XK-1); `None` if there is no more.
    pub(super) fn accept(&self) -> io::Result<Option<Result<UnixStream, String>>> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = match rustix::net::accept_with(&self.socket, flags) {
            Ok(socket) => UnixStream::from(socket),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match is_own(socket.as_fd()) {
            Ok(()) => Ok(socket),
            Err(reason) => {
                turn_away(&socket, &reason);
                Err(reason)
            }
        }))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// XK-1.
fn is_own(socket: BorrowedFd<'_>) -> Result<(), String> {
    let own = rustix::process::geteuid();
    match socket_peercred(socket) {
        Ok(peer) if peer.uid == own => Ok(()),
        Ok(peer) => Err(format!(
            "the peer is of user {}, and this process of user {}; run both as one user, or take another transport",
            peer.uid.as_raw(),
            own.as_raw()
        )),
        Err(error) => Err(format!(
            "the system does not say whose the peer is: {error}"
        )),
    }
}

/// The name in an address.
pub(super) fn name_of(address: &Address) -> Result<&str, BadAddress> {
    let bytes = address.bytes_for(TransportKind::Sm)?;
    let unreadable = |problem: &str| BadAddress::Unreadable {
        kind: TransportKind::Sm,
        problem: problem.into(),
    };
    let name = std::str::from_utf8(bytes).map_err(|_| unreadable("it is no name"))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !name.starts_with(PREFIX) || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
        return Err(unreadable("it is no name of an end in shared memory"));
    }
    Ok(name)
}

/// How an attempt to connect went.
pub(super) enum Attempt {
    Connected(UnixStream),
    /// As many wait there as may: try again.
    Later,
    /// Nobody is there.
    Nobody(String),
    /// Somebody else is there (XK-1).
    Stranger(String),
}

/// Connects to the end of this name.
pub(super) fn connect(name: &str) -> io::Result<Attempt> {
    let socket = socket()?;
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
    Ok(match rustix::net::connect(&socket, &address) {
        Ok(()) => match is_own(socket.as_fd()) {
            Ok(()) => Attempt::Connected(socket.into()),
            Err(reason) => Attempt::Stranger(reason),
        },
        Err(Errno::AGAIN | Errno::INTR) => Attempt::Later,
        Err(Errno::CONNREFUSED) => Attempt::Nobody("there is no such end, or no more".into()),
        Err(error) => Attempt::Nobody(error.to_string()),
    })
}

/// Says the greeting, with the memory.
pub(super) fn greet(
    socket: &UnixStream,
    area_bytes: usize,
    memory: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut greeting = [0; GREETING_BYTES];
    greeting[..4].copy_from_slice(&MAGIC);
    greeting[4..6].copy_from_slice(&VERSION.to_le_bytes());
    greeting[8..].copy_from_slice(&(area_bytes as u64).to_le_bytes());
    match shared_memory::try_send(socket, &greeting, &[memory])? {
        GREETING_BYTES => Ok(()),
        _ => Err(io::Error::other(
            "a fresh socket has no room for a greeting",
        )),
    }
}

/// What a stranger said.
pub(super) enum Greeting {
    /// Nothing so far.
    None,
    /// That it shares this memory, with areas of so many bytes.
    Memory(OwnedFd, usize),
    /// Nonsense; why it is turned away.
    Bad(String),
    /// It is gone.
    Gone,
}

/// Hears a greeting (XK-2).
pub(super) fn hear(socket: &UnixStream) -> Greeting {
    let mut bytes = [0; GREETING_BYTES];
    let (count, files) = match shared_memory::try_receive(socket, &mut bytes) {
        Ok((0, _)) => return Greeting::Gone,
        Ok(came) => came,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Greeting::None,
        Err(error) => return Greeting::Bad(format!("its greeting was lost: {error}")),
    };
    let version = u16::from_le_bytes([bytes[4], bytes[5]]);
    if count != GREETING_BYTES || bytes[..4] != MAGIC || bytes[6..8] != [0; 2] {
        return Greeting::Bad("it does not greet as ends do".into());
    }
    if version != VERSION {
        return Greeting::Bad(format!(
            "it speaks version {version}, and this end version {VERSION}; run both of one build"
        ));
    }
    let mut area = [0; 8];
    area.copy_from_slice(&bytes[8..]);
    let area = u64::from_le_bytes(area);
    let Some(area) = usize::try_from(area)
        .ok()
        .filter(|area| area.is_power_of_two() && AREA_BYTES.contains(area))
    else {
        return Greeting::Bad(format!("areas of {area} bytes"));
    };
    match <[OwnedFd; 1]>::try_from(files) {
        Ok([memory]) => Greeting::Memory(memory, area),
        Err(files) => Greeting::Bad(format!("{} descriptors instead of one", files.len())),
    }
}

/// Tells why; the socket is closed then.
pub(super) fn turn_away(socket: &UnixStream, reason: &str) {
    let mut bytes = vec![TURNED_AWAY];
    bytes.extend(reason.bytes().take(MAX_REASON_BYTES));
    // Who does not take it sees the end of the stream.
    let _sent = rustix::net::send(socket, &bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Wakes the other end.
pub(super) fn wake(socket: &UnixStream) {
    // Without room for a byte there are bytes that it has not seen, so it is awake.
    let _sent = rustix::net::send(socket, &[WAKE], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// What a socket had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing, or that this end is to wake.
    Wake,
    /// That this end was turned away, and why.
    TurnedAway(String),
    /// The peer is gone.
    Gone,
}

/// Empties a socket.
pub(super) fn listen(socket: &UnixStream) -> Heard {
    let mut bytes = [0; 1 + MAX_REASON_BYTES];
    match rustix::net::recv(socket, &mut bytes, RecvFlags::DONTWAIT) {
        Ok((0, _)) => Heard::Gone,
        Ok((count, _)) if bytes[0] == TURNED_AWAY => {
            Heard::TurnedAway(String::from_utf8_lossy(&bytes[1..count]).into_owned())
        }
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Heard::Wake,
        Err(_) => Heard::Gone,
    }
}
