//! Who connects and is no peer: none of them hears a word, costs much, or keeps peers from each other.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use maser_tests::alone;
use maser_transport::tcp::{MAX_STRANGERS, TcpError, TcpOptions, TcpTransport};
use maser_transport::wire::handshake::{ANSWER_BYTES, Initiator};
use maser_transport::wire::{Identity, Integrity, Secret};
use maser_transport::{EndReason, Message, Transport, WorkRequest};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::between::address;
use crate::ends::{A, B, Ends, Pair};
use crate::tcp::options;

/// Of the ends here.
const SECRET: Secret = Secret::new([7; 32]);
const SECOND_NS: u64 = 1_000_000_000;

fn identity() -> Identity {
    options(None, Integrity::None).identity
}

fn open(change: impl FnOnce(&mut TcpOptions)) -> TcpTransport {
    let mut options = options(Some(SECRET), Integrity::Mac);
    change(&mut options);
    TcpTransport::open(options).expect("a port of loopback")
}

/// Polls `end` until the stranger's connection is over; what it was told.
fn until_closed(
    end: &mut TcpTransport,
    stranger: &mut TcpStream,
    mut now_ns: impl FnMut() -> u64,
) -> Vec<u8> {
    stranger.set_nonblocking(true).expect("a socket");
    let mut told = Vec::new();
    loop {
        end.advance(now_ns());
        assert_eq!(end.poll(), None, "an event tells of a stranger");
        match stranger.read_to_end(&mut told) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // Closed, or reset.
            Ok(_) | Err(_) => return told,
        }
    }
}

/// Connects, says `words`, and is turned away; what it is told.
fn turned_away(words: &[u8], now_ns: impl FnMut() -> u64 + Send) -> Vec<u8> {
    alone(|| {
        let mut end = open(|_| {});
        let mut stranger = TcpStream::connect(end.local_addr()).expect("it listens");
        stranger.write_all(words).expect("room for a few words");
        let told = until_closed(&mut end, &mut stranger, now_ns);
        assert_eq!((end.strangers().came, end.strangers().now()), (1, 0));
        told
    })
}

#[test]
fn who_speaks_another_protocol_is_turned_away_without_a_word() {
    for words in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        CLIENT_HELLO,
        b"SSH-2.0-x\r\n",
    ] {
        assert_eq!(turned_away(words, || 0), b"");
    }
}

#[test]
fn who_does_not_say_who_it_is_is_turned_away_after_the_limit() {
    for words in [&b""[..], b"msr", &[b"msr\x01", &[0; 40][..]].concat()] {
        let mut seconds = 0;
        let told = turned_away(words, || {
            seconds += 1;
            seconds * SECOND_NS
        });
        assert_eq!(told, b"");
    }
}

#[test]
fn a_hello_that_comes_byte_by_byte_has_the_time_of_one() {
    alone(|| {
        let mut end = open(|options| options.handshake_timeout = Duration::from_secs(40));
        let mut stranger = TcpStream::connect(end.local_addr()).expect("it listens");
        let (_, hello) = Initiator::new(identity(), Integrity::Mac, Some(&SECRET));
        let mut seconds = 0;
        for byte in hello {
            seconds += 1;
            end.advance(seconds * SECOND_NS);
            assert_eq!(end.poll(), None);
            if stranger.write_all(&[byte]).is_err() {
                break;
            }
        }
        assert_eq!(
            until_closed(&mut end, &mut stranger, || 60 * SECOND_NS),
            b""
        );
        assert_eq!((end.strangers().late, end.strangers().now()), (1, 0));
    });
}

#[test]
fn without_a_secret_nothing_listens_where_others_can_reach_it() {
    let mut elsewhere = options(None, Integrity::None);
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        elsewhere.listen = listen.parse().expect("an address");
        let refused = TcpTransport::open(elsewhere.clone()).err();
        assert!(
            matches!(refused, Some(TcpError::NoSecret { .. })),
            "{listen}"
        );
    }
    elsewhere.secret = Some(SECRET);
    elsewhere.listen = "0.0.0.0:0".parse().expect("an address");
    TcpTransport::open(elsewhere).expect("with one it does");
}

/// What each of two ends says of the other, if nothing but `change` is different at the one that connects.
fn not_admitted(change: impl FnOnce(&mut TcpOptions) + Send) -> String {
    alone(|| {
        let mut ends = Ends::new([open(change), open(|_| {})]);
        let to = address(ends.all[B].end.local_addr());
        let endpoint = ends.all[A].end.connect(&to).expect("an address");
        let reason = ends.end_of(A, endpoint);
        let EndReason::NotAdmitted(why) = reason else {
            panic!("another reason: {reason}");
        };
        while ends.all[B].end.strangers().refused == 0 {
            ends.turn();
        }
        assert!(ends.all[B].told.is_empty(), "{:?}", ends.all[B].told);
        why
    })
}

#[test]
fn another_secret_or_job_is_told_to_who_connects_and_to_nobody_else() {
    let why = not_admitted(|options| options.secret = Some(Secret::new([8; 32])));
    assert!(why.contains("another secret"), "{why}");
    let why = not_admitted(|options| options.secret = None);
    assert!(why.contains("another secret"), "{why}");
    let why = not_admitted(|options| options.identity.job = [2; 16]);
    assert!(why.contains("another job"), "{why}");
}

#[test]
fn another_version_is_told_to_both() {
    alone(|| {
        // Who connects hears which version there is.
        let mut end = open(|_| {});
        let mut older = TcpStream::connect(end.local_addr()).expect("it listens");
        let (initiator, mut hello) = Initiator::new(identity(), Integrity::Mac, Some(&SECRET));
        hello[3] = 0;
        older.write_all(&hello).expect("room");
        let told = until_closed(&mut end, &mut older, || 0);
        assert_eq!(&told[..4], b"msr\x01");
        assert_eq!(end.strangers().refused, 1);
        let told = <[u8; ANSWER_BYTES]>::try_from(&*told).expect("an answer");
        assert!(initiator.read(&told).is_err());

        // Who hears of another version ends with both.
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = address(server.local_addr().expect("bound"));
        let mut ends = Ends::new([end]);
        let endpoint = ends.all[A].end.connect(&to).expect("an address");
        let (mut newer, _) = server.accept().expect("it connects");
        let mut answer = [0; ANSWER_BYTES];
        answer[..4].copy_from_slice(b"msr\x09");
        newer.write_all(&answer).expect("room");
        let reason = ends.end_of(A, endpoint).to_string();
        assert!(
            reason.contains("version 9") && reason.contains('1'),
            "{reason}"
        );
    });
}

#[test]
fn a_server_of_something_else_is_told_apart() {
    alone(|| {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = address(server.local_addr().expect("bound"));
        let mut ends = Ends::new([open(|_| {})]);
        // Longer than any answer, shorter, and none at all.
        for words in [
            &[b'x'; 100_000][..],
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"",
        ] {
            let endpoint = ends.all[A].end.connect(&to).expect("an address");
            let (mut there, _) = server.accept().expect("it connects");
            there.write_all(words).expect("room");
            drop(there);
            match ends.end_of(A, endpoint) {
                EndReason::NotAdmitted(why) => assert!(why.contains("no hello"), "{why}"),
                EndReason::PeerGone(_) => {}
                other => panic!("{other}"),
            }
        }
    });
}

/// The first message of a client of TLS 1.2.
const CLIENT_HELLO: &[u8] =
    b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    \x00\x00\x02\xc0\x2f\x01\x00\x00\x00";

/// A socket that is connected from an address of its own: one alone has no 10,000 ports free for long.
fn connected(n: u64, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    let from = Ipv4Addr::new(127, 0, 1 + (n % 50) as u8, 1);
    bind(&socket, &SocketAddr::from((from, 0)))?;
    connect(&socket, &to)?;
    // Closing it leaves nothing behind.
    set_socket_linger(&socket, Some(Duration::ZERO))?;
    Ok(socket.into())
}

/// One stranger of kind `n`; the connection, if it stays.
fn stranger(n: u64, to: SocketAddr) -> std::io::Result<Option<TcpStream>> {
    let mut socket = connected(n, to)?;
    let hello = |secret: &Secret, change: fn(&mut Identity)| {
        let mut who = identity();
        change(&mut who);
        Initiator::new(who, Integrity::Mac, Some(secret)).1
    };
    let words = match n % 10 {
        0 => crate::ends::pattern(300, n),
        // Half-open, for as long as it is let.
        1 => return Ok(Some(socket)),
        2 => b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n".to_vec(),
        3 => CLIENT_HELLO.to_vec(),
        // Slow, for as long as it is let.
        4 => {
            socket.write_all(b"m")?;
            return Ok(Some(socket));
        }
        // A frame of 4 GiB for whoever reads it before a hello.
        5 => [&b"msr\x01\x01\x00\x00\x00\xff\xff\xff\xff"[..], &[0; 52]].concat(),
        6 => hello(&Secret::new([9; 32]), |_| {}).to_vec(),
        7 => hello(&SECRET, |who| who.job = [3; 16]).to_vec(),
        8 => hello(&SECRET, |_| {})[..50].to_vec(),
        // Gone at once.
        _ => return Ok(None),
    };
    // It may have been turned away already.
    let _outcome = socket.write_all(&words);
    Ok((n % 10 == 8).then_some(socket))
}

/// Bytes that this process has in memory.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: u64| pages * rustix::param::page_size() as u64)
}

#[test]
fn ten_thousand_strangers_leave_a_good_pair_as_it_is() {
    const COUNT: u64 = 10_000;
    /// Connections that the strangers keep.
    const KEPT: usize = 2 * MAX_STRANGERS;
    alone(|| {
        let mut ends = Ends::new([open(|_| {}), open(|_| {})]);
        let (to_b, to_a) = ends.connect(A, B);
        let mut pair = Pair { ends, to_b, to_a };
        let to = pair.ends.all[B].end.local_addr();
        let before_bytes = resident_bytes();
        let (is_over, exchanged) = (AtomicBool::new(false), AtomicU64::new(0));
        let mut rounds = 0_u64;
        std::thread::scope(|scope| {
            let strangers = scope.spawn(|| {
                let mut kept: VecDeque<TcpStream> = VecDeque::new();
                for n in 0..COUNT {
                    let one = stranger(n, to);
                    kept.extend(one.unwrap_or_else(|error| panic!("stranger {n}: {error}")));
                    if kept.len() > KEPT {
                        kept.pop_front();
                    }
                    // Slow ones say a little more.
                    if let Some(slow) = kept.get_mut(n as usize % KEPT) {
                        let _outcome = slow.write(b"s");
                    }
                }
                is_over.store(true, Ordering::Release);
                // Half of the messages come while the last strangers are there.
                while exchanged.load(Ordering::Acquire) < 200 {
                    std::thread::yield_now();
                }
            });
            while !is_over.load(Ordering::Acquire) || exchanged.load(Ordering::Relaxed) < 200 {
                let message = Message::copied(&rounds.to_le_bytes());
                pair.send(message.clone());
                assert_eq!(pair.ends.message(B), (pair.to_a, message.clone()));
                pair.ends
                    .post(B, pair.to_a, WorkRequest::Send(message.clone()), None);
                assert_eq!(pair.ends.message(A), (pair.to_b, message));
                rounds += 1;
                assert!(pair.ends.all[B].end.strangers().now() <= MAX_STRANGERS as u64);
                if is_over.load(Ordering::Acquire) {
                    exchanged.fetch_add(1, Ordering::AcqRel);
                }
                let grown_bytes = resident_bytes().saturating_sub(before_bytes);
                assert!(grown_bytes < 64 << 20, "{grown_bytes} bytes more");
            }
            strangers.join().expect("the strangers");
        });
        loop {
            let counts = pair.ends.all[B].end.strangers();
            if counts.came == COUNT + 1 && counts.now() == 0 {
                assert_eq!((counts.admitted, counts.out_of_files), (1, 0), "{counts:?}");
                // Kinds 0, 2, 3, 5, 6 and 7, but for those that were gone before they were heard.
                assert!(counts.refused > COUNT / 3, "{counts:?}");
                println!("{rounds} rounds of the good pair; {counts:?}");
                break;
            }
            pair.ends.turn();
        }
        assert!(pair.ends.all.iter().all(|one| one.told.is_empty()));
    });
}

#[test]
fn a_repeated_hello_opens_nothing() {
    alone(|| {
        let mut end = open(|_| {});
        let (_, hello) = Initiator::new(identity(), Integrity::Mac, Some(&SECRET));
        let mut first = TcpStream::connect(end.local_addr()).expect("it listens");
        first.write_all(&hello).expect("room");
        let mut again = TcpStream::connect(end.local_addr()).expect("it listens");
        again.write_all(&hello).expect("room");
        // Whoever saw the hello has no key for a frame: made-up ones end the connection.
        again.write_all(&[0x6d; 64]).expect("room");
        let mut ends = Ends::new([end]);
        let ended = ends.until(A, |event| match event {
            maser_transport::Event::Ended { reason, .. } => Some(reason.clone()),
            maser_transport::Event::Message { .. } => panic!("a message of nobody"),
            _ => None,
        });
        assert!(matches!(ended, EndReason::Corrupt(_)), "{ended}");
        end = ends.take(A);
        assert_eq!(end.strangers().admitted, 2);
    });
}
