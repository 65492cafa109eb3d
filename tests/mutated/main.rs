//! Bytes that peers did not send so: frames, hellos, packets and what else is decoded, made right and then
//! changed, by the million; and the corpora of the fuzzers.
//!
//! `MASER_MUTATIONS` says how many frames there are, `MASER_SEED` which; 10^8 take some minutes by
//!
//!     MASER_MUTATIONS=100000000 cargo test --release -p maser-tests --test mutated -- --nocapture
//!
//! A failure prints the seed of its stream. The largest piece of memory that is asked for meanwhile is limited.

mod allocations;
mod corpora;
mod mutator;
#[path = "../fuzz/src/targets.rs"]
mod targets;

use mutator::{Mutator, Shape};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use targets::Target;

/// Frames of a run that is not told.
const FRAMES: u64 = 500_000;
/// The largest piece of memory that a few frames may need: one payload, and what came before it.
const MAX_ALLOCATION_BYTES: usize = 3 << 20;

fn of_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) => panic!("{name}={text}: {error}"),
    }
}

/// Feeds changed streams of this shape until there were `frames`.
fn run(name: &str, target: Target, shape: Shape, frames: u64) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let begin = of_environment("MASER_SEED")
        .unwrap_or_else(|| since_epoch.map_or(1, |since| since.as_nanos() as u64));
    let started = Instant::now();
    let (mut fed, mut streams, mut most_bytes) = (0, 0, 0);
    while fed < frames {
        let seed = begin.wrapping_add(streams);
        let mut mutator = Mutator::new(seed);
        let (count, stream) = mutator.stream(shape);
        let outcome =
            allocations::largest_while(|| catch_unwind(AssertUnwindSafe(|| target(&stream))));
        let (largest_bytes, outcome) = outcome;
        if let Err(panic) = outcome {
            eprintln!(
                "{name}: MASER_SEED={seed}: {} bytes: {stream:02x?}",
                stream.len()
            );
            resume_unwind(panic);
        }
        assert!(
            largest_bytes <= MAX_ALLOCATION_BYTES,
            "{name}: MASER_SEED={seed}: {largest_bytes} bytes in one piece for {} bytes: {stream:02x?}",
            stream.len()
        );
        most_bytes = most_bytes.max(largest_bytes);
        fed += count;
        streams += 1;
    }
    let took = started.elapsed();
    println!(
        "{name}: {fed} frames in {streams} streams from seed {begin}, no panic, at most {most_bytes} bytes \
         in one piece; {took:?}"
    );
}

fn frames() -> u64 {
    of_environment("MASER_MUTATIONS").unwrap_or(FRAMES)
}

#[test]
fn changed_frames_are_errors_or_served() {
    run("frames", targets::frames, Shape::Frames, frames());
}

#[test]
fn changed_frames_of_who_has_the_key_are_errors_or_served() {
    run("sealed", targets::sealed, Shape::Frames, frames() / 4);
}

#[test]
fn changed_headers_are_errors_or_what_they_say() {
    run("header", targets::header, Shape::Header, frames() / 4);
}

#[test]
fn changed_hellos_and_answers_are_errors() {
    // Each has the mathematics of keys.
    run(
        "handshake",
        targets::handshake,
        Shape::Hello,
        frames() / 200,
    );
}

#[test]
fn changed_packets_are_errors_or_served() {
    run("packets", targets::packets, Shape::Packets, frames() / 20);
}

#[test]
fn changed_addresses_and_regions_are_errors_or_what_they_say() {
    run("forms", targets::forms, Shape::Forms, frames() / 4);
}

#[test]
fn the_mutator_makes_good_frames_too() {
    // Or it would test nothing behind the header: whole streams are served, and most changed ones are not.
    let served = (0..1_000).filter(|seed| {
        let (count, stream) = Mutator::new(*seed).stream(Shape::Frames);
        let Some(mut rest) = stream.get(4..) else {
            return false;
        };
        let mut whole = 0;
        while let Some((wire, behind)) = rest.split_first_chunk() {
            let Ok(header) = maser_transport::wire::FrameHeader::from_wire(wire) else {
                break;
            };
            let Some(behind) = behind.get(header.payload_bytes as usize..) else {
                break;
            };
            whole += 1;
            rest = behind;
        }
        whole == count && rest.is_empty()
    });
    let served = served.count();
    assert!((100..900).contains(&served), "{served} of 1,000");
}
