//! Ends in control memory against a peer that writes anything anywhere: no panic, no wait, nothing
//! outside of the region.
#![cfg(not(any(loom, miri)))]
#![allow(unsafe_code, reason = "writes where a peer would")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use maser_shm::channel::call_slot::{call_bytes, callee_in, caller_in};
use maser_shm::channel::spsc::{
    channel_bytes, line_bytes, line_receiver_in, line_sender_in, receiver_in, sender_in,
};
use maser_shm::channel::{PeerFault, Shared, broadcast, mpsc};
use maser_shm::control::{ControlMemory, Region};
use proptest::prelude::*;

/// Bytes of the shape and the claims.
const HEADER: usize = 128;

type Wide = [u64; 9];

/// The word at `at` of a region, as a peer sees it.
fn word(region: &Region, at: usize) -> &AtomicU64 {
    assert!(at.is_multiple_of(8) && at + 8 <= region.bytes());
    // SAFETY: inside the region, which outlives the borrow, and aligned.
    unsafe { region.start().add(at).cast().as_ref() }
}

/// One end and what it does in a step; panics if an end that found its peer out goes on.
type Steps = Box<dyn FnMut(u8)>;

/// A sender of a ring, by whatever type.
macro_rules! sending {
    ($sender:expr, $value:expr) => {{
        let mut sender = $sender;
        Box::new(move |step: u8| {
            let was_corrupt = matches!(sender.fault(), Some(PeerFault::Corrupt { .. }));
            let sent = match step % 3 {
                0 => sender.try_send_batch(&mut std::iter::repeat_n($value, 5)) > 0,
                1 => {
                    sender.is_full();
                    false
                }
                _ => sender.try_send($value).is_ok(),
            };
            assert!(!was_corrupt || !sent);
        }) as Steps
    }};
}

/// A receiver of a ring, by whatever type.
macro_rules! receiving {
    ($receiver:expr) => {{
        let mut receiver = $receiver;
        Box::new(move |step: u8| {
            let was_corrupt = matches!(receiver.fault(), Some(PeerFault::Corrupt { .. }));
            let received = match step % 3 {
                0 => receiver.try_recv_batch(5, drop) > 0,
                1 => receiver.is_ready(),
                _ => receiver.try_recv().is_ok(),
            };
            assert!(!was_corrupt || !received);
        }) as Steps
    }};
}

/// An end for the torture: its name, the bytes its ring needs, and how it is opened.
type Victim = (&'static str, usize, fn(&Region) -> Steps);

fn victims() -> Vec<Victim> {
    vec![
        ("line sender", line_bytes::<u64>(16).unwrap(), |region| {
            sending!(line_sender_in::<u64>(region, 16).unwrap(), 7)
        }),
        ("line receiver", line_bytes::<u64>(16).unwrap(), |region| {
            receiving!(line_receiver_in::<u64>(region, 16).unwrap())
        }),
        (
            "wide line sender",
            line_bytes::<Wide>(4).unwrap(),
            |region| sending!(line_sender_in::<Wide>(region, 4).unwrap(), [7; 9]),
        ),
        (
            "wide line receiver",
            line_bytes::<Wide>(4).unwrap(),
            |region| receiving!(line_receiver_in::<Wide>(region, 4).unwrap()),
        ),
        ("sender", channel_bytes::<Wide>(4).unwrap(), |region| {
            sending!(sender_in::<Wide>(region, 4).unwrap(), [7; 9])
        }),
        ("receiver", channel_bytes::<Wide>(4).unwrap(), |region| {
            receiving!(receiver_in::<Wide>(region, 4).unwrap())
        }),
        ("lanes", line_bytes::<u64>(4).unwrap(), |region| {
            let mut receiver = mpsc::Receiver::<u64, Shared>::new();
            receiver.add_lane_in(region, 4).unwrap();
            Box::new(move |step| match step % 2 {
                0 => drop(receiver.try_recv_batch(5, drop)),
                _ => drop(receiver.try_recv()),
            })
        }),
        (
            "broadcast sender",
            broadcast::channel_bytes::<Wide>(3, 4).unwrap(),
            |region| {
                let mut sender = broadcast::sender_in::<Wide>(region, 3, 4).unwrap();
                Box::new(move |step| match step {
                    255 => sender.peer_died(1),
                    0..100 => sender.reclaim(),
                    _ => drop(sender.try_send([7; 9])),
                })
            },
        ),
        (
            "broadcast receiver",
            broadcast::channel_bytes::<Wide>(3, 4).unwrap(),
            |region| {
                let mut receiver = broadcast::receiver_in::<Wide>(region, 3, 4, 1).unwrap();
                Box::new(move |_| {
                    let _received = receiver.try_recv();
                })
            },
        ),
        ("caller", call_bytes::<u64, Wide>(4).unwrap(), |region| {
            let mut caller = caller_in::<u64, Wide>(region, 4).unwrap();
            let mut asked = Vec::new();
            Box::new(move |step| match step % 3 {
                0 => asked.extend(caller.try_call(7)),
                1 => asked.retain(|number| caller.try_take(*number).is_none()),
                _ => asked.retain(|number| caller.try_settle(*number).is_none()),
            })
        }),
        ("callee", call_bytes::<u64, Wide>(4).unwrap(), |region| {
            let mut callee = callee_in::<u64, Wide>(region, 4).unwrap();
            let mut taken = Vec::new();
            Box::new(move |step| match step % 4 {
                0 => drop(callee.try_serve(|question| [question; 9])),
                1 => taken.extend(callee.try_next().map(|(number, _)| number)),
                2 => taken
                    .drain(..)
                    .for_each(|number| callee.answer(number, [7; 9])),
                _ => taken.drain(..).for_each(|number| callee.abandon(number)),
            })
        }),
    ]
}

/// A region with the end of its mapping right behind it, and a pattern before it.
struct Arena {
    memory: ControlMemory,
    from: usize,
}

const PATTERN: u64 = 0x5555_aaaa_5555_aaaa;

impl Arena {
    fn new(bytes: usize) -> Self {
        let bytes = bytes.next_multiple_of(128);
        let memory = ControlMemory::create(bytes + 4096).unwrap();
        let from = memory.bytes() - bytes;
        let arena = Self { memory, from };
        arena.before(|word| word.store(PATTERN, Relaxed));
        arena
    }

    fn region(&self) -> Region {
        let bytes = self.memory.bytes() - self.from;
        self.memory.region(self.from, bytes).unwrap()
    }

    fn before(&self, look: impl Fn(&AtomicU64)) {
        let whole = self.memory.whole();
        (0..self.from / 8).for_each(|at| look(word(&whole, 8 * at)));
    }
}

/// What a peer does: words that are near what could be as well as any others.
#[derive(Clone, Debug)]
enum Act {
    Step(u8),
    Store { at: usize, value: u64 },
    Add { at: usize, value: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let value = prop_oneof![
        0..12_u64,
        any::<u64>(),
        (0..12_u64).prop_map(|less| u64::MAX - less),
        (0..12_u64).prop_map(|more| (1 << 63) + more),
    ];
    let near = prop_oneof![1..4_u64, (1..4_u64).prop_map(u64::wrapping_neg)];
    prop_oneof![
        4 => any::<u8>().prop_map(Act::Step),
        1 => (any::<usize>(), value).prop_map(|(at, value)| Act::Store { at, value }),
        1 => (any::<usize>(), near).prop_map(|(at, value)| Act::Add { at, value }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn words_written_between_any_two_steps_hurt_nobody(
        acts in prop::collection::vec(act(), 1..200),
    ) {
        for (_name, bytes, open) in victims() {
            let arena = Arena::new(bytes);
            let region = arena.region();
            let mut step = open(&region);
            // The words that ends look at stand at the starts of lines, so most hits go there.
            let place = |at: usize| match at % 4 {
                0 => at / 4 % (region.bytes() / 8) * 8,
                _ => at / 4 % (region.bytes() / 64) * 64,
            };
            for act in &acts {
                match *act {
                    Act::Step(what) => step(what),
                    Act::Store { at, value } => word(&region, place(at)).store(value, Relaxed),
                    Act::Add { at, value } => {
                        word(&region, place(at)).fetch_add(value, Relaxed);
                    }
                }
            }
            drop(step);
            arena.before(|word| assert_eq!(word.load(Relaxed), PATTERN));
        }
    }
}

#[test]
fn words_written_at_the_same_time_hurt_nobody() {
    const STEPS: u32 = 50_000;
    for (_name, bytes, open) in victims() {
        let arena = Arena::new(bytes);
        let region = arena.region();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = 0x9e37_79b9_7f4a_7c15_u64;
                while !is_over.load(Relaxed) {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    // Not the shape and the claims, which ends look at once, when they open.
                    let words = (region.bytes() - HEADER) / 8;
                    let word = word(&region, HEADER + random as usize % words * 8);
                    match random >> 62 {
                        0 => word.store(random, Relaxed),
                        1 => word.store(random >> 40 & 15, Relaxed),
                        _ => drop(word.fetch_add(random >> 40 & 3, Relaxed)),
                    }
                }
            });
            // A victim that ends by a panic must let the other thread end.
            struct Over<'a>(&'a AtomicBool);
            impl Drop for Over<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Relaxed);
                }
            }
            let _over = Over(&is_over);
            let mut step = open(&region);
            for round in 0..STEPS {
                if round % 1_000 == 0 {
                    (0..region.bytes() / 8).for_each(|at| word(&region, 8 * at).store(0, Relaxed));
                    step = open(&region);
                }
                step((round % 251) as u8);
            }
        });
        arena.before(|word| assert_eq!(word.load(Relaxed), PATTERN));
    }
}
