//! Neighbours that have a descriptor, or may write control memory, and do what they can with it.
#![allow(unsafe_code, reason = "scribbles over shared memory")]

use std::fs::OpenOptions;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use maser_shm::channel::call_slot::{call_bytes, callee_in, caller_in};
use maser_shm::channel::spsc::{
    channel_bytes, line_bytes, line_receiver_in, line_sender_in, receiver_in, sender_in,
};
use maser_shm::control::ControlMemory;
use maser_shm::os::shared_memory::{self, PageKind, View};
use maser_shm::store::extent::{Extent, ForeignExtent};
use rustix::fs::{FallocateFlags, SealFlags};

use crate::child;
use crate::level::Level;
use crate::random::Random;
use crate::row::{Outcome, Row, Run, Tally, broken, check};
use crate::stepper::PATIENCE;
use crate::wire::{self, Message};

/// The rows of this file.
pub const ROWS: [Row; 2] = [
    Row {
        name: "B3.hostile_holder",
        claim: "whoever holds the descriptor of an extent can neither truncate nor grow, punch, \
                write, seal nor map it for writing, while its owner writes and others read; control \
                memory cannot change its size",
        canary: "the extent is not sealed",
        run: holder,
    },
    Row {
        name: "E3.scribbler",
        claim: "a process that scribbles over all control memory makes the other neither fault, \
                panic, hang nor read outside",
        canary: "an index in shared memory is used unchecked",
        run: scribbler,
    },
];

const BYTES: usize = 64 << 10;
const PATTERN: u8 = 0x5a;

fn holder(run: &Run) -> Outcome<Tally> {
    let rounds = run.share_of(100);
    let (ours, theirs) = UnixStream::pair().map_err(broken)?;
    ours.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    let mut random = run.random();
    let level = Level::now()?;
    let mut hostile = child::fork(|| match attack(&theirs, rounds, &mut random) {
        Ok(()) => 0,
        Err(stop) => {
            eprintln!("the hostile process: {stop:?}");
            1
        }
    })?;
    let extent = Extent::create(BYTES, PageKind::Plain).map_err(broken)?;
    let bare = shared_memory::create("bare", PageKind::Plain, BYTES).map_err(broken)?;
    let open = View::map(bare.as_fd(), BYTES, true).map_err(broken)?;
    let control = ControlMemory::create(BYTES).map_err(broken)?;
    let (file, start) = match run.planted {
        false => (extent.file(), extent.start()),
        true => (bare.as_fd(), open.start()),
    };
    // SAFETY: the start of a mapping of `BYTES` bytes; nobody else can write it, as is shown here.
    let write = |at: usize| unsafe { start.as_ptr().add(at).write_volatile(PATTERN) };
    (0..BYTES).for_each(write);
    wire::send_memory(&ours, 0, BYTES as u64, file)?;
    wire::send_memory(&ours, 1, BYTES as u64, control.file())?;
    let reader = ForeignExtent::attach(extent.file(), BYTES as u64, "itself").map_err(broken)?;
    let handle = hostile.handle()?;
    let mut looks = 0;
    // Works on while it is attacked.
    while !handle.is_dead().map_err(broken)? || looks == 0 {
        for at in (0..BYTES).step_by(512) {
            // SAFETY: as above.
            let own = unsafe { start.as_ptr().add(at).read_volatile() };
            check(own == PATTERN, || {
                format!("byte {at} of the extent was changed")
            })?;
            // SAFETY: inside of the reader's mapping.
            let read = unsafe { reader.start().as_ptr().add(at).read_volatile() };
            check(run.planted || read == PATTERN, || {
                format!("byte {at} was changed")
            })?;
            write(at);
        }
        looks += 1;
    }
    let end = hostile.wait();
    check(end == child::End::Exit(0), || {
        format!("an attack got through: {end:?}")
    })?;
    drop((reader, control, extent, bare, open, handle));
    level.is_back()?;
    Ok(Tally::of(rounds * 7))
}

/// The hostile process: each attack must be refused.
fn attack(link: &UnixStream, rounds: u64, random: &mut Random) -> Outcome<()> {
    let next = |link| match wire::receive(link)? {
        Some(Message::Memory { file, .. }) => Ok(file),
        other => Err(broken(format!("no memory came but {other:?}"))),
    };
    let (extent, control): (OwnedFd, OwnedFd) = (next(link)?, next(link)?);
    let path = format!("/proc/self/fd/{}", extent.as_raw_fd());
    for _ in 0..rounds {
        let reopened = OpenOptions::new().read(true).write(true).open(&path);
        let reopened = reopened.map(OwnedFd::from);
        let files = [
            Some(extent.as_fd()),
            reopened.as_ref().ok().map(AsFd::as_fd),
        ];
        for file in files.into_iter().flatten() {
            attack_extent(file, random)?;
        }
        let size = random.below(2 * BYTES as u64);
        let resized = rustix::fs::ftruncate(&control, size);
        check(resized.is_err() || size == BYTES as u64, || {
            "control memory changed its size".into()
        })?;
    }
    Ok(())
}

fn attack_extent(file: BorrowedFd<'_>, random: &mut Random) -> Outcome<()> {
    let at = random.below(BYTES as u64 / 4096) * 4096;
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let attempts = [
        ("truncated", rustix::fs::ftruncate(file, at).is_ok()),
        (
            "grown",
            rustix::fs::ftruncate(file, BYTES as u64 + at + 1).is_ok(),
        ),
        (
            "punched",
            rustix::fs::fallocate(file, punch, at, 4096).is_ok(),
        ),
        ("written", rustix::io::pwrite(file, b"hostile", at).is_ok()),
        (
            "sealed",
            rustix::fs::fcntl_add_seals(file, SealFlags::WRITE).is_ok(),
        ),
        ("mapped for writing", View::map(file, BYTES, true).is_ok()),
    ];
    for (what, done) in attempts {
        check(!done, || format!("the extent was {what}"))?;
    }
    Ok(())
}

/// Messages that the victim tries to pass a round.
const STEPS: u64 = 200_000;
const CAPACITY: usize = 8;

fn scribbler(run: &Run) -> Outcome<Tally> {
    let rounds = run.share_of(40);
    let mut random = run.random();
    for _ in 0..rounds {
        let seed = random.next();
        let planted = run.planted;
        let memory = ControlMemory::create(bytes_of_all()?).map_err(broken)?;
        let hostile = child::fork(|| scribble(&memory, seed))?;
        child::in_a_child(PATIENCE, || work(&memory, planted).map(|()| String::new()))?;
        drop(hostile);
    }
    Ok(Tally::of(rounds * STEPS))
}

/// Bytes of each of the three channels.
fn parts() -> Outcome<[usize; 3]> {
    let bytes = [
        line_bytes::<[u64; 5]>(CAPACITY),
        channel_bytes::<[u64; 5]>(CAPACITY),
        call_bytes::<[u64; 2], [u64; 2]>(CAPACITY),
    ];
    let mut parts = [0; 3];
    for (part, bytes) in parts.iter_mut().zip(bytes) {
        *part = bytes.map_err(broken)?.next_multiple_of(4096);
    }
    Ok(parts)
}

fn bytes_of_all() -> Outcome<usize> {
    Ok(parts()?.iter().sum())
}

/// The hostile process: writes words over everything until it is killed.
fn scribble(memory: &ControlMemory, seed: u64) -> i32 {
    let mut random = Random::new(seed);
    let region = memory.whole();
    let words = region.start().cast::<u64>();
    let count = region.bytes() as u64 / 8;
    loop {
        let at = random.below(count) as usize;
        // SAFETY: inside of the mapping; whoever else has it takes every word for input.
        let word = unsafe { words.add(at) };
        // Words near to what could be right are worse than others.
        let value = match random.below(4) {
            0 => random.next(),
            1 => random.below(64),
            2 => 1 << random.below(64),
            // SAFETY: as above.
            _ => unsafe { word.read_volatile() }
                .wrapping_add(random.below(5))
                .wrapping_sub(2),
        };
        // SAFETY: as above.
        unsafe { word.write_volatile(value) };
    }
}

/// The victim: uses all channels over the memory, and takes whatever comes.
fn work(memory: &ControlMemory, planted: bool) -> Outcome<()> {
    let [line, stream, calls] = parts()?;
    let line = memory.region(0, line).map_err(broken)?;
    let stream_at = line.bytes();
    let stream = memory.region(stream_at, stream).map_err(broken)?;
    let calls = memory
        .region(stream_at + stream.bytes(), calls)
        .map_err(broken)?;
    // SAFETY: the start of a mapping.
    while unsafe { line.start().as_ptr().read_volatile() } == 0 {
        std::thread::yield_now(); // The other one has not begun.
    }
    let mut done = 0;
    while done < STEPS {
        // An end that finds another shape, or is taken, is an answer as well.
        let mut ends = (
            line_sender_in::<[u64; 5]>(&line, CAPACITY),
            line_receiver_in::<[u64; 5]>(&line, CAPACITY),
            sender_in::<[u64; 5]>(&stream, CAPACITY),
            receiver_in::<[u64; 5]>(&stream, CAPACITY),
            caller_in::<[u64; 2], [u64; 2]>(&calls, CAPACITY),
            callee_in::<[u64; 2], [u64; 2]>(&calls, CAPACITY),
        );
        for step in 0..20u64 {
            done += 1;
            if let Ok(sender) = &mut ends.0 {
                let _answer = sender.try_send([step; 5]);
            }
            if let Ok(receiver) = &mut ends.1 {
                let _answer = receiver.try_recv();
            }
            if let Ok(sender) = &mut ends.2 {
                let _answer = sender.try_send([step; 5]);
            }
            if let Ok(receiver) = &mut ends.3 {
                let most = 2 * CAPACITY;
                let taken = receiver.try_recv_batch(most, |_| {});
                check(taken <= most, || {
                    format!("{taken} values, {most} were wanted")
                })?;
            }
            if let Ok(caller) = &mut ends.4
                && let Ok(number) = caller.try_call([step; 2])
            {
                if let Ok(callee) = &mut ends.5 {
                    callee.try_serve(|question| question);
                }
                let _answer = caller.try_settle(number);
            }
        }
        if planted {
            // SAFETY: the start of a mapping, aligned.
            let index = unsafe { line.start().cast::<u64>().add(64).read_volatile() };
            let table = [1u8; CAPACITY];
            std::hint::black_box(table[index as usize]);
        }
        // Fresh ends can be opened again where the claims were scribbled over; where they were not,
        // they are taken away here.
        for region in [&line, &stream, &calls] {
            // SAFETY: the header of a ring: 16 bytes of shape, then the claims.
            unsafe { region.start().as_ptr().write_bytes(0, 24) };
        }
    }
    Ok(())
}
