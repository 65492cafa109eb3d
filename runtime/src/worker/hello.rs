//! What the keeper and a worker tell each other over their socket.

use super::part::{FromPart, ToPart};
use crate::config::Settings;
use serde::{Deserialize, Serialize};

/// Of these messages.
pub(super) const PROTOCOL: u32 = 1;

/// From the keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    /// The first message; with it come the memory of the pair and the driver's doors.
    Hello(Box<Hello>),
    /// An extent, which comes with it (`bulk`).
    Extent {
        /// Whose.
        owner: u32,
        /// Its number.
        extent: u32,
        /// Its bytes.
        bytes: u64,
    },
    /// An extent is no more.
    ExtentGone {
        /// Whose it was.
        owner: u32,
        /// Its number.
        extent: u32,
    },
    /// Another worker that it shared edges of graphs with is no more.
    ProcessGone {
        /// Its number among all processes that the node ever had.
        process: u32,
    },
    /// So many bytes of extents may be made (`bulk::budget`).
    Granted {
        /// The question's number.
        number: u64,
        /// How many.
        bytes: u64,
    },
    /// They may not.
    Refused {
        /// The question's number.
        number: u64,
        /// Bytes that nobody has.
        free: u64,
        /// Bytes of the driver.
        driver: u64,
        /// Bytes of processes that have died.
        dead: u64,
        /// Number, name and bytes of the other workers.
        workers: Vec<(u32, String, u64)>,
    },
    /// Another process is short of memory: extents in which nothing lies go back.
    Trim,
    /// There is room again.
    Room,
    /// Finish what was begun, then end.
    Stop,
    /// About compiled graphs.
    Graph(ToPart),
}

/// Who a worker is, and whom it works for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`PROTOCOL`].
    pub(super) protocol: u32,
    /// `registry::fingerprint` of the driver.
    pub(super) fingerprint: u64,
    /// A number for the pair.
    pub(super) id: u64,
    /// The worker's number.
    pub(super) slot: u32,
    /// Its number among all processes that the node ever had.
    pub(super) store_id: u32,
    /// The driver's process.
    pub(super) driver_pid: u32,
    /// The driver's schedulers, and links.
    pub(super) driver_schedulers: u32,
    /// Bytes of the memory of the pair.
    pub(super) pair_bytes: u64,
    /// Bytes of the driver's doors.
    pub(super) doors_bytes: u64,
    /// Whether it runs tasks; else it lives as long as the actor that is made in it.
    pub(super) pool: bool,
    /// Threads of the node that may spin.
    pub(super) threads: u32,
    /// Most bytes that it may allocate; where it leaves its last words comes with the message.
    pub(super) memory_bytes: Option<u64>,
    /// The CPU to run on.
    pub(super) cpu: Option<u32>,
    /// What holds for the whole node.
    pub(super) settings: Settings,
}

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromWorker {
    /// It runs; with it come its doors.
    Ready {
        /// Its `registry::fingerprint`.
        fingerprint: u64,
        /// Bytes of its doors.
        doors_bytes: u64,
    },
    /// It will not work for this driver.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// It has an extent, which comes with it.
    Extent {
        /// Its number.
        extent: u32,
        /// Its bytes.
        bytes: u64,
    },
    /// An extent of it is no more.
    ExtentGone {
        /// Its number.
        extent: u32,
    },
    /// It needs memory for an extent (`bulk::budget`).
    Wants {
        /// The question's number.
        number: u64,
        /// How many bytes.
        bytes: u64,
        /// Whether an object waits for them.
        urgent: bool,
    },
    /// It has so many bytes of extents less.
    GaveBack {
        /// How many.
        bytes: u64,
    },
    /// It has given back what it does not need.
    Trimmed,
    /// It has freed objects since it was last asked to trim.
    Freed,
    /// It has unmapped an extent of another process.
    ExtentLeft {
        /// Whose.
        owner: u32,
        /// Its number.
        extent: u32,
    },
    /// Nothing of it is held by others any more.
    Unused,
    /// About compiled graphs.
    Graph(FromPart),
}
