//! Streams that are right, and what may become of them.

use maser_transport::protocol::packet::PacketKind;
use maser_transport::wire::handshake::Initiator;
use maser_transport::wire::{
    CallId, Flags, FrameHeader, FrameKind, HEADER_BYTES, Integrity, MAX_PAYLOAD_BYTES,
};

use crate::targets::{IDENTITY, REGION_BYTES, SECRET};

/// What a stream is made of.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Four lengths of pieces, then frames.
    Frames,
    /// One header.
    Header,
    /// A stage, four lengths of pieces, a hello or an answer, and a frame.
    Hello,
    /// How it begins, then packets behind their lengths.
    Packets,
    /// An address or a region.
    Forms,
}

/// Random numbers, and streams made of them.
pub struct Mutator(u64);

/// Numbers at which something changes.
const EDGES: [u64; 12] = [
    0,
    1,
    7,
    8,
    64,
    REGION_BYTES as u64 - 1,
    REGION_BYTES as u64,
    MAX_PAYLOAD_BYTES as u64,
    MAX_PAYLOAD_BYTES as u64 + 1,
    u32::MAX as u64,
    u64::MAX - 7,
    u64::MAX,
];

const KINDS: [FrameKind; 12] = [
    FrameKind::Message,
    FrameKind::Put,
    FrameKind::Get,
    FrameKind::Data,
    FrameKind::FetchAdd,
    FrameKind::Flush,
    FrameKind::Done,
    FrameKind::Failed,
    FrameKind::Ping,
    FrameKind::Pong,
    FrameKind::Close,
    FrameKind::Control,
];

impl Mutator {
    /// What it makes depends on the seed alone.
    pub fn new(seed: u64) -> Self {
        let mut mutator = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        mutator.next();
        mutator
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One of `count` numbers.
    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    fn number(&mut self) -> u64 {
        match self.below(3) {
            0 => EDGES[self.below(EDGES.len())],
            1 => self.below(6) as u64,
            _ => self.next() >> self.below(64),
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// How many frames or the like it has, and the stream. Three of four are changed.
    pub fn stream(&mut self, shape: Shape) -> (u64, Vec<u8>) {
        let (count, mut stream) = match shape {
            Shape::Frames => {
                let count = 1 + self.below(6);
                let mut stream = self.bytes(4);
                (0..count).for_each(|_| self.frame(&mut stream));
                (count, stream)
            }
            Shape::Header => {
                let header = self.header(self.0 as u32 % 100);
                (1, header.to_wire().to_vec())
            }
            Shape::Hello => (1, self.hello()),
            Shape::Packets => {
                let count = 1 + self.below(6);
                let mut stream = self.bytes(1);
                (1..=count).for_each(|place| self.packet(place as u64, &mut stream));
                (count, stream)
            }
            Shape::Forms => {
                let count = self.below(80);
                let mut form = self.bytes(count);
                if let Some(first) = form.first_mut() {
                    *first %= 8;
                }
                (1, form)
            }
        };
        if self.below(4) != 0 {
            for _ in 0..=self.below(4) {
                self.change(&mut stream);
            }
        }
        (count as u64, stream)
    }

    fn header(&mut self, payload_bytes: u32) -> FrameHeader {
        let mut header = FrameHeader::new(KINDS[self.below(KINDS.len())], payload_bytes);
        match header.kind {
            FrameKind::Put if self.below(3) == 0 => header.flags |= Flags::SIGNAL,
            FrameKind::Put | FrameKind::Message | FrameKind::Data if self.below(3) == 0 => {
                header.flags |= Flags::MORE;
            }
            _ => {}
        }
        header.argument = self.number() as u32;
        header.call = CallId {
            epoch: 1,
            // Of a call that is open, mostly.
            sequence: 1 + self.below(5) as u64,
        };
        header.region = self.below(4) as u64;
        header.offset = self.number();
        header
    }

    fn frame(&mut self, stream: &mut Vec<u8>) {
        let bytes = match self.below(4) {
            0 => 8,
            1 => 64,
            _ => self.below(100),
        };
        let mut header = self.header(bytes as u32);
        let payload = match header.kind {
            FrameKind::Get => self.number().to_le_bytes().to_vec(),
            FrameKind::FetchAdd => self.next().to_le_bytes().to_vec(),
            FrameKind::Data => self.bytes(64),
            _ => self.bytes(bytes),
        };
        header.payload_bytes = payload.len() as u32;
        stream.extend_from_slice(&header.to_wire());
        stream.extend_from_slice(&payload);
    }

    fn hello(&mut self) -> Vec<u8> {
        let mut stream = self.bytes(5);
        let (_, hello) = Initiator::new(IDENTITY, Integrity::None, Some(&SECRET));
        match self.below(2) {
            0 => stream.extend_from_slice(&hello),
            _ => {
                stream.extend_from_slice(b"msr\x01\0\0\0\0");
                let answer = self.bytes(80);
                stream.extend_from_slice(&answer);
            }
        }
        self.frame(&mut stream);
        stream
    }

    fn packet(&mut self, place: u64, stream: &mut Vec<u8>) {
        // A peer that was welcomed may say any of them.
        let kind = 1 + self.below(PacketKind::Bye as usize) as u8;
        let way = [0, 0, 0, 1 << 5, 1 << 6][self.below(5)];
        let body = match self.below(4) {
            0 => 8,
            1 => 56,
            _ => self.below(64),
        };
        let mut packet = vec![0; 24];
        packet[..4].copy_from_slice(&((body as u32) << 8).to_le_bytes());
        packet[0] = kind | way;
        packet[4..8].copy_from_slice(&(self.number() as u32).to_le_bytes());
        let sequence = match self.below(4) {
            0 => self.number(),
            _ => place,
        };
        packet[8..16].copy_from_slice(&sequence.to_le_bytes());
        packet[16..24].copy_from_slice(&self.number().to_le_bytes());
        let mut body = self.bytes(body);
        if way != 0 && body.len() >= 8 {
            body[..8].copy_from_slice(&self.number().to_le_bytes());
        }
        packet.extend_from_slice(&body);
        stream.extend_from_slice(&(packet.len() as u16).to_le_bytes());
        stream.extend_from_slice(&packet);
    }

    /// Changes something, anywhere.
    fn change(&mut self, stream: &mut Vec<u8>) {
        if stream.is_empty() {
            return;
        }
        let at = self.below(stream.len());
        match self.below(8) {
            0 => stream[at] ^= 1 << self.below(8),
            1 => stream[at] = self.next() as u8,
            2 => stream.truncate(at),
            3 => drop(stream.remove(at)),
            4 => stream.insert(at, self.next() as u8),
            5 => {
                let end = (at + 1 + self.below(HEADER_BYTES)).min(stream.len());
                let copied = stream[at..end].to_vec();
                let to = self.below(stream.len());
                stream.splice(to..to, copied);
            }
            // A field of a header.
            6 => {
                let number = self.number().to_le_bytes();
                let at = at & !7;
                let end = (at + 8).min(stream.len());
                stream[at..end].copy_from_slice(&number[..end - at]);
            }
            _ => {
                let end = (at + 4).min(stream.len());
                let number = (self.number() as u32).to_le_bytes();
                stream[at..end].copy_from_slice(&number[..end - at]);
            }
        }
    }
}
