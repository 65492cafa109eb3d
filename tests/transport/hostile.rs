//! Peers that were admitted, and say what makes no sense, or do not listen.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use maser_tests::alone;
use maser_transport::tcp::TcpTransport;
use maser_transport::wire::handshake::{ANSWER_BYTES, Initiator, Session};
use maser_transport::wire::{
    CallId, Flags, FrameHeader, FrameKind, HEADER_BYTES, Integrity, MAX_PAYLOAD_BYTES, Secret,
};
use maser_transport::{
    Access, EndReason, Endpoint, Event, HeapMemory, MemoryRegion, Refusal, Transport, WorkRequest,
};

use crate::ends::{A, Alive, Ends};
use crate::strangers::resident_bytes;
use crate::tcp::options;

const SECRET: Secret = Secret::new([7; 32]);
const PEER_TIMEOUT: Duration = Duration::from_secs(900);

/// An end, and its peer that follows no rules.
struct Hostile {
    ends: Ends<TcpTransport>,
    endpoint: Endpoint,
    socket: TcpStream,
    session: Session,
    inbox: Vec<u8>,
}

/// Both ways in which frames travel.
const WAYS: [Integrity; 2] = [Integrity::None, Integrity::Mac];

impl Hostile {
    fn new(integrity: Integrity) -> Self {
        // Where data is in clear, so is everything: what is sealed is found out by its seal.
        let secret = (integrity != Integrity::None).then_some(SECRET);
        Self::with(integrity, secret)
    }

    fn with(integrity: Integrity, secret: Option<Secret>) -> Self {
        let mut options = options(secret.clone(), integrity);
        options.peer_timeout = PEER_TIMEOUT;
        let identity = options.identity;
        let end = TcpTransport::open(options).expect("a port of loopback");
        let mut socket = TcpStream::connect(end.local_addr()).expect("it listens");
        let (initiator, hello) = Initiator::new(identity, integrity, secret.as_ref());
        socket.write_all(&hello).expect("room");
        socket.set_nonblocking(true).expect("a socket");
        let mut ends = Ends::new([end]);
        let endpoint = ends.until(A, |event| match event {
            Event::Accepted { endpoint } => Some(*endpoint),
            _ => None,
        });
        let mut answer = [0; ANSWER_BYTES];
        while socket.peek(&mut answer).ok() != Some(ANSWER_BYTES) {
            ends.turn();
        }
        socket.read_exact(&mut answer).expect("it is there");
        let session = initiator.read(&answer).expect("admitted");
        Self {
            ends,
            endpoint,
            socket,
            session,
            inbox: Vec::new(),
        }
    }

    /// A frame as it travels.
    fn frame(&mut self, mut header: FrameHeader, payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        if self.session.sealed.covers(header.kind) {
            self.session.sealer.seal(&mut header, &mut payload);
        }
        [&header.to_wire()[..], &payload].concat()
    }

    /// Says it while the end listens.
    fn say(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.ends.turn(),
                // The end has heard enough.
                Err(_) => return,
            }
        }
    }

    fn say_frame(&mut self, header: FrameHeader, payload: &[u8]) {
        let frame = self.frame(header, payload);
        self.say(&frame);
    }

    /// The next frame of the end, opened.
    fn hear(&mut self) -> (FrameHeader, Vec<u8>) {
        loop {
            if let Some((wire, behind)) = self.inbox.split_first_chunk::<HEADER_BYTES>() {
                let header = FrameHeader::from_wire(wire).expect("a header");
                if let Some(payload) = behind.get(..header.payload_bytes as usize) {
                    let mut payload = payload.to_vec();
                    self.inbox.drain(..HEADER_BYTES + payload.len());
                    if self.session.sealed.covers(header.kind) {
                        let opened = self.session.opener.open(&header, &mut payload);
                        opened.expect("authentic");
                    }
                    return (header, payload);
                }
            }
            self.ends.turn();
            let mut bytes = [0; 1 << 16];
            if let Ok(count) = self.socket.read(&mut bytes) {
                assert_ne!(count, 0, "the end closed it");
                self.inbox.extend_from_slice(&bytes[..count]);
            }
        }
    }

    /// Why the end gave it up.
    fn end(&mut self) -> EndReason {
        self.ends.end_of(A, self.endpoint)
    }

    fn is_corrupt(&mut self, why: &str) {
        let reason = self.end();
        let is_it = matches!(&reason, EndReason::Corrupt(found) if found.contains(why));
        assert!(is_it, "{reason}, not {why}");
    }

    fn region(&mut self, bytes: usize, access: Access) -> (MemoryRegion, u64) {
        let memory = Arc::new(HeapMemory::new(bytes));
        let end = &mut self.ends.all[A].end;
        let region = end.register(memory, access).expect("registered");
        // The only one there is.
        (region, 1)
    }
}

fn of_call(kind: FrameKind, bytes: usize, sequence: u64) -> FrameHeader {
    let mut header = FrameHeader::new(kind, bytes as u32);
    header.call = CallId { epoch: 1, sequence };
    header
}

#[test]
fn bytes_that_are_no_frame_end_the_connection() {
    let good = FrameHeader::new(FrameKind::Message, 1).to_wire();
    let with = |at: usize, bytes: &[u8]| {
        let mut wire = good;
        wire[at..at + bytes.len()].copy_from_slice(bytes);
        wire
    };
    let too_long = (MAX_PAYLOAD_BYTES + 1).to_le_bytes();
    let cases = [
        (with(0, b"GET "), "begins with"),
        (with(3, &[9]), "version 9"),
        (with(4, &[0]), "kind 0"),
        (with(4, &[13]), "kind 13"),
        (with(4, &[255]), "kind 255"),
        (with(5, &[0xf0]), "mean nothing"),
        (with(7, &[1]), "mean nothing"),
        (with(8, &too_long), "at most"),
        (with(8, &[0xff; 4]), "at most"),
    ];
    alone(|| {
        for way in WAYS {
            for (wire, why) in &cases {
                let mut hostile = Hostile::new(way);
                hostile.say(wire);
                hostile.is_corrupt(why);
            }
        }
    });
}

#[test]
fn frames_that_make_no_sense_end_the_connection() {
    let cases: [(FrameHeader, &[u8], &str); 8] = [
        (of_call(FrameKind::Done, 0, 1), b"", "not open"),
        (of_call(FrameKind::Done, 0, u64::MAX), b"", "not open"),
        (of_call(FrameKind::Failed, 3, 1), b"why", "not open"),
        (of_call(FrameKind::Data, 3, 1), b"why", "nobody asked"),
        (of_call(FrameKind::Get, 0, 1), b"", "length of a get"),
        (
            of_call(FrameKind::Get, 9, 1),
            b"123456789",
            "length of a get",
        ),
        (
            of_call(FrameKind::FetchAdd, 7, 1),
            b"1234567",
            "what is added",
        ),
        (of_call(FrameKind::FetchAdd, 0, 1), b"", "what is added"),
    ];
    alone(|| {
        for way in WAYS {
            for (header, payload, why) in &cases {
                let mut hostile = Hostile::new(way);
                hostile.say_frame(*header, payload);
                hostile.is_corrupt(why);
            }
        }
    });
}

#[test]
fn requests_for_what_there_is_not_fail_and_touch_nothing() {
    alone(|| {
        for way in WAYS {
            let mut hostile = Hostile::new(way);
            let (region, number) = hostile.region(4096, Access::READ | Access::WRITE);
            let word = 8_u64.to_le_bytes();
            let mut call = 0;
            let mut request = |kind, bytes, region, offset| {
                call += 1;
                let mut header = of_call(kind, bytes, call);
                (header.region, header.offset) = (region, offset);
                header
            };
            for (header, payload) in [
                (request(FrameKind::Put, 8, number, 4089), word),
                (request(FrameKind::Put, 8, number, u64::MAX - 3), word),
                (request(FrameKind::Put, 8, number + 1, 0), word),
                (request(FrameKind::Put, 8, 0, 0), word),
                (request(FrameKind::Get, 8, number, 4090), word),
                (request(FrameKind::Get, 8, number, 1), [0xff; 8]),
                (request(FrameKind::Get, 8, u64::MAX, 1), word),
                (request(FrameKind::FetchAdd, 8, number, 0), word),
            ] {
                hostile.say_frame(header, &payload);
                let (answer, why) = hostile.hear();
                assert_eq!((answer.kind, answer.call), (FrameKind::Failed, header.call));
                assert!(!why.is_empty());
                hostile.say_frame(of_call(FrameKind::Flush, 0, 100), b"");
                assert_eq!(hostile.hear().0.kind, FrameKind::Done);
            }
            assert_eq!(crate::ends::bytes_of(&region), [0; 4096]);
        }
    });
}

#[test]
fn a_stream_that_breaks_off_anywhere_is_an_end_and_half_a_message_is_none() {
    alone(|| {
        for way in WAYS {
            let frames = |hostile: &mut Hostile| {
                let mut part = FrameHeader::new(FrameKind::Message, 20);
                part.flags |= Flags::MORE;
                let mut stream = hostile.frame(part, &[1; 20]);
                stream.extend(hostile.frame(FrameHeader::new(FrameKind::Ping, 0), b""));
                stream.extend(hostile.frame(FrameHeader::new(FrameKind::Message, 20), &[2; 20]));
                stream
            };
            let whole = frames(&mut Hostile::new(way)).len();
            for cut in (0..whole).step_by(9) {
                let mut hostile = Hostile::new(way);
                let stream = frames(&mut hostile);
                hostile.say(&stream[..cut]);
                hostile
                    .socket
                    .shutdown(std::net::Shutdown::Write)
                    .expect("open");
                let reason = hostile.end();
                assert!(matches!(reason, EndReason::PeerGone(_)), "{cut}: {reason}");
                let told = &hostile.ends.all[A].told;
                assert!(told.is_empty(), "{cut} bytes: {told:?}");
            }
        }
    });
}

#[test]
fn frames_after_a_close_are_not_heard() {
    alone(|| {
        for way in WAYS {
            let mut hostile = Hostile::new(way);
            let mut stream = hostile.frame(FrameHeader::new(FrameKind::Close, 0), b"");
            stream.extend(hostile.frame(FrameHeader::new(FrameKind::Message, 4), b"late"));
            hostile.say(&stream);
            assert_eq!(hostile.end(), EndReason::ClosedByPeer);
            for _ in 0..100 {
                hostile.ends.turn();
            }
            assert!(hostile.ends.all[A].told.is_empty());
        }
    });
}

#[test]
fn a_seal_cannot_be_taken_off_nor_put_on() {
    alone(|| {
        let message = FrameHeader::new(FrameKind::Message, 4);
        let control = FrameHeader::new(FrameKind::Control, 4);
        let ways = [
            (Integrity::Mac, message),
            (Integrity::Mac, control),
            // The ends share a secret.
            (Integrity::None, control),
        ];
        for (way, header) in ways {
            let mut hostile = Hostile::with(way, Some(SECRET));
            hostile.say(&[&header.to_wire()[..], b"bare"].concat());
            hostile.is_corrupt("should not be");
        }
        for secret in [None, Some(SECRET)] {
            let mut hostile = Hostile::with(Integrity::None, secret);
            let mut header = message;
            let mut payload = *b"seal";
            hostile.session.sealer.seal(&mut header, &mut payload);
            hostile.say(&[&header.to_wire()[..], &payload].concat());
            hostile.is_corrupt("should not be");
        }
    });
}

#[test]
fn a_peer_that_stops_reading_makes_its_sender_full_and_is_silent_in_the_end() {
    alone(|| {
        for way in WAYS {
            let mut hostile = Hostile::new(way);
            let alive = Alive::default();
            let before_bytes = resident_bytes();
            let end = &mut hostile.ends.all[A].end;
            let mut now_ns = 0;
            end.advance(now_ns);
            let mut refused = 0;
            let mut ended = None;
            while ended.is_none() {
                // As much as it takes, at any time.
                while refused < 10 {
                    let request = WorkRequest::Send(alive.message(&[7; 256 << 10]));
                    let Err(back) = end.post(hostile.endpoint, request, None) else {
                        continue;
                    };
                    let endpoint = hostile.endpoint;
                    assert_eq!(back.refusal, Refusal::Full { endpoint });
                    refused += 1;
                }
                refused = 0;
                assert!(alive.count() <= 70, "{} messages are kept", alive.count());
                // Bytes of messages, twice because they may be sealed too, and of sockets.
                let grown_bytes = resident_bytes().saturating_sub(before_bytes);
                assert!(grown_bytes < 64 << 20, "{grown_bytes} bytes more");
                now_ns += PEER_TIMEOUT.as_nanos() as u64 / 20;
                end.advance(now_ns);
                for _ in 0..20 {
                    ended = match end.poll() {
                        Some(Event::Ended { reason, .. }) => Some(reason),
                        _ => ended,
                    };
                }
            }
            let ended = ended.expect("it ended");
            assert!(matches!(ended, EndReason::Silent { .. }), "{ended}");
            assert!(now_ns <= PEER_TIMEOUT.as_nanos() as u64 * 3 / 2);
            assert_eq!(alive.count(), 0);
        }
    });
}

#[test]
fn a_peer_that_asks_without_reading_waits_for_itself_and_gets_everything_when_it_reads() {
    const GETS: usize = 30_000;
    const BYTES: usize = 4096;
    alone(|| {
        for way in WAYS {
            let mut hostile = Hostile::new(way);
            let (region, number) = hostile.region(BYTES, Access::READ);
            region.write(0, &[9; BYTES]).expect("within");
            let before_bytes = resident_bytes();
            let mut asked: Vec<u8> = Vec::new();
            for n in 1..=GETS as u64 {
                let mut header = of_call(FrameKind::Get, 8, n);
                header.region = number;
                asked.extend(hostile.frame(header, &(BYTES as u64).to_le_bytes()));
            }
            // Until nothing moves any more.
            let (mut said, mut idle) = (0, 0);
            while idle < 2_000 && said < asked.len() {
                idle += 1;
                if let Ok(count) = hostile.socket.write(&asked[said..]) {
                    said += count;
                    idle = 0;
                }
                hostile.ends.turn();
            }
            let grown_bytes = resident_bytes().saturating_sub(before_bytes);
            assert!(grown_bytes < 64 << 20, "{grown_bytes} bytes more");
            for n in 1..=GETS as u64 {
                if let Ok(count) = hostile.socket.write(&asked[said..]) {
                    said += count;
                }
                let (header, payload) = hostile.hear();
                assert_eq!((header.kind, header.call.sequence), (FrameKind::Data, n));
                assert!(payload == [9; BYTES]);
            }
            assert_eq!(said, asked.len());
        }
    });
}
