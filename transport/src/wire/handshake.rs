//! Who may talk to whom: the first bytes of every connection between hosts.
//!
//! ```text
//! hello, from who connects             answer, from who accepts
//! byte  0  "msr", version  4 bytes     byte  0  "msr", version  4 bytes
//! byte  4  role            u8          byte  4  verdict         u8; the rest is 0 if it is no welcome
//! byte  5  integrity       u8          byte  5  0               3 bytes
//! byte  6  0               2 bytes
//! byte  8  node            u64         byte  8  Noise           80 bytes, and in it, encrypted, who
//! byte 16  job             16 bytes             answers, as in a hello's first 32 bytes
//! byte 32  Noise           48 bytes
//! ```
//!
//! The Noise messages are those of `NNpsk0_25519_AESGCM_SHA256` with the secret of the job as psk: both sides
//! prove that they have it, and get keys that nobody else has, nor who learns the secret later. What is
//! in clear before the hello's Noise message is the prologue, so neither version, role, node, job nor what is
//! asked for can be changed on the way. The integrity of both is the stricter of what the two ask for, which
//! each knows of the other then.
//!
//! - HS-1 both are of fixed length: nothing is allocated for, nor read of, a stranger beyond a hello.
//! - HS-2 who refuses says only whether version, job or secret do not fit; nothing is said before the
//!   stranger's hello is whole.
//! - HS-3 a hello can be repeated by whoever saw it; the answer to it is of no use without the ephemeral
//!   key of who made it, so no sealed frame that follows opens. Frames in clear are not held up by that: where
//!   data is not sealed, who repeats a hello can send them.
//! - HS-4 without a secret the same messages travel with a psk that everybody knows. That is for one host
//!   alone: the transport refuses to listen elsewhere.

pub use super::identity::{Identity, Integrity, Role, Secret, UnknownIntegrity};

use super::seal::{Opener, Sealed, Sealer};
use snow::{Builder, HandshakeState};

/// Bytes of a hello.
pub const HELLO_BYTES: usize = CLEAR_BYTES + 48;
/// Bytes of an answer.
pub const ANSWER_BYTES: usize = VERDICT_BYTES + 48 + CLEAR_BYTES;

const CLEAR_BYTES: usize = 32;
const VERDICT_BYTES: usize = 8;
const MAGIC: [u8; 4] = *b"msr\x01";
const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
/// HS-4.
const NO_SECRET: [u8; 32] = [0; 32];

/// What the end that accepts says.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Verdict {
    Welcome = 0,
    OtherJob = 1,
    OtherSecret = 2,
    OtherVersion = 3,
}

/// Why two ends do not talk to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// What came is no hello.
    #[error("what came is no hello of this protocol: it begins with {found:02x?}")]
    Stranger {
        /// Its first bytes.
        found: [u8; 4],
    },
    /// The peer speaks another version.
    #[error(
        "the peer speaks version {theirs} and this program {ours}; use the same version at both ends"
    )]
    Version {
        /// The peer's.
        theirs: u8,
        /// This one's.
        ours: u8,
    },
    /// The peer is part of another job.
    #[error("the peer belongs to another job")]
    Job,
    /// The peer has another secret, or somebody changed what was said.
    #[error("the peer has another secret; give both the file that the launcher made")]
    Secret,
    /// A field that makes no sense.
    #[error("a hello whose {field} makes no sense")]
    Field {
        /// Which.
        field: &'static str,
    },
}

/// Both ends know each other.
#[derive(Debug)]
pub struct Session {
    /// Who the peer is.
    pub peer: Identity,
    /// How data is protected.
    pub integrity: Integrity,
    /// Which frames are sealed for that.
    pub sealed: Sealed,
    /// For frames to it.
    pub sealer: Sealer,
    /// For frames from it.
    pub opener: Opener,
}

/// The end that connects, after its hello.
pub struct Initiator {
    ours: Identity,
    integrity: Integrity,
    has_secret: bool,
    noise: HandshakeState,
}

/// What an end says of itself.
fn clear(who: &Identity, integrity: Integrity) -> [u8; CLEAR_BYTES] {
    let mut clear = [0; CLEAR_BYTES];
    clear[..4].copy_from_slice(&MAGIC);
    clear[4] = who.role as u8;
    clear[5] = integrity as u8;
    clear[8..16].copy_from_slice(&who.node.to_le_bytes());
    clear[16..].copy_from_slice(&who.job);
    clear
}

fn magic(bytes: &[u8]) -> Result<(), NotAdmitted> {
    let mut found = [0; 4];
    found.copy_from_slice(&bytes[..4]);
    match found {
        MAGIC => Ok(()),
        [b'm', b's', b'r', theirs] => Err(NotAdmitted::Version {
            theirs,
            ours: MAGIC[3],
        }),
        found => Err(NotAdmitted::Stranger { found }),
    }
}

fn read(clear: &[u8; CLEAR_BYTES]) -> Result<(Identity, Integrity), NotAdmitted> {
    magic(clear)?;
    let field = |field| NotAdmitted::Field { field };
    let role = Role::from_wire(clear[4]).ok_or(field("role"))?;
    let integrity = Integrity::from_wire(clear[5]).ok_or(field("integrity"))?;
    if clear[6..8] != [0; 2] {
        return Err(field("reserved bytes"));
    }
    let (mut node, mut job) = ([0; 8], [0; 16]);
    node.copy_from_slice(&clear[8..16]);
    job.copy_from_slice(&clear[16..]);
    let node = u64::from_le_bytes(node);
    Ok((Identity { job, node, role }, integrity))
}

fn noise(secret: Option<&Secret>, prologue: &[u8], initiates: bool) -> HandshakeState {
    let psk = secret.map_or(&NO_SECRET, Secret::bits);
    let made = PATTERN.parse().and_then(|pattern| {
        let builder = Builder::new(pattern).psk(0, psk)?.prologue(prologue)?;
        match initiates {
            true => builder.build_initiator(),
            false => builder.build_responder(),
        }
    });
    match made {
        Ok(noise) => noise,
        Err(error) => unreachable!("the pattern and its key are constant: {error}"),
    }
}

impl Initiator {
    /// The hello of `ours`, which asks for `integrity`, and what reads the answer.
    #[must_use]
    pub fn new(
        ours: Identity,
        integrity: Integrity,
        secret: Option<&Secret>,
    ) -> (Self, [u8; HELLO_BYTES]) {
        let mut hello = [0; HELLO_BYTES];
        let (head, tail) = hello.split_at_mut(CLEAR_BYTES);
        head.copy_from_slice(&clear(&ours, integrity));
        let mut noise = noise(secret, head, true);
        write(&mut noise, &[], tail);
        let has_secret = secret.is_some();
        let initiator = Self {
            ours,
            integrity,
            has_secret,
            noise,
        };
        (initiator, hello)
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn read(mut self, answer: &[u8; ANSWER_BYTES]) -> Result<Session, NotAdmitted> {
        magic(answer)?;
        match answer[4] {
            verdict if verdict == Verdict::Welcome as u8 => {}
            verdict if verdict == Verdict::OtherJob as u8 => return Err(NotAdmitted::Job),
            verdict if verdict == Verdict::OtherSecret as u8 => return Err(NotAdmitted::Secret),
            _ => return Err(NotAdmitted::Field { field: "verdict" }),
        }
        if answer[5..VERDICT_BYTES] != [0; 3] {
            return Err(NotAdmitted::Field {
                field: "reserved bytes",
            });
        }
        let mut theirs = [0; CLEAR_BYTES];
        let read_bytes = self
            .noise
            .read_message(&answer[VERDICT_BYTES..], &mut theirs);
        if read_bytes.ok() != Some(CLEAR_BYTES) {
            return Err(NotAdmitted::Secret);
        }
        let (peer, asked) = read(&theirs)?;
        if peer.job != self.ours.job {
            return Err(NotAdmitted::Job);
        }
        let (to_peer, from_peer) = self.noise.dangerously_get_raw_split();
        let integrity = self.integrity.max(asked);
        let keys = (&to_peer, &from_peer);
        Ok(session(peer, integrity, self.has_secret, keys))
    }
}

/// Answers a hello: what to say, and what came of it. There is nothing to say to a stranger.
pub fn answer(
    hello: &[u8; HELLO_BYTES],
    ours: &Identity,
    integrity: Integrity,
    secret: Option<&Secret>,
) -> (Option<[u8; ANSWER_BYTES]>, Result<Session, NotAdmitted>) {
    let mut answer = [0; ANSWER_BYTES];
    answer[..4].copy_from_slice(&MAGIC);
    match admit(hello, ours, integrity, secret, &mut answer) {
        Ok(session) => (Some(answer), Ok(session)),
        Err(error) => {
            let verdict = match error {
                NotAdmitted::Job => Some(Verdict::OtherJob),
                NotAdmitted::Secret => Some(Verdict::OtherSecret),
                // Its magic says it.
                NotAdmitted::Version { .. } => Some(Verdict::OtherVersion),
                NotAdmitted::Stranger { .. } | NotAdmitted::Field { .. } => None,
            };
            let said = verdict.map(|verdict| {
                answer[4] = verdict as u8;
                answer
            });
            (said, Err(error))
        }
    }
}

fn admit(
    hello: &[u8; HELLO_BYTES],
    ours: &Identity,
    integrity: Integrity,
    secret: Option<&Secret>,
    answer: &mut [u8; ANSWER_BYTES],
) -> Result<Session, NotAdmitted> {
    let (head, tail) = hello.split_at(CLEAR_BYTES);
    let mut theirs = [0; CLEAR_BYTES];
    theirs.copy_from_slice(head);
    let (peer, asked) = read(&theirs)?;
    let mut noise = noise(secret, head, false);
    // Before the job is looked at: who has not the secret learns nothing of it.
    let is_ours = noise.read_message(tail, &mut []).is_ok();
    if !is_ours {
        return Err(NotAdmitted::Secret);
    }
    if peer.job != ours.job {
        return Err(NotAdmitted::Job);
    }
    write(
        &mut noise,
        &clear(ours, integrity),
        &mut answer[VERDICT_BYTES..],
    );
    let (from_peer, to_peer) = noise.dangerously_get_raw_split();
    let integrity = integrity.max(asked);
    let keys = (&to_peer, &from_peer);
    Ok(session(peer, integrity, secret.is_some(), keys))
}

fn write(noise: &mut HandshakeState, payload: &[u8], to: &mut [u8]) {
    let bytes = to.len();
    match noise.write_message(payload, to) {
        Ok(written) => assert_eq!(written, bytes, "bytes of a Noise message"),
        Err(error) => unreachable!("it is its turn, and there is room: {error}"),
    }
}

/// What both ends come to, each by itself.
fn session(
    peer: Identity,
    integrity: Integrity,
    has_secret: bool,
    (to_peer, from_peer): (&[u8; 32], &[u8; 32]),
) -> Session {
    let sealed = match (integrity, has_secret) {
        (Integrity::Mac | Integrity::Aead, _) => Sealed::Everything,
        (Integrity::None, true) => Sealed::Control,
        (Integrity::None, false) => Sealed::Nothing,
    };
    Session {
        peer,
        integrity,
        sealed,
        sealer: Sealer::new(to_peer),
        opener: Opener::new(from_peer),
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::{FrameHeader, FrameKind};
    use super::*;

    const SECRET: Secret = Secret::new([9; 32]);

    fn identity(node: u64) -> Identity {
        Identity {
            job: [5; 16],
            node,
            role: Role::Node,
        }
    }

    type Both = (Result<Session, NotAdmitted>, Result<Session, NotAdmitted>);

    fn meet(a: (Identity, Option<&Secret>), b: (Identity, Option<&Secret>)) -> Both {
        let (initiator, hello) = Initiator::new(a.0, Integrity::None, a.1);
        let (said, there) = answer(&hello, &b.0, Integrity::None, b.1);
        (initiator.read(&said.expect("an answer")), there)
    }

    fn pass(from: &mut Session, to: &mut Session) {
        let mut header = FrameHeader::new(FrameKind::Message, 4);
        let mut payload = *b"word";
        from.sealer.seal(&mut header, &mut payload);
        assert_eq!(to.opener.open(&header, &mut payload), Ok(()));
        assert_eq!(&payload, b"word");
    }

    #[test]
    fn ends_with_one_secret_have_keys_of_their_own() {
        for secret in [Some(&SECRET), None] {
            let (a, b) = meet((identity(1), secret), (identity(2), secret));
            let (mut a, mut b) = (a.expect("admitted"), b.expect("admitted"));
            assert_eq!((a.peer, b.peer), (identity(2), identity(1)));
            for _ in 0..3 {
                pass(&mut a, &mut b);
                pass(&mut b, &mut a);
            }
            let (mut c, _) = meet((identity(1), secret), (identity(2), secret));
            let c = c.as_mut().expect("admitted");
            let mut header = FrameHeader::new(FrameKind::Close, 0);
            c.sealer.seal(&mut header, &mut []);
            assert!(b.opener.open(&header, &mut []).is_err());
        }
    }

    #[test]
    fn another_secret_job_or_version_is_told_to_both() {
        let other = Secret::new([8; 32]);
        for secret in [Some(&other), None] {
            let (a, b) = meet((identity(1), secret), (identity(2), Some(&SECRET)));
            assert_eq!(a.expect_err("refused"), NotAdmitted::Secret);
            assert_eq!(b.expect_err("refused"), NotAdmitted::Secret);
        }
        let mut stranger = identity(1);
        stranger.job = [6; 16];
        let (a, b) = meet((stranger, Some(&SECRET)), (identity(2), Some(&SECRET)));
        assert_eq!(a.expect_err("refused"), NotAdmitted::Job);
        assert_eq!(b.expect_err("refused"), NotAdmitted::Job);

        let (initiator, mut hello) = Initiator::new(identity(1), Integrity::None, Some(&SECRET));
        hello[3] = 2;
        let (said, there) = answer(&hello, &identity(2), Integrity::None, Some(&SECRET));
        let version = |theirs, ours| NotAdmitted::Version { theirs, ours };
        assert_eq!(there.expect_err("refused"), version(2, 1));
        let mut said = said.expect("an answer");
        said[3] = 3;
        assert_eq!(initiator.read(&said).expect_err("refused"), version(3, 1));
    }

    #[test]
    fn the_stricter_of_two_has_its_will() {
        use Integrity::{Aead, Mac, None};
        for (a, b, both) in [
            (None, None, None),
            (None, Mac, Mac),
            (Mac, None, Mac),
            (Aead, Mac, Aead),
            (None, Aead, Aead),
        ] {
            for secret in [Some(&SECRET), Option::None] {
                let (initiator, hello) = Initiator::new(identity(1), a, secret);
                let (said, there) = answer(&hello, &identity(2), b, secret);
                let here = initiator.read(&said.expect("an answer"));
                let sealed = match (both, secret) {
                    (None, Option::None) => Sealed::Nothing,
                    (None, Some(_)) => Sealed::Control,
                    _ => Sealed::Everything,
                };
                for session in [here, there] {
                    let session = session.expect("admitted");
                    assert_eq!((session.integrity, session.sealed), (both, sealed));
                }
            }
        }
    }

    #[test]
    fn nothing_is_said_to_strangers() {
        for text in [
            "GET / HTTP/1.1",
            "\u{16}\u{3}\u{1}",
            "SSH-2.0-x",
            "",
            "msr\u{1}",
        ] {
            let mut hello = [0; HELLO_BYTES];
            hello[..text.len()].copy_from_slice(text.as_bytes());
            let (said, outcome) = answer(&hello, &identity(2), Integrity::None, None);
            assert_eq!(said, None, "{text}");
            assert!(outcome.is_err(), "{text}");
        }
    }

    #[test]
    fn a_bit_that_changes_on_the_way_is_refused() {
        // Each byte, and each place in a byte; all of them would take a minute.
        const STEP: usize = 7;
        for bit in (0..HELLO_BYTES * 8).step_by(STEP) {
            let (_, mut hello) = Initiator::new(identity(1), Integrity::None, Some(&SECRET));
            hello[bit / 8] ^= 1 << (bit % 8);
            let (_, outcome) = answer(&hello, &identity(2), Integrity::None, Some(&SECRET));
            assert!(outcome.is_err(), "bit {bit} of the hello");
        }
        for bit in (0..ANSWER_BYTES * 8).step_by(STEP) {
            let (initiator, hello) = Initiator::new(identity(1), Integrity::None, Some(&SECRET));
            let (said, _) = answer(&hello, &identity(2), Integrity::None, Some(&SECRET));
            let mut said = said.expect("an answer");
            said[bit / 8] ^= 1 << (bit % 8);
            let outcome = initiator.read(&said);
            assert!(outcome.is_err(), "bit {bit} of the answer");
        }
    }

    #[test]
    fn a_hello_that_is_repeated_gives_keys_to_nobody() {
        let (initiator, hello) = Initiator::new(identity(1), Integrity::None, Some(&SECRET));
        let (first, _) = answer(&hello, &identity(2), Integrity::None, Some(&SECRET));
        let (_, second) = answer(&hello, &identity(2), Integrity::None, Some(&SECRET));
        let mut here = initiator
            .read(&first.expect("an answer"))
            .expect("admitted");
        let mut header = FrameHeader::new(FrameKind::Close, 0);
        here.sealer.seal(&mut header, &mut []);
        let mut second = second.expect("a hello cannot be told from its repetition");
        assert!(second.opener.open(&header, &mut []).is_err());
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{SECRET:?}"), "a secret");
    }
}
