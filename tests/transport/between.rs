//! Somebody on the way between two ends of TCP: what it can read, and what comes of what it changes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use maser_tests::alone;
use maser_transport::tcp::TcpTransport;
use maser_transport::wire::handshake::HELLO_BYTES;
use maser_transport::wire::{HEADER_BYTES, Integrity, Secret};
use maser_transport::{
    Address, EndReason, Endpoint, Event, Message, Transport, TransportKind, WorkRequest,
};

use crate::ends::{A, B, Ends};
use crate::tcp::options;

const SECRET: Secret = Secret::new([7; 32]);

/// The address of a socket.
pub fn address(of: SocketAddr) -> Address {
    Address::new(TransportKind::Tcp, of.to_string()).expect("short")
}

fn open(integrity: Integrity) -> TcpTransport {
    TcpTransport::open(options(Some(SECRET), integrity)).expect("a port of loopback")
}

/// Two ends, and who is between them.
struct Between {
    ends: Ends<TcpTransport>,
    to_b: Endpoint,
    /// Towards the first, and towards the second.
    sides: [TcpStream; 2],
}

/// Bytes of one direction, as they came; what is left in it goes on.
type Passing<'a> = &'a mut dyn FnMut(usize, &mut Vec<u8>);

fn unchanged(_: usize, _: &mut Vec<u8>) {}

impl Between {
    /// The first connects, and nothing passes yet.
    fn begin(integrity: [Integrity; 2]) -> Self {
        let mut ends = Ends::new(integrity.map(open));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let here = address(listener.local_addr().expect("bound"));
        let to_b = ends.all[A].end.connect(&here).expect("an address");
        let (from_a, _) = listener.accept().expect("it connects");
        let to = TcpStream::connect(ends.all[B].end.local_addr()).expect("it listens");
        let sides = [from_a, to];
        for side in &sides {
            side.set_nonblocking(true).expect("a socket");
            side.set_nodelay(true).expect("a socket");
        }
        Self { ends, to_b, sides }
    }

    /// Both know each other.
    fn new(integrity: [Integrity; 2]) -> Self {
        let mut between = Self::begin(integrity);
        between.until(&mut unchanged, |ends| {
            ends.all.iter().all(|one| !one.told.is_empty())
        });
        let [a, b] = [A, B].map(|at| between.ends.all[at].told.pop_front());
        assert!(matches!(a, Some(Event::Connected { .. })), "{a:?}");
        assert!(matches!(b, Some(Event::Accepted { .. })), "{b:?}");
        between
    }

    /// Polls both, and passes on what came: from the first (0), and from the second (1).
    fn turn(&mut self, passing: Passing<'_>) {
        self.ends.turn();
        for (from, to) in [(0, 1), (1, 0)] {
            let mut bytes = vec![0; 1 << 16];
            match self.sides[from].read(&mut bytes) {
                Ok(count) => bytes.truncate(count),
                Err(_) => continue,
            }
            if bytes.is_empty() {
                // It is over; the other side is told.
                let _outcome = self.sides[to].shutdown(std::net::Shutdown::Write);
                continue;
            }
            passing(from, &mut bytes);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match self.sides[to].write(rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.ends.turn(),
                    Err(_) => break,
                }
            }
        }
    }

    fn until(&mut self, passing: Passing<'_>, mut is_so: impl FnMut(&Ends<TcpTransport>) -> bool) {
        while !is_so(&self.ends) {
            self.turn(passing);
        }
    }

    fn send(&mut self, text: &[u8]) {
        let request = WorkRequest::Send(Message::copied(text));
        self.ends.post(A, self.to_b, request, None);
    }

    /// What the second was told by the end of the connection, and why that came.
    fn end_of_b(&mut self, passing: Passing<'_>) -> (Vec<Event>, EndReason) {
        self.until(passing, |ends| {
            matches!(ends.all[B].told.back(), Some(Event::Ended { .. }))
        });
        let mut told = Vec::from(std::mem::take(&mut self.ends.all[B].told));
        match told.pop() {
            Some(Event::Ended { reason, .. }) => (told, reason),
            other => panic!("{other:?}"),
        }
    }

    /// The second ends as corrupt and was told `before` until then; the first hears of an end as well.
    fn is_corrupt(&mut self, before: &[&[u8]], passing: Passing<'_>) {
        let (told, reason) = self.end_of_b(passing);
        assert!(matches!(reason, EndReason::Corrupt(_)), "{reason}");
        let told: Vec<_> = told.iter().map(bytes_of).collect();
        assert_eq!(told, before);
        self.until(&mut unchanged, |ends| {
            matches!(ends.all[A].told.back(), Some(Event::Ended { .. }))
        });
    }
}

fn bytes_of(event: &Event) -> &[u8] {
    match event {
        Event::Message { message, .. } | Event::Control { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn control_messages_are_read_by_nobody_on_the_way_and_data_as_was_chosen() {
    const DATA: &[u8] = b"what a message says";
    const KEY: &[u8] = b"the key of a region";
    use Integrity::{Aead, Mac, None};
    alone(|| {
        for (integrity, is_read) in [
            ([None, None], true),
            ([None, Mac], false),
            ([Mac, None], false),
            ([Aead, Aead], false),
        ] {
            let mut between = Between::new(integrity);
            let mut seen = Vec::new();
            between.send(DATA);
            let control = WorkRequest::Control(Message::copied(KEY));
            between.ends.post(A, between.to_b, control, Option::None);
            let mut passing = |from, bytes: &mut Vec<u8>| {
                if from == 0 {
                    seen.extend_from_slice(bytes);
                }
            };
            between.until(&mut passing, |ends| ends.all[B].told.len() == 2);
            let told = &between.ends.all[B].told;
            assert_eq!([bytes_of(&told[0]), bytes_of(&told[1])], [DATA, KEY]);
            assert_eq!(contains(&seen, DATA), is_read, "{integrity:?}");
            assert!(!contains(&seen, KEY), "{integrity:?}");
            assert!(seen.len() >= 2 * HEADER_BYTES);
        }
    });
}

#[test]
fn a_frame_that_is_changed_on_the_way_ends_the_connection() {
    alone(|| {
        // The kind, the flags, the length, the argument, the call, the offset, the tag, and the payload.
        for place in [4, 5, 8, 10, 12, 20, 47, 48, 63, 64, 70] {
            let mut between = Between::new([Integrity::Mac; 2]);
            between.send(b"payload");
            let mut is_done = false;
            between.is_corrupt(&[], &mut |from, bytes| {
                if from == 0 && !std::mem::replace(&mut is_done, true) {
                    bytes[place] ^= 1;
                    // A length that says more waits for more, as long as its peer lives.
                    bytes.resize(bytes.len() + (2 << 20), 0);
                }
            });
        }
    });
}

#[test]
fn a_frame_that_is_repeated_left_out_or_overtaken_ends_the_connection() {
    alone(|| {
        let frame = HEADER_BYTES + 3;
        let mut between = Between::new([Integrity::Mac; 2]);
        between.send(b"one");
        between.is_corrupt(&[b"one"], &mut |from, bytes| {
            if from == 0 {
                bytes.extend_from_within(..frame);
            }
        });

        // The first of two that come together is not there, or is the second.
        let changes: [fn(&mut Vec<u8>); 2] = [
            |bytes| drop(bytes.drain(..HEADER_BYTES + 3)),
            |bytes| bytes.rotate_left(HEADER_BYTES + 3),
        ];
        for change in changes {
            let mut between = Between::new([Integrity::Mac; 2]);
            between.send(b"one");
            between.send(b"two");
            let mut kept = Vec::new();
            between.is_corrupt(&[], &mut |from, bytes| {
                if from == 0 && kept.len() < 2 * frame {
                    kept.append(bytes);
                    if kept.len() == 2 * frame {
                        change(&mut kept);
                        bytes.append(&mut kept);
                        kept = vec![0; 2 * frame];
                    }
                }
            });
        }
    });
}

#[test]
fn a_control_message_that_is_repeated_ends_the_connection_where_data_is_in_clear() {
    alone(|| {
        let mut between = Between::new([Integrity::None; 2]);
        let control = WorkRequest::Control(Message::copied(b"once"));
        between.ends.post(A, between.to_b, control, None);
        between.is_corrupt(&[b"once"], &mut |from, bytes| {
            if from == 0 {
                bytes.extend_from_within(..);
            }
        });
    });
}

#[test]
fn what_an_end_said_does_not_pass_for_its_peers_words() {
    alone(|| {
        let mut between = Between::new([Integrity::Mac; 2]);
        between.send(b"one");
        // It comes back to who said it.
        while !matches!(between.ends.all[A].told.back(), Some(Event::Ended { .. })) {
            between.ends.turn();
            let mut bytes = [0; 256];
            if let Ok(count) = between.sides[0].read(&mut bytes) {
                let _outcome = between.sides[0].write_all(&bytes[..count]);
            }
        }
        let told = between.ends.all[A].told.pop_back();
        assert!(
            matches!(
                &told,
                Some(Event::Ended {
                    reason: EndReason::Corrupt(_),
                    ..
                })
            ),
            "{told:?}"
        );
    });
}

#[test]
fn what_is_asked_for_cannot_be_changed_on_the_way() {
    alone(|| {
        let mut between = Between::begin([Integrity::Mac, Integrity::None]);
        let mut is_done = false;
        let mut passing = |from, bytes: &mut Vec<u8>| {
            if from == 0 && !std::mem::replace(&mut is_done, true) {
                assert_eq!(bytes.len(), HELLO_BYTES);
                assert_eq!(bytes[5], Integrity::Mac as u8);
                bytes[5] = Integrity::None as u8;
            }
        };
        between.until(&mut passing, |ends| !ends.all[A].told.is_empty());
        let told = between.ends.all[A].told.pop_front();
        assert!(
            matches!(
                &told,
                Some(Event::Ended {
                    reason: EndReason::NotAdmitted(_),
                    ..
                })
            ),
            "{told:?}"
        );
        assert!(between.ends.all[B].told.is_empty());
    });
}

#[test]
fn a_server_that_is_no_peer_hears_a_hello_and_no_more() {
    alone(|| {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut ends = Ends::new([open(Integrity::Mac)]);
        let to = address(server.local_addr().expect("bound"));
        let endpoint = ends.all[A].end.connect(&to).expect("an address");
        let request = WorkRequest::Send(Message::copied(b"for the peer alone"));
        ends.post(A, endpoint, request, None);
        let (mut there, _) = server.accept().expect("it connects");
        // A welcome that anybody could make up.
        let mut answer = [0x77; 88];
        answer[..8].copy_from_slice(b"msr\x01\0\0\0\0");
        there.write_all(&answer).expect("room");
        let reason = ends.end_of(A, endpoint);
        assert!(matches!(reason, EndReason::NotAdmitted(_)), "{reason}");
        let mut heard = Vec::new();
        // It may end by a reset.
        let _outcome = there.read_to_end(&mut heard);
        assert_eq!(heard.len(), HELLO_BYTES);
    });
}
