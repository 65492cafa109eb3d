//! Large values between processes: made in place, handed over, read in place, from 1 KiB to 100 MiB;
//! and how memory comes back after values that grow.
//!
//! - PY-1 nothing copies but the writer's own filling: the reader finds the array in the writer's memory
//!   (`is_foreign`) and says so with its answer, which is checked in every run. Arrays of up to
//!   `SMALL_BYTES` travel beside the message instead.

use std::time::Duration;

use maser::{Bytes, Graph, GraphRef, Isolation, Node, store_usage};

use crate::floors::PayloadProcess;
use crate::harness::{
    BenchError, Context, Lineup, Offer, Peer, Process, Row, RowResult, Summed, Unit, check,
};
use crate::process::{fill, sum};
use crate::rows::SETTLE_NS;
use crate::rows::process::beside;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Of the first extent of a store, in which the small values lie.
const EXTENT_BYTES: usize = 2 * MIB;
/// Seconds that the store gets to give back what lies empty: three times its `store_warm_time`.
const COLD_LIMIT_S: u32 = 30;
/// Arrays of so many bytes and fewer go with the message (PY-1).
const SMALL_BYTES: usize = KIB;

/// Reads what it is given where it lies.
struct Reader;

#[maser::actor]
impl Reader {
    fn new() -> Self {
        Self
    }

    /// Sum of its words, and whether they lie in another process's memory (PY-1).
    fn read(&mut self, array: Bytes) -> (u64, bool) {
        (sum(&array), array.is_foreign())
    }

    /// The same for one byte alone.
    fn look(&mut self, array: Bytes) -> (u8, bool) {
        (array.last().copied().unwrap_or(0), array.is_foreign())
    }

    /// How many bytes they are.
    fn weigh(&mut self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }
}

fn failed(error: impl ToString) -> BenchError {
    BenchError::contender("maser", error)
}

/// A reader on core 1, awake.
fn reader_there(context: &Context) -> Result<maser::Actor<Reader>, BenchError> {
    context.cores.pin(1)?;
    let reader = Reader::options().isolation(Isolation::Process).remote();
    let first = reader.weigh().remote(vec![0; 1]).get();
    context.cores.pin(0)?;
    first.map_err(failed)?;
    Ok(reader)
}

/// An array of `bytes` made, filled with `number` and on, handed to the reader and summed there.
fn written_and_read(
    context: &Context,
    bytes: usize,
) -> Result<impl FnMut() -> maser::Result<u64> + use<>, BenchError> {
    let reader = reader_there(context)?;
    let graph = Graph::new(|array: Node<Bytes>| reader.read().bind(array));
    let graph = graph.compile().map_err(failed)?;
    let mut number = 0;
    Ok(move || {
        number += 1;
        let mut array = Bytes::in_store(bytes)?;
        fill(&mut array, number);
        let expected = sum_of(number, bytes as u64 / 8);
        let run: GraphRef<(u64, bool)> = graph.execute(array.seal())?;
        Ok(u64::from(run.get()? == (expected, bytes > SMALL_BYTES)))
    })
}

/// Sum of `count` numbers from `first` on.
fn sum_of(first: u64, count: u64) -> u64 {
    let between = count * count.saturating_sub(1) / 2;
    first.wrapping_mul(count).wrapping_add(between)
}

/// One array of `bytes` handed over again and again.
fn handed(
    context: &Context,
    bytes: usize,
) -> Result<impl FnMut() -> maser::Result<u64> + use<>, BenchError> {
    let reader = reader_there(context)?;
    let mut array = Bytes::in_store(bytes).map_err(failed)?;
    array.fill(7);
    let array = array.seal();
    let graph = Graph::new(|array: Node<Bytes>| reader.look().bind(array));
    let graph = graph.compile().map_err(failed)?;
    Ok(move || {
        let found = graph.execute(array.clone())?.get()?;
        Ok(u64::from(found == (7, bytes > SMALL_BYTES)))
    })
}

fn row(context: &Context, bytes: usize) -> Result<Offer<Lineup>, BenchError> {
    let bytes = if context.effort.quick {
        bytes.min(MIB)
    } else {
        bytes
    };
    beside(context, |partner| {
        let written = Summed::new("maser", written_and_read(context, bytes)?);
        let handed = Summed::new("handed alone", handed(context, bytes)?);
        Ok(Lineup::of(written.wake().settle(SETTLE_NS))
            .floor(PayloadProcess::new("floor/payload", partner, bytes)?)
            .peer(Peer::of(handed.wake().settle(SETTLE_NS).note(
                "an array that is there already: nothing is written, one byte is read",
            ))))
    })
}

/// A row of one size.
macro_rules! size_row {
    ($name:literal, $bytes:expr, $about:literal) => {
        Row::latency($name, 2, $about, |context| row(context, $bytes)).in_runtime(1)
    };
}

/// Sizes of `graph/growth`, bytes: from 1 KiB to 1 GiB.
const GROWTH: [usize; 7] = [
    KIB,
    32 * KIB,
    MIB,
    16 * MIB,
    64 * MIB,
    256 * MIB,
    1_024 * MIB,
];
/// Most bytes that travel as a plain vector, which is copied on its way.
const COPIED_MAX: usize = 64 * MIB;

/// Resident bytes of a process, those of the store's extents among them.
fn resident(pid: u32) -> Result<f64, BenchError> {
    let path = format!("/proc/{pid}/statm");
    let read = std::fs::read_to_string(&path);
    let text = read.map_err(|source| BenchError::Io { path, source })?;
    let pages: Option<f64> = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(pages.unwrap_or(f64::NAN) * rustix::param::page_size() as f64)
}

/// The row `graph/growth`: what is still held after values that grew.
fn growth(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let reader = reader_there(context)?;
    let arrays = Graph::new(|array: Node<Bytes>| reader.look().bind(array));
    let arrays = arrays.compile().map_err(failed)?;
    let vectors = Graph::new(|bytes: Node<Vec<u8>>| reader.weigh().bind(bytes));
    let vectors = vectors.compile().map_err(failed)?;
    let sizes = match context.effort.quick {
        true => &GROWTH[..3],
        false => &GROWTH[..],
    };
    let pass = |bytes: usize| -> maser::Result<bool> {
        let mut array = Bytes::in_store(bytes)?;
        array.fill(7);
        let found = arrays.execute(array.seal())?.get()?;
        let mut right = found == (7, bytes > SMALL_BYTES);
        if bytes <= COPIED_MAX {
            right &= vectors.execute(vec![7; bytes])?.get()? == bytes;
        }
        Ok(right)
    };
    let held = || store_usage().map(|usage| usage.payload_bytes as f64);
    check("the first values", true, pass(KIB).map_err(failed)?)?;
    let (before, resident_before) = (held().map_err(failed)?, resident(std::process::id())?);
    let mut reached = 0;
    let mut refused = None;
    for bytes in sizes {
        match pass(*bytes) {
            Ok(right) => check("a value that grew", true, right)?,
            Err(error) => {
                refused = Some(error.to_string());
                break;
            }
        }
        reached = *bytes;
    }
    // The last value goes back once its reader says so, at the latest with a next one.
    check("the last values", true, pass(KIB).map_err(failed)?)?;
    let after = held().map_err(failed)?;
    let grown = resident(std::process::id())? - resident_before;
    let cooled_s = if context.effort.quick {
        None
    } else {
        await_cold().map_err(failed)?
    };
    let left = resident(std::process::id())? - resident_before;
    let later = match cooled_s {
        Some(seconds) => format!(", {seconds:.1} s later {:+.3} MiB", left / MIB as f64),
        None => String::new(),
    };
    let note = format!(
        "after values of up to {} MiB: store {:+.3} MiB, resident {:+.3} MiB{later}{}",
        reached / MIB,
        (after - before) / MIB as f64,
        grown / MIB as f64,
        refused.map_or(String::new(), |why| format!("; larger ones: {why}")),
    );
    let result =
        RowResult::empty(row).with_samples(&[(after - before).max(0.0)], sizes.len() as u64);
    Ok(Ok(RowResult {
        windows: 1,
        note: Some(note),
        ..result
    }))
}

/// Waits until the store has given back what nothing lies in, but for what the last small value is in; how long that took, s, if it did.
fn await_cold() -> maser::Result<Option<f64>> {
    let pause = Duration::from_millis(100);
    for waited in 0..COLD_LIMIT_S * 10 {
        if store_usage()?.extent_bytes <= EXTENT_BYTES {
            return Ok(Some(f64::from(waited) * pause.as_secs_f64()));
        }
        std::thread::sleep(pause);
    }
    Ok(None)
}

/// Rows of large values.
pub const ROWS: &[Row] = &[
    size_row!(
        "graph/payload/1MiB",
        MIB,
        "1 MiB made in place and read in place by another process"
    ),
    size_row!("graph/payload/1KiB", KIB, "the same with 1 KiB").on_request(),
    size_row!("graph/payload/16KiB", 16 * KIB, "the same with 16 KiB").on_request(),
    size_row!("graph/payload/256KiB", 256 * KIB, "the same with 256 KiB").on_request(),
    size_row!("graph/payload/16MiB", 16 * MIB, "the same with 16 MiB").on_request(),
    size_row!("graph/payload/100MiB", 100 * MIB, "the same with 100 MiB").on_request(),
    Row::whole(
        "graph/growth",
        Unit::Bytes,
        Process::Runtime { schedulers: 1 },
        "what the store still holds after values from 1 KiB to 1 GiB",
        growth,
    )
    .on_cores(2)
    .takes(120.0)
    .on_request(),
];
