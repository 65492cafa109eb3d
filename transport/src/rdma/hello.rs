//! What two ends tell each other about their queue pairs, as messages of the connection beside them.
//!
//! ```text
//! byte  0  "rdma"           4 bytes
//! byte  4  version          u8   1
//! byte  5  mtu              u8   256 << (mtu - 1) bytes of payload in a packet, 1 to 5
//! byte  6  credits          u16  receives that are posted for the other's messages; numbers are little endian
//! byte  8  slot bytes       u32  of each of them
//! byte 12  queue pair       u32
//! byte 16  first packet     u32
//! byte 20  local address    u16  InfiniBand alone
//! byte 22  reads            u8   that it serves at once
//! byte 23  0                u8
//! byte 24  global address   16 bytes
//! ```
//! Who connected says it first. Who accepted sets its queue pair up and says it then. Who connected does the
//! same and says [`READY`]: before that the other's messages would find nobody.

/// Bytes of one.
pub(super) const HELLO_BYTES: usize = 40;
/// The third message.
pub(super) const READY: &[u8; 5] = b"ready";

const MAGIC: &[u8; 5] = b"rdma\x01";

/// See the module's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) mtu: u8,
    pub(super) credits: u16,
    pub(super) slot_bytes: u32,
    pub(super) queue_pair: u32,
    pub(super) first_packet: u32,
    pub(super) lid: u16,
    pub(super) reads: u8,
    pub(super) gid: [u8; 16],
}

impl Hello {
    pub(super) fn to_wire(self) -> [u8; HELLO_BYTES] {
        let mut wire = [0; HELLO_BYTES];
        wire[..5].copy_from_slice(MAGIC);
        wire[5] = self.mtu;
        wire[6..8].copy_from_slice(&self.credits.to_le_bytes());
        wire[8..12].copy_from_slice(&self.slot_bytes.to_le_bytes());
        wire[12..16].copy_from_slice(&self.queue_pair.to_le_bytes());
        wire[16..20].copy_from_slice(&self.first_packet.to_le_bytes());
        wire[20..22].copy_from_slice(&self.lid.to_le_bytes());
        wire[22] = self.reads;
        wire[24..].copy_from_slice(&self.gid);
        wire
    }

    /// # Errors
    /// What is wrong with it.
    pub(super) fn from_wire(wire: &[u8]) -> Result<Self, &'static str> {
        let wire: &[u8; HELLO_BYTES] = wire.try_into().map_err(|_| "its length")?;
        if wire[..5] != *MAGIC {
            return Err("its first bytes, or its version");
        }
        let word =
            |at: usize| u32::from_le_bytes([wire[at], wire[at + 1], wire[at + 2], wire[at + 3]]);
        let half = |at: usize| u16::from_le_bytes([wire[at], wire[at + 1]]);
        let mut gid = [0; 16];
        gid.copy_from_slice(&wire[24..]);
        let hello = Self {
            mtu: wire[5],
            credits: half(6),
            slot_bytes: word(8),
            queue_pair: word(12),
            first_packet: word(16),
            lid: half(20),
            reads: wire[22],
            gid,
        };
        let problem = match hello {
            _ if !(1..=5).contains(&hello.mtu) => "its packets",
            _ if hello.credits < 2 => "its credits",
            _ if !(256..=1 << 20).contains(&hello.slot_bytes) => "its slots",
            _ if hello.queue_pair >> 24 != 0 || hello.first_packet >> 24 != 0 => "its queue pair",
            _ if wire[23] != 0 => "a bit that means nothing",
            _ => return Ok(hello),
        };
        Err(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> Hello {
        Hello {
            mtu: 5,
            credits: 16,
            slot_bytes: 4096,
            queue_pair: 0x12_3456,
            first_packet: 0xff_ffff,
            lid: 9,
            reads: 16,
            gid: [7; 16],
        }
    }

    #[test]
    fn a_hello_comes_as_it_went() {
        assert_eq!(Hello::from_wire(&hello().to_wire()), Ok(hello()));
    }

    #[test]
    fn a_hello_that_makes_no_sense_is_told_so() {
        for (at, byte) in [
            (0, 0),
            (4, 2),
            (5, 0),
            (5, 6),
            (6, 1),
            (9, 0),
            (15, 1),
            (19, 1),
            (23, 1),
        ] {
            let mut wire = hello().to_wire();
            wire[at] = byte;
            assert!(Hello::from_wire(&wire).is_err(), "byte {at}");
        }
        assert!(Hello::from_wire(&hello().to_wire()[1..]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(hello) = Hello::from_wire(&bytes) {
                prop_assert_eq!(&hello.to_wire()[..], &bytes[..]);
            }
        }
    }
}
