//! The functions that other processes may ask for: a table that the linker makes.
//!
//! `#[maser::task]` and `#[maser::actor]` put an [`Entry`] for each function into the slice
//! [`FUNCTIONS`]. A worker is the same executable started again, so both have the same slice, and a
//! call names its function by its place there.
//!
//! - RG-1 two processes only talk if their [`fingerprint`]s are the same: names, modules and types
//!   of all functions in their order, and the version of the runtime. So a place in the slice means
//!   the same function, with the same types, on both sides.
//! - RG-2 a place that arrives is input: one beyond the slice is an error.
//!
//! A crate whose functions nothing in the program names is not linked, and its functions are in no
//! slice: `use that_crate as _;` in the program keeps them.

use super::incoming::{Answering, Incoming};
use super::wire_error::ErrorCodec;
use crate::error::Error;
use crate::graph::remote::step::StepEntry;
use crate::task::meta::Meta;
use std::sync::OnceLock;

/// Gives the handle of the actor with a name.
pub type Named = fn(&str) -> Result<Answering, Error>;

/// How another process runs one function.
#[derive(Debug)]
pub struct Entry {
    /// The function.
    pub meta: fn() -> &'static Meta,
    /// The types of arguments and results.
    pub types: fn() -> Vec<&'static str>,
    /// How its own errors travel, if their type is serde.
    pub error: fn() -> Option<&'static ErrorCodec>,
    /// Makes the call with the arguments that came.
    pub invoke: fn(&mut Incoming<'_>) -> Result<Answering, Error>,
    /// Finds the actor with a name, if it is the constructor of a class.
    pub named: Option<Named>,
    /// Runs it as a step of a graph, if it can be one.
    pub step: Option<StepEntry>,
}

/// Every function of the program that is not `local`.
#[linkme::distributed_slice]
pub static FUNCTIONS: [Entry];

/// The place of an entry.
pub(crate) fn place_of(entry: &'static Entry) -> u32 {
    let bytes = std::ptr::from_ref(entry).addr() - FUNCTIONS.as_ptr().addr();
    u32::try_from(bytes / size_of::<Entry>()).unwrap_or(u32::MAX)
}

/// The entry of a place (RG-2).
pub(crate) fn at(place: u32) -> Result<&'static Entry, Error> {
    FUNCTIONS
        .get(place as usize)
        .ok_or_else(|| Error::InvalidArgument {
            argument: "function",
            problem: format!(
                "a call for function {place} came, and this program has {}",
                FUNCTIONS.len()
            ),
            remedy: "both processes must be of the same build".into(),
        })
}

/// What has to be the same on both sides (RG-1).
pub(crate) fn fingerprint() -> u64 {
    static FINGERPRINT: OnceLock<u64> = OnceLock::new();
    *FINGERPRINT.get_or_init(|| {
        let mut hash = Fnv::new();
        hash.text(env!("CARGO_PKG_VERSION"));
        for entry in FUNCTIONS {
            hash.text((entry.meta)().module);
            hash.text((entry.meta)().name);
            (entry.types)().into_iter().for_each(|name| hash.text(name));
            hash.text("");
        }
        hash.0
    })
}

/// FNV-1a, 64 bits: the same in every process, which std's hashers do not promise.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn text(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
