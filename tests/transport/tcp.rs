//! TCP on loopback in the suite.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use maser_tests::alone;
use maser_transport::Transport;
use maser_transport::tcp::{PollerChoice, TcpOptions, TcpTransport, TcpTuning};
use maser_transport::wire::{Identity, Integrity, Role, Secret};

use crate::ends::Lab;

/// Without a secret.
pub struct TcpLab;

/// Without a secret, and by epoll.
pub struct EpollTcpLab;

/// With a secret, and data that is not sealed.
pub struct ClearTcpLab;

/// With a secret, and frames that are sealed.
pub struct SealedTcpLab;

fn open(secret: Option<Secret>, integrity: Integrity) -> TcpTransport {
    open_by(PollerChoice::Best, secret, integrity)
}

pub fn open_by(
    poller: PollerChoice,
    secret: Option<Secret>,
    integrity: Integrity,
) -> TcpTransport {
    let options = TcpOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        identity: Identity {
            job: [1; 16],
            node: 1,
            role: Role::Node,
        },
        integrity: Some(integrity),
        epoch: 1,
        secret,
        peer_timeout: Duration::from_secs(600),
        handshake_timeout: Duration::from_secs(600),
    };
    TcpTransport::open_tuned(options, TcpTuning { poller }).expect("a port of loopback")
}

impl Lab for TcpLab {
    type End = TcpTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> TcpTransport {
        open(None, Integrity::None)
    }

    fn crash(&self, end: TcpTransport) {
        end.abort();
    }
}

impl Lab for EpollTcpLab {
    type End = TcpTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> TcpTransport {
        open_by(PollerChoice::Epoll, None, Integrity::None)
    }

    fn crash(&self, end: TcpTransport) {
        end.abort();
    }
}

impl Lab for ClearTcpLab {
    type End = TcpTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> TcpTransport {
        open(Some(Secret::new([7; 32])), Integrity::None)
    }

    fn crash(&self, end: TcpTransport) {
        end.abort();
    }
}

impl Lab for SealedTcpLab {
    type End = TcpTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> TcpTransport {
        open(Some(Secret::new([7; 32])), Integrity::Mac)
    }

    fn crash(&self, end: TcpTransport) {
        end.abort();
    }
}

/// Connects, says `words`, and is read until the end closes the connection, at times that `now_ns` gives.
fn is_turned_away(words: &[u8], mut now_ns: impl FnMut() -> u64 + Send) {
    alone(|| {
        let mut end = open(Some(Secret::new([7; 32])), Integrity::Mac);
        let mut stranger = TcpStream::connect(end.local_addr()).expect("it listens");
        stranger.set_nonblocking(true).expect("a socket");
        stranger.write_all(words).expect("room for a few words");
        loop {
            end.advance(now_ns());
            assert_eq!(end.poll(), None);
            match stranger.read(&mut [0; 8]) {
                Ok(0) => return,
                Ok(bytes) => panic!("{bytes} bytes were said to a stranger"),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    });
}

#[test]
fn who_speaks_another_protocol_is_turned_away_without_a_word() {
    is_turned_away(b"GET / HTTP/1.1\r\n\r\n", || 0);
    is_turned_away(b"\x16\x03\x01\x02\x00", || 0);
}

#[test]
fn who_does_not_say_who_it_is_is_turned_away_after_the_limit() {
    for words in [&b""[..], b"msr", &[b"msr\x01", &[0; 40][..]].concat()] {
        let mut seconds = 0;
        is_turned_away(words, || {
            seconds += 1;
            seconds * 1_000_000_000
        });
    }
}
