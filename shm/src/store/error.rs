//! Why the store cannot, and what to do about it.

use std::fmt;

use super::extent::ExtentError;
use super::peer::PeerId;
use super::spill::SpillFailure;

/// What keeps memory of a store from being used again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HolderKind {
    /// Handles of this process.
    Own,
    /// Objects that were given to another process.
    Peer {
        /// Its number.
        peer: PeerId,
        /// What it is called.
        name: String,
    },
    /// Memory that somebody else counts against this store: extents of the dead, for instance.
    Charged {
        /// What it is called.
        name: String,
    },
}

/// One of those who keep memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub kind: HolderKind,
    /// How many objects.
    pub objects: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            objects,
            bytes,
        } = self;
        match kind {
            HolderKind::Own => write!(f, "this process: {bytes} bytes in {objects} objects"),
            HolderKind::Peer { peer, name } => write!(
                f,
                "{name} (peer {}): {bytes} bytes in {objects} objects",
                peer.0
            ),
            HolderKind::Charged { name } => write!(f, "{name}: {bytes} bytes"),
        }
    }
}

/// There is no room, and nothing that could be thrown out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the store is full: {asked} bytes are needed, {free} of {budget} are free ({}); drop refs, let \
     the holders finish, or raise store_bytes", Listed(.holders)
)]
pub struct StoreFull {
    /// Bytes asked for.
    pub asked: usize,
    /// Bytes that no object and no extent takes; they may lie in pieces.
    pub free: usize,
    /// Most bytes of the store.
    pub budget: usize,
    /// Who keeps memory, the largest first.
    pub holders: Vec<Holder>,
}

/// How many holders an error's text names.
const NAMED: usize = 5;

struct Listed<'a>(&'a [Holder]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nobody holds any of it");
        }
        for (at, holder) in self.0.iter().take(NAMED).enumerate() {
            write!(f, "{}{holder}", if at == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; {more} more"),
        }
    }
}

/// See the module's page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room.
    #[error(transparent)]
    Full(Box<StoreFull>),
    /// The machine has no more memory, descriptors or mappings.
    #[error(transparent)]
    Extent(#[from] ExtentError),
    /// No object has this size.
    #[error("an object of {asked} bytes cannot be; the largest has {max} bytes")]
    TooLarge {
        /// Bytes asked for.
        asked: usize,
        /// Bytes of the largest one.
        max: usize,
    },
    /// The store would be larger than the machine.
    #[error(
        "store_bytes = {asked} is more than the {memory} bytes of {what}; lower store_bytes{remedy}"
    )]
    Budget {
        /// Bytes asked for.
        asked: usize,
        /// Bytes there are.
        memory: u64,
        /// Of what.
        what: &'static str,
        /// What else would do.
        remedy: &'static str,
    },
    /// A setting that cannot be.
    #[error("{name} = {value} is not possible: {reason}")]
    Setting {
        /// Which.
        name: &'static str,
        /// Its value.
        value: u64,
        /// Why, and what would be.
        reason: &'static str,
    },
    /// A process that is not there.
    #[error("peer {} is not there: it was never added, or it is dead", .peer.0)]
    UnknownPeer {
        /// Its number.
        peer: PeerId,
    },
    /// The store's last handle is gone.
    #[error("the store was closed; keep a handle of it while objects are to come back from disk")]
    Closed,
    /// An object of another store of this process.
    #[error("the object is of another store; give it by the one that made it")]
    OtherStore,
    /// A process says that it has what it was not given.
    #[error(
        "peer {} gives back {count} of an object in extent {extent} at {offset} of which it has \
         {held}; it is of another build, or its memory is damaged: end it", .peer.0
    )]
    NotHeld {
        /// Who says so.
        peer: PeerId,
        /// The object's extent.
        extent: u32,
        /// The object's place in it, in bytes.
        offset: u64,
        /// References it gives back.
        count: u64,
        /// References it has.
        held: u64,
    },
    /// An object that was only cached was thrown out.
    #[error("the cached object of {bytes} bytes was thrown out to make room; fetch it again")]
    Evicted {
        /// Bytes of its payload.
        bytes: usize,
    },
    /// The disk refused.
    #[error("cannot {what} objects of {bytes} bytes that were to make room on disk: {source}")]
    Spill {
        /// What was to be done.
        what: &'static str,
        /// Bytes of them.
        bytes: usize,
        /// Why not.
        source: SpillFailure,
    },
    /// A descriptor names an extent that this process does not know.
    #[error(
        "extent {extent} of peer {} is not here: it was never announced, or its owner took it back; \
         ask the owner for the object again", .peer.0
    )]
    UnknownExtent {
        /// Whose extent.
        peer: PeerId,
        /// Its number.
        extent: u32,
    },
    /// A descriptor that no object can have.
    #[error(
        "a descriptor of peer {} is damaged: {bytes} bytes at {offset} do not lie in extent \
         {extent} of {extent_bytes} bytes; end that process", .peer.0
    )]
    Damaged {
        /// Whose extent.
        peer: PeerId,
        /// Its number.
        extent: u32,
        /// Bytes of the extent.
        extent_bytes: u64,
        /// The place it names, in bytes.
        offset: u64,
        /// The size it names.
        bytes: u64,
    },
    /// A descriptor of an object that is not there any more, or not finished.
    #[error(
        "the object at {offset} of extent {extent} of peer {} is gone: its owner freed it; keep a \
         reference while others may open it", .peer.0
    )]
    Gone {
        /// Whose extent.
        peer: PeerId,
        /// Its number.
        extent: u32,
        /// The object's place in it, in bytes.
        offset: u64,
    },
    /// An extent of this number is known already.
    #[error(
        "peer {} announces extent {extent} again with other memory; end that process", .peer.0
    )]
    ExtentTwice {
        /// Whose extent.
        peer: PeerId,
        /// Its number.
        extent: u32,
    },
}

impl From<StoreFull> for StoreError {
    fn from(full: StoreFull) -> Self {
        Self::Full(Box::new(full))
    }
}
