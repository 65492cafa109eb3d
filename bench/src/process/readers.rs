//! Channels whose readers are other processes: one of several readers, or several of one.
//!
//! - QR-1 readers may be more than the cores that are left for them, so one that finds nothing gives
//!   its core away after a few looks.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use maser_shm::channel::spsc::{
    LineReceiver, LineSender, line_bytes, line_receiver_in, line_sender_in,
};
use maser_shm::channel::{Shared, broadcast};
use maser_shm::control::{Carver, ControlMemory};
use maser_shm::os::sched_yield;
use serde::{Deserialize, Serialize};

use super::setup::{Serve, Setup};
use super::{PartnerProcess, Service, until};
use crate::harness::{BenchError, Contender, Context, Offer, Window, check};

/// As many bytes as a channel of Ray's has in its own benchmark.
pub type Message = [u8; 1_000];

/// Messages that may be under way: as many as runs of a compiled graph.
const DEPTH: usize = 10;
/// Looks before a reader gives its core away (QR-1).
const LOOKS: u32 = 256;

/// The message that is sent; the first byte is summed by the readers.
pub const MESSAGE: Message = {
    let mut message = [0; 1_000];
    message[0] = b'0';
    message
};

/// What a process reads.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Reads {
    /// Rings `from..from + count` of `rings`, one after the other.
    Rings {
        /// All that are in the memory.
        rings: usize,
        /// The first of its own.
        from: usize,
        /// How many are its own.
        count: usize,
    },
    /// One broadcast, as reader `index` of `readers`.
    Broadcast {
        /// All readers.
        readers: usize,
        /// Which it is.
        index: usize,
    },
}

enum Ends {
    Rings(Vec<LineReceiver<Message, Shared>>),
    Broadcast(broadcast::Receiver<Message, Shared>),
}

/// A process that reads.
pub(super) struct ReadersThere(Ends);

fn told(error: impl ToString) -> String {
    error.to_string()
}

fn ring_regions(
    memory: &ControlMemory,
    rings: usize,
) -> Result<Vec<maser_shm::control::Region>, String> {
    let bytes = line_bytes::<Message>(DEPTH).map_err(told)?;
    let mut carver = Carver::new(memory.whole());
    (0..rings)
        .map(|_| carver.take(bytes).map_err(told))
        .collect()
}

impl ReadersThere {
    pub(super) fn open(file: OwnedFd, control: u64, reads: Reads) -> Result<Self, String> {
        let memory = ControlMemory::attach(file, control, "the first process").map_err(told)?;
        Ok(Self(match reads {
            Reads::Rings { rings, from, count } => {
                let regions = ring_regions(&memory, rings)?;
                let own = regions.iter().skip(from).take(count);
                let ends = own.map(|region| line_receiver_in(region, DEPTH).map_err(told));
                Ends::Rings(ends.collect::<Result<_, _>>()?)
            }
            Reads::Broadcast { readers, index } => {
                let end = broadcast::receiver_in(&memory.whole(), readers, DEPTH, index);
                Ends::Broadcast(end.map_err(told)?)
            }
        }))
    }
}

/// Reads one message as soon as there is one (QR-1).
fn next(mut look: impl FnMut() -> Option<u8>) -> u64 {
    let mut looks = 0_u32;
    loop {
        if let Some(first) = look() {
            return u64::from(first);
        }
        looks += 1;
        if looks.is_multiple_of(LOOKS) {
            sched_yield();
        } else {
            std::hint::spin_loop();
        }
    }
}

impl Serve for ReadersThere {
    fn serve(&mut self, calls: u64) -> Result<u64, String> {
        let mut sum = 0;
        for _ in 0..calls {
            match &mut self.0 {
                Ends::Rings(rings) => {
                    for ring in rings {
                        sum += next(|| ring.try_recv().ok().map(|message| message[0]));
                    }
                }
                Ends::Broadcast(end) => {
                    sum += next(|| end.try_recv_with(|message| message[0]).ok());
                }
            }
        }
        Ok(sum)
    }
}

enum Writes {
    Rings(Vec<LineSender<Message, Shared>>),
    Broadcast(broadcast::Sender<Message, Shared>),
}

/// Writes one message into each channel; the rate is the writer's.
pub struct ToReaders {
    writes: Writes,
    services: Vec<Service>,
    /// Messages that are read for each call.
    read: u64,
}

impl ToReaders {
    /// One broadcast to `readers` processes.
    ///
    /// # Errors
    /// The processes' or the channels'.
    pub fn broadcast(context: &Context, readers: usize) -> Result<Offer<Self>, BenchError> {
        let bytes = broadcast::channel_bytes::<Message>(readers, DEPTH).map_err(failed)?;
        let memory = ControlMemory::create(bytes).map_err(failed)?;
        let writes = broadcast::sender_in(&memory.whole(), readers, DEPTH).map_err(failed)?;
        let reads = (0..readers).map(|index| Reads::Broadcast { readers, index });
        Self::open(context, &memory, Writes::Broadcast(writes), reads.collect())
    }

    /// `rings` rings to as many processes, or all to one.
    ///
    /// # Errors
    /// The processes' or the channels'.
    pub fn rings(context: &Context, rings: usize, to_one: bool) -> Result<Offer<Self>, BenchError> {
        let bytes = line_bytes::<Message>(DEPTH).map_err(failed)?;
        let memory = ControlMemory::create(Carver::bytes(&vec![bytes; rings])).map_err(failed)?;
        let regions = ring_regions(&memory, rings).map_err(failed)?;
        let ends = regions
            .iter()
            .map(|region| line_sender_in(region, DEPTH).map_err(failed));
        let writes = Writes::Rings(ends.collect::<Result<_, _>>()?);
        let (each, count) = if to_one { (1, rings) } else { (rings, 1) };
        let reads = (0..each).map(|from| Reads::Rings { rings, from, count });
        Self::open(context, &memory, writes, reads.collect())
    }

    fn open(
        context: &Context,
        memory: &ControlMemory,
        writes: Writes,
        reads: Vec<Reads>,
    ) -> Result<Offer<Self>, BenchError> {
        let mut services = Vec::new();
        let mut read = 0;
        for reads in reads {
            let process: Rc<PartnerProcess> = match PartnerProcess::start(context)? {
                Ok(process) => process,
                Err(skip) => return Ok(Err(skip)),
            };
            let control = memory.bytes() as u64;
            let setup = Setup::Readers { control, reads };
            services.push(process.open(setup, &[memory.file()])?);
            read += match reads {
                Reads::Rings { count, .. } => count as u64,
                Reads::Broadcast { .. } => 1,
            };
        }
        Ok(Ok(Self {
            writes,
            services,
            read,
        }))
    }
}

fn failed(why: impl ToString) -> BenchError {
    BenchError::contender("maser", why)
}

impl Contender for ToReaders {
    fn name(&self) -> &'static str {
        "maser"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let serving = self.services.iter().map(|service| service.serve(calls));
        let serving = serving.collect::<Result<Vec<_>, _>>()?;
        window.time(|| match &mut self.writes {
            Writes::Rings(rings) => {
                for ring in rings {
                    until(|| ring.try_send(MESSAGE).is_ok());
                }
            }
            Writes::Broadcast(end) => until(|| end.try_send(MESSAGE).is_ok()),
        });
        let mut sum = 0;
        for serving in serving {
            sum += serving.join()?;
        }
        check("what was read", calls * self.read * u64::from(b'0'), sum)
    }
}
