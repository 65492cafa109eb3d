//! The object store of one process: small objects, large copies, memory made in place.

use std::hint::black_box;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;

use maser_shm::store::{
    Arena, Descriptor, Foreign, Leave, PeerId, Release, Store, StoreConfig, StoreError,
};

use crate::floors::{ArcClone, FreshCopy, Memcpy, NoopCall, Place, StreamCopy};
use crate::harness::{
    BenchError, Contender, Context, Lineup, Offer, Peer, Row, Summed, Window, check,
};
use crate::peers::Iceoryx2Loan;

const MIB: usize = 1 << 20;

fn failed(error: impl ToString) -> BenchError {
    BenchError::contender("the store", error)
}

/// A store in which objects of `bytes` have been, so that its pages are there.
fn warm_store(bytes: usize) -> Result<(Store, Arena), BenchError> {
    let store = Store::new(StoreConfig::new(2 * bytes + 64 * MIB)).map_err(failed)?;
    let arena = store.arena();
    drop(arena.create(bytes).map_err(failed)?);
    store.settle();
    Ok((store, arena))
}

fn put_small(_: &Context) -> Result<Offer<Lineup>, BenchError> {
    const BYTES: usize = 1_024;
    let (store, arena) = warm_store(BYTES)?;
    let from = [7; BYTES];
    let common = store.clone();
    let by_anyone = move || {
        let object = common.put(black_box(&from))?;
        Ok::<_, StoreError>(u64::from(object.len() == BYTES))
    };
    let subject = move || {
        let object = arena.put(black_box(&from))?;
        Ok::<_, StoreError>(u64::from(black_box(object).len() == BYTES))
    };
    Ok(Ok(Lineup::of(Summed::new("maser", subject))
        .floor(Memcpy::new("floor/memcpy_1k", BYTES))
        .peer(Peer::of(
            Summed::new("no arena", by_anyone).note("maser, by a thread without an arena"),
        ))
        .peer(Peer::offered("iceoryx2", Iceoryx2Loan::new(BYTES)))))
}

struct Nobody;

impl Release for Nobody {
    fn release(&self, _owner: PeerId, _descriptor: Descriptor, _count: u64) {}
}

fn get(_: &Context) -> Result<Offer<Lineup>, BenchError> {
    const OWNER: PeerId = PeerId(1);
    let (store, arena) = warm_store(1_024)?;
    let object = arena.put(&[7; 1_024]).map_err(failed)?;
    let descriptor = object.descriptor();
    let shelved = store.shelve(object.clone(), Leave::Dropped);
    let shelved = shelved.map_err(failed)?;
    let foreign = Foreign::new(Arc::new(Nobody));
    let mut added = Ok(());
    store.extents(|id, file, bytes| {
        if let Err(error) = foreign.add_extent(OWNER, id, file, bytes) {
            added = Err(failed(error));
        }
    });
    added?;
    let subject = move || {
        let found = black_box(&shelved).get()?;
        Ok::<_, StoreError>(u64::from(black_box(found)[0] == 7))
    };
    let opened = move || {
        let found = foreign.open(OWNER, black_box(descriptor))?;
        // The object must outlive its being opened.
        Ok::<_, StoreError>(u64::from(found[0] == 7 && object.len() == 1_024))
    };
    Ok(Ok(Lineup::of(Summed::new("maser", subject))
        .floor(ArcClone::default())
        .peer(Peer::of(Summed::new("first get", opened).note(
            "maser, an object that came from another process",
        )))))
}

fn give(_: &Context) -> Result<Offer<Lineup>, BenchError> {
    const READER: PeerId = PeerId(1);
    let (store, arena) = warm_store(1_024)?;
    store.add_peer(READER, "reader");
    let object = arena.put(&[7; 1_024]).map_err(failed)?;
    let subject = move || {
        let descriptor = store.give(black_box(&object), READER)?;
        store.take_back(READER, black_box(descriptor), 1)?;
        Ok::<_, StoreError>(1)
    };
    Ok(Ok(
        Lineup::of(Summed::new("maser", subject)).floor(ArcClone::default())
    ))
}

/// A put of `bytes` beside copies into the same pages.
fn put_large(context: &Context, bytes: usize) -> Result<Offer<Lineup>, BenchError> {
    let bytes = if context.effort.quick { 4 * MIB } else { bytes };
    let (store, arena) = warm_store(bytes)?;
    let arena = Rc::new(arena);
    let from: Arc<[u8]> = (0..bytes).map(|index| (index % 251) as u8).collect();
    let pages = arena.create(bytes).map_err(failed)?.as_ptr().addr();
    let place = || -> Place {
        let arena = Rc::clone(&arena);
        // Between two of these everything is freed, so there is room as there was for the first.
        Box::new(move || Box::new(arena.create(bytes).expect("room as before")))
    };
    let one = StreamCopy::new("floor/stream_copy", &from, place(), 1);
    let all = StreamCopy::new("two cores", &from, place(), 2);
    let (plain_place, plain_from) = (place(), Arc::clone(&from));
    let plain = move || {
        let mut to = plain_place();
        to.copy_from_slice(&plain_from);
        Ok::<_, BenchError>(u64::from(to.last() == plain_from.last()))
    };
    let fresh = FreshCopy::new(&from);
    let subject = move || {
        let object = arena.put(black_box(&from))?;
        let is_there = object.as_ptr().addr() == pages && object.last() == from.last();
        // The store stays as long as its rows.
        Ok::<_, StoreError>(u64::from(is_there && store.usage().objects == 1))
    };
    Ok(Ok(Lineup::of(Summed::new("maser", subject))
        .floor(one)
        .peer(Peer::of(all))
        .peer(Peer::of(Summed::new("memcpy", plain)))
        .peer(Peer::of(fresh))))
}

/// Making an object and sealing it; the writing in between is not timed.
struct MakeInPlace {
    name: &'static str,
    arena: Rc<Arena>,
    bytes: usize,
    warm: bool,
}

/// Page faults of the calling thread so far. Takes no memory, which could be one.
fn faults() -> Result<u64, BenchError> {
    let mut bytes = [0; 1_024];
    let mut file = std::fs::File::open("/proc/thread-self/stat").map_err(failed)?;
    let length = file.read(&mut bytes).map_err(failed)?;
    let text = std::str::from_utf8(&bytes[..length]).map_err(failed)?;
    // The name, in parentheses, may have spaces in it; minor and major faults are words 8 and 10
    // behind it.
    let mut words = text.rsplit(')').next().unwrap_or("").split(' ');
    let mut word = |skipped: usize| words.nth(skipped).and_then(|word| word.parse::<u64>().ok());
    let both = word(8).zip(word(1)).map(|(minor, major)| minor + major);
    both.ok_or_else(|| failed("/proc/thread-self/stat has no faults"))
}

impl MakeInPlace {
    fn write_whole(&self) -> Result<(), StoreError> {
        let mut object = self.arena.create(self.bytes)?;
        object.fill(7);
        drop(object.seal());
        Ok(())
    }
}

impl Contender for MakeInPlace {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        if !self.warm {
            self.write_whole().map_err(failed)?;
        }
        let before = faults()?;
        let (mut made, mut refused) = (0, None);
        window.time(|| match self.arena.create(self.bytes) {
            Ok(object) => made += u64::from(black_box(object.seal()).len() == self.bytes),
            Err(error) => refused = Some(error),
        });
        if let Some(error) = refused {
            return Err(failed(error));
        }
        let taken = faults()? - before;
        self.write_whole().map_err(failed)?;
        // Not those of the first window, in which code runs that was never there before.
        if std::mem::replace(&mut self.warm, true) {
            check("page faults of warm memory", 0, taken)?;
        }
        check(self.name, window.calls(), made)
    }
}

fn make_in_place(context: &Context) -> Result<Offer<Lineup>, BenchError> {
    let large = if context.effort.quick {
        4 * MIB
    } else {
        64 * MIB
    };
    let make = |name, bytes| {
        let (_, arena) = warm_store(bytes)?;
        Ok::<_, BenchError>(MakeInPlace {
            name,
            arena: Rc::new(arena),
            bytes,
            warm: false,
        })
    };
    Ok(Ok(Lineup::of(make("maser", MIB)?)
        .floor(NoopCall::default())
        .peer(Peer::of(make("64 B", 64)?))
        .peer(Peer::of(make("64 MiB", large)?))
        .peer(Peer::offered("iceoryx2", Iceoryx2Loan::new(MIB)))))
}

/// Rows of the store.
pub const ROWS: &[Row] = &[
    Row::latency("store/put/1KiB", 1, "put 1 KiB and let go of it", put_small).in_own_process(),
    Row::latency(
        "store/get",
        1,
        "get an object that may leave memory, read it, let go of it",
        get,
    )
    .in_own_process(),
    Row::latency(
        "store/give",
        1,
        "note that a process gets an object, and that it gave it back",
        give,
    )
    .in_own_process(),
    Row::latency(
        "store/put/64MiB",
        2,
        "put 64 MiB beside a streaming copy into the same pages",
        |context| put_large(context, 64 * MIB),
    )
    .in_own_process(),
    Row::latency(
        "store/put/256MiB",
        2,
        "put 256 MiB beside a streaming copy into the same pages",
        |context| put_large(context, 256 * MIB),
    )
    .in_own_process(),
    Row::latency(
        "store/make_in_place",
        1,
        "make an object of 1 MiB and seal it, beside the writing; no page faults",
        make_in_place,
    )
    .in_own_process(),
];
