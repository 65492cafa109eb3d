//! What is done with bytes that a peer may send: one function for each way in, which takes any bytes.
//!
//! Fuzzers call them ([`tests/fuzz`](../README.md)), and so do the test of mutated frames and the one that
//! replays the corpora. Nothing may panic, nothing may be allocated for a length that is only said, and what
//! is told is checked for sense.

use maser_transport::loopback::{LoopbackTransport, Network};
use maser_transport::protocol::hello::Hello;
use maser_transport::protocol::packet::{PROTOCOL_VERSION, Packet, PacketKind};
use maser_transport::protocol::{Notice, Options, Protocol};
use maser_transport::tcp::{Feed, FeedStage};
use maser_transport::wire::{FrameHeader, HEADER_BYTES, Identity, Role, Secret};
use maser_transport::{
    Access, Address, Event, HeapMemory, MemoryRegion, Message, PutSource, RemoteRegion, Transport,
    WorkRequest,
};
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

/// A way in.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const TARGETS: [(&str, Target); 6] = [
    ("header", header),
    ("forms", forms),
    ("handshake", handshake),
    ("frames", frames),
    ("sealed", sealed),
    ("packets", packets),
];

/// Of the end that is talked to.
pub const IDENTITY: Identity = Identity {
    job: [1; 16],
    node: 1,
    role: Role::Node,
};
/// What it has.
pub const SECRET: Secret = Secret::new([7; 32]);

/// Bytes of a region that may be written.
pub const REGION_BYTES: usize = 4096;
/// What is in one that may be read.
const READABLE: [u8; 64] = [0x77; 64];

/// The header of a frame.
pub fn header(data: &[u8]) {
    let Some(wire) = data.first_chunk::<HEADER_BYTES>() else {
        return;
    };
    if let Ok(header) = FrameHeader::from_wire(wire) {
        assert_eq!(header.to_wire(), *wire);
    }
}

/// Addresses, regions, packets and first words: what is decoded at once.
pub fn forms(data: &[u8]) {
    if let Ok(address) = Address::from_wire(data) {
        assert_eq!(address.to_wire(), data);
    }
    if let Ok(region) = RemoteRegion::from_wire(data) {
        assert_eq!(region.to_wire(), data);
    }
    if let Ok((packet, payload)) = Packet::decode(data) {
        assert!(payload <= data.len(), "{packet:?}");
    }
    if let Ok(hello) = Hello::decode(PacketKind::Hello, data) {
        assert_eq!(hello.encode(), data);
    }
}

/// Feeds `data` in pieces whose lengths its first bytes say; whether the connection lives.
fn in_pieces(feed: &mut Feed, data: &[u8]) -> bool {
    let (cuts, data) = data.split_at(data.len().min(4));
    let mut rest = data.to_vec();
    let mut rest = &mut rest[..];
    for cut in cuts {
        let (piece, behind) = rest.split_at_mut(rest.len().min(usize::from(*cut)));
        if feed.feed(piece).is_err() {
            return false;
        }
        rest = behind;
    }
    feed.feed(rest).is_ok()
}

/// Hellos and answers of strangers.
pub fn handshake(data: &[u8]) {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let stage = match first % 2 {
        0 => FeedStage::Hello,
        _ => FeedStage::Answer,
    };
    let mut feed = Feed::new(stage, IDENTITY, SECRET).expect("a descriptor");
    in_pieces(&mut feed, data);
    // Nothing is told before who the peer is: that it has the secret.
    let first = feed.events().next();
    let is_peer = matches!(
        first,
        None | Some(Event::Accepted { .. } | Event::Connected { .. })
    );
    assert!(is_peer, "a stranger made it tell {first:?}");
}

/// A connection that is fed, and what frames can be about.
struct Fed {
    feed: Feed,
    writable: MemoryRegion,
    readable: MemoryRegion,
    tokens: HashSet<u64>,
}

impl Fed {
    fn new(stage: FeedStage) -> Self {
        let mut feed = Feed::new(stage, IDENTITY, SECRET).expect("a descriptor");
        let writable = feed.register(Arc::new(HeapMemory::new(REGION_BYTES)), Access::all());
        let readable = feed.register(Arc::new(HeapMemory::new(READABLE.len())), Access::READ);
        readable.write(0, &READABLE).expect("within");
        Self {
            feed,
            writable,
            readable,
            tokens: HashSet::new(),
        }
    }

    /// As it was, with calls that are open: a put, a get, an addition and a flush.
    fn restart(&mut self) {
        self.feed.restart();
        self.tokens.clear();
        let remote = self.writable.remote();
        let word = remote.slice(0..8).expect("within");
        let requests = [
            WorkRequest::Put {
                from: PutSource::Bytes(Message::copied(b"8 bytes.")),
                to: word.clone(),
                signal: None,
            },
            WorkRequest::Get {
                from: remote.slice(0..64).expect("within"),
                to: self.writable.slice(64..128).expect("within"),
            },
            WorkRequest::FetchAdd { at: word, add: 1 },
            WorkRequest::Flush,
        ];
        for (token, request) in (1..).zip(requests) {
            self.feed.post(request, Some(token)).expect("room for four");
            self.tokens.insert(token);
        }
        // They have left.
        assert!(self.feed.feed(&mut []).is_ok());
    }

    /// What was told makes sense, and nothing was written that may only be read.
    fn check(&mut self, fed_bytes: usize) {
        for event in self.feed.events() {
            match event {
                Event::Message { message, .. } | Event::Control { message, .. } => {
                    assert!(message.len() <= fed_bytes, "more than there was");
                }
                Event::Completed(completion) => {
                    let was_open = self.tokens.remove(&completion.token);
                    assert!(was_open, "completed twice, or never asked: {completion:?}");
                }
                Event::Signal { .. } => {}
                other => panic!("a frame made it tell {other:?}"),
            }
        }
        let mut bytes = [0; READABLE.len()];
        self.readable.read(0, &mut bytes).expect("within");
        assert!(bytes == READABLE, "a region was written");
    }
}

thread_local! {
    static OPEN: RefCell<Fed> = RefCell::new(Fed::new(FeedStage::Open));
    static SEALED: RefCell<Fed> = RefCell::new(Fed::new(FeedStage::Sealed));
}

/// Frames of a peer, in clear.
pub fn frames(data: &[u8]) {
    OPEN.with_borrow_mut(|fed| {
        fed.restart();
        in_pieces(&mut fed.feed, data);
        fed.check(data.len());
    });
}

/// Frames of a peer that has the key: every one is sealed as it is. And bytes that nobody sealed.
pub fn sealed(data: &[u8]) {
    SEALED.with_borrow_mut(|fed| {
        fed.restart();
        let mut sealer = fed.feed.sealer();
        let (mut rest, mut stream) = (data, data[..data.len().min(4)].to_vec());
        while let Some((wire, behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let Ok(mut header) = FrameHeader::from_wire(wire) else {
                break;
            };
            let (payload, behind) =
                behind.split_at(behind.len().min(header.payload_bytes as usize));
            if payload.len() == header.payload_bytes as usize {
                let mut payload = payload.to_vec();
                sealer.seal(&mut header, &mut payload);
                stream.extend_from_slice(&header.to_wire());
                stream.extend_from_slice(&payload);
            } else {
                stream.extend_from_slice(wire);
                stream.extend_from_slice(payload);
            }
            rest = behind;
        }
        stream.extend_from_slice(rest);
        in_pieces(&mut fed.feed, &stream);
        fed.check(stream.len());
    });
}

/// Packets of a peer of the protocols: each behind its length, a u16, and behind a good first word unless the
/// first byte is odd.
pub fn packets(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else {
        return;
    };
    let network = Network::new();
    let transport = LoopbackTransport::open(&network);
    // What a peer only says that it will send is made room for within these.
    let options = Options {
        window_bytes: 1 << 20,
        max_fetched_bytes: 1 << 20,
        ..Options::new(1, transport.kind(), &transport.limits())
    };
    let Ok(mut end) = Protocol::with(transport, options) else {
        unreachable!("the options are good");
    };
    let mut peer = LoopbackTransport::open(&network);
    let Ok(endpoint) = peer.connect(&end.transport().address()) else {
        unreachable!("it is there");
    };
    let mut say = |end: &mut Protocol<_>, message: Message| {
        // Refused when it was turned away, or has said enough.
        let _outcome = peer.post(endpoint, WorkRequest::Send(message), None);
        while let Some(notice) = end.poll() {
            match notice {
                Notice::Call { payload, .. } | Notice::Message { payload, .. } => {
                    assert!(payload.len() <= data.len(), "more than there was");
                }
                Notice::Reply { .. } | Notice::Fetched { .. } => {
                    panic!("told of something that nobody asked for")
                }
                _ => {}
            }
        }
        while peer.poll().is_some() {}
    };
    if first.is_multiple_of(2) {
        let hello = Hello {
            epoch: 2,
            session: 1,
            attempt: 1,
            messages: 100,
            bytes: 1 << 20,
            ..Hello::default()
        };
        say(&mut end, first_word(&hello));
    }
    while let Some((bytes, behind)) = rest.split_first_chunk::<2>() {
        let bytes = usize::from(u16::from_le_bytes(*bytes)).min(behind.len());
        let (packet, behind) = behind.split_at(bytes);
        say(&mut end, Message::copied(packet));
        rest = behind;
    }
    let far_ns = 3_600_000_000_000;
    end.advance(far_ns);
    while end.poll().is_some() {}
}

/// A peer's first word.
fn first_word(hello: &Hello) -> Message {
    let mut wire = vec![0; 24];
    wire[..4].copy_from_slice(&(56_u32 << 8).to_le_bytes());
    wire[0] = PacketKind::Hello as u8;
    wire[4..8].copy_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    wire.extend_from_slice(&hello.encode());
    wire.into()
}
