//! Channels and events between two processes, and what is left when one of them is killed.
#![cfg(not(any(loom, miri)))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use maser_shm::channel::call_slot::{call_bytes, callee_in, caller_in};
use maser_shm::channel::spsc::{
    channel_bytes, line_bytes, line_receiver_in, line_sender_in, receiver_in, sender_in,
};
use maser_shm::channel::{PeerFault, Shared, TryRecvError, TrySendError, broadcast, mpsc};
use maser_shm::control::{ControlMemory, Region};
use maser_shm::os::membarrier;
use maser_shm::sync::event::SharedEvent;
use support::{Process, part, until};

/// A value that is whole only if all its words are.
type Wide = [u64; 9];

fn wide(value: u64) -> Wide {
    std::array::from_fn(|word| value.wrapping_mul(word as u64 + 1))
}

/// Two regions, each for a channel of so many bytes.
fn there_and_back(bytes: usize) -> ControlMemory {
    ControlMemory::create(2 * bytes.next_multiple_of(4096)).unwrap()
}

fn halves(memory: &ControlMemory) -> [Region; 2] {
    let half = memory.bytes() / 2;
    [0, half].map(|from| memory.region(from, half).unwrap())
}

/// A child that gives back what it gets, over rings that `$sender` and `$receiver` open.
macro_rules! echo {
    ($test:ident, $value:ty, $make:expr, $bytes:expr, $sender:expr, $receiver:expr) => {
        #[test]
        fn $test() {
            const VALUES: u64 = 2_000;
            if let Some((_, memory)) = part() {
                let [there, back] = halves(&memory);
                let (mut receiver, mut sender) = ($receiver(&there), $sender(&back));
                for _ in 0..VALUES {
                    let value: $value = until(|| receiver.try_recv().ok());
                    until(|| sender.try_send(value).ok());
                }
                return;
            }
            let memory = there_and_back($bytes.unwrap());
            let [there, back] = halves(&memory);
            let child = Process::start(stringify!($test), "echo", &memory);
            // Values go before anybody has opened the other end.
            let (mut sender, mut receiver) = ($sender(&there), $receiver(&back));
            let (mut sent, mut received) = (0, 0);
            while received < VALUES {
                if sent < VALUES && sender.try_send($make(sent)).is_ok() {
                    sent += 1;
                } else if let Ok(value) = receiver.try_recv() {
                    assert_eq!(value, $make(received));
                    received += 1;
                } else {
                    std::thread::yield_now();
                }
            }
            assert!(child.join().success());
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
            let refused = sender.try_send($make(0));
            assert_eq!(refused, Err(TrySendError::Closed($make(0))));
        }
    };
}

echo!(
    a_line_ring_echoes_between_processes,
    u64,
    |value| value,
    line_bytes::<u64>(16),
    |region| line_sender_in::<u64>(region, 16).unwrap(),
    |region| line_receiver_in::<u64>(region, 16).unwrap()
);
echo!(
    a_line_ring_of_wide_values_echoes_between_processes,
    Wide,
    wide,
    line_bytes::<Wide>(4),
    |region| line_sender_in::<Wide>(region, 4).unwrap(),
    |region| line_receiver_in::<Wide>(region, 4).unwrap()
);
echo!(
    a_ring_of_positions_echoes_between_processes,
    Wide,
    wide,
    channel_bytes::<Wide>(8),
    |region| sender_in::<Wide>(region, 8).unwrap(),
    |region| receiver_in::<Wide>(region, 8).unwrap()
);
echo!(
    lanes_echo_between_processes,
    u64,
    |value| value,
    line_bytes::<u64>(8),
    |region| mpsc::sender_in::<u64>(region, 8).unwrap(),
    |region| {
        let mut receiver = mpsc::Receiver::<u64, Shared>::new();
        receiver.add_lane_in(region, 8).unwrap();
        receiver
    }
);
echo!(
    a_broadcast_echoes_between_processes,
    Wide,
    wide,
    broadcast::channel_bytes::<Wide>(1, 8),
    |region| broadcast::sender_in::<Wide>(region, 1, 8).unwrap(),
    |region| broadcast::receiver_in::<Wide>(region, 1, 8, 0).unwrap()
);

#[test]
fn questions_are_answered_by_another_process() {
    const DEPTH: usize = 4;
    let open = |memory: &ControlMemory| callee_in::<u64, Wide>(&memory.whole(), DEPTH).unwrap();
    if let Some((_, memory)) = part() {
        let mut callee = open(&memory);
        while !callee.is_closed() || callee.is_ready() {
            if !callee.try_serve(wide) {
                std::thread::yield_now();
            }
        }
        return;
    }
    let memory = ControlMemory::create(call_bytes::<u64, Wide>(DEPTH).unwrap()).unwrap();
    let child = Process::start("questions_are_answered_by_another_process", "", &memory);
    let mut caller = caller_in::<u64, Wide>(&memory.whole(), DEPTH).unwrap();
    for round in 0..1_000_u64 {
        let questions = 1 + round % DEPTH as u64;
        let numbers: Vec<_> = (0..questions)
            .map(|more| caller.try_call(round + more).unwrap())
            .collect();
        for (more, number) in numbers.into_iter().enumerate().rev() {
            let answer = until(|| caller.try_take(number));
            assert_eq!(answer, wide(round + more as u64));
        }
    }
    drop(caller);
    assert!(child.join().success());
}

/// Kills a child that sends as fast as it can, many times, at whatever instruction it is.
#[test]
fn what_a_killed_sender_had_published_stays_and_nothing_else_is_seen() {
    const CAPACITY: usize = 8;
    if let Some((_, memory)) = part() {
        let mut sender = line_sender_in(&memory.whole(), CAPACITY).unwrap();
        for value in 0.. {
            until(|| sender.try_send(wide(value)).ok());
        }
    }
    let bytes = line_bytes::<Wide>(CAPACITY).unwrap();
    for round in 0..20 {
        let memory = ControlMemory::create(bytes).unwrap();
        let mut receiver = line_receiver_in::<Wide>(&memory.whole(), CAPACITY).unwrap();
        let name = "what_a_killed_sender_had_published_stays_and_nothing_else_is_seen";
        let mut child = Process::start(name, "", &memory);
        let mut want = 0;
        while want < 50 * round {
            assert_eq!(until(|| receiver.try_recv().ok()), wide(want));
            want += 1;
        }
        child.kill();
        assert!(!receiver.is_closed(), "death is learnt from outside");
        receiver.peer_died();
        let until_closed = want + CAPACITY as u64;
        loop {
            match receiver.try_recv() {
                Ok(value) => assert_eq!(value, wide(want)),
                Err(error) => break assert_eq!(error, TryRecvError::Closed),
            }
            want += 1;
            assert!(want <= until_closed, "more than the ring holds");
        }
        assert_eq!(receiver.fault(), Some(PeerFault::Died));
    }
}

#[test]
fn a_sender_is_told_of_its_receivers_death() {
    const CAPACITY: usize = 4;
    if let Some((_, memory)) = part() {
        let mut receiver = receiver_in::<u64>(&memory.whole(), CAPACITY).unwrap();
        for value in 0.. {
            assert_eq!(until(|| receiver.try_recv().ok()), value);
        }
    }
    let memory = ControlMemory::create(channel_bytes::<u64>(CAPACITY).unwrap()).unwrap();
    let mut sender = sender_in::<u64>(&memory.whole(), CAPACITY).unwrap();
    let mut child = Process::start("a_sender_is_told_of_its_receivers_death", "", &memory);
    for value in 0..1_000 {
        until(|| sender.try_send(value).ok());
    }
    child.kill();
    until(|| sender.try_send(0).err()); // Full: nobody takes anything any more.
    sender.peer_died();
    assert_eq!(sender.try_send(7), Err(TrySendError::Closed(7)));
    assert_eq!(sender.fault(), Some(PeerFault::Died));
}

#[test]
fn answers_of_a_killed_callee_can_be_taken_and_the_others_never_come() {
    const DEPTH: usize = 4;
    const NAME: &str = "answers_of_a_killed_callee_can_be_taken_and_the_others_never_come";
    if let Some((_, memory)) = part() {
        let mut callee = callee_in::<u64, u64>(&memory.whole(), DEPTH).unwrap();
        let (first, question) = until(|| callee.try_next());
        let (_second, _) = until(|| callee.try_next());
        callee.answer(first, question + 1);
        until(|| None::<()>);
    }
    let memory = ControlMemory::create(call_bytes::<u64, u64>(DEPTH).unwrap()).unwrap();
    let mut caller = caller_in::<u64, u64>(&memory.whole(), DEPTH).unwrap();
    let numbers = [1, 2, 3].map(|question| caller.try_call(question).unwrap());
    let mut child = Process::start(NAME, "", &memory);
    until(|| caller.is_answered(numbers[0]).then_some(()));
    child.kill();
    caller.peer_died();
    assert!(caller.is_closed() && caller.try_call(4).is_err());
    assert_eq!(
        numbers.map(|number| caller.try_take(number)),
        [Some(2), None, None]
    );
    assert_eq!(caller.fault(), Some(PeerFault::Died));
}

#[test]
fn a_dead_reader_of_a_broadcast_holds_nobody_up() {
    const NAME: &str = "a_dead_reader_of_a_broadcast_holds_nobody_up";
    let reader = |memory: &ControlMemory, index| {
        broadcast::receiver_in::<u64>(&memory.whole(), 2, 4, index).unwrap()
    };
    if let Some((_, memory)) = part() {
        let mut dying = reader(&memory, 1);
        assert_eq!(until(|| dying.try_recv().ok()), 0);
        until(|| None::<()>);
    }
    let memory = ControlMemory::create(broadcast::channel_bytes::<u64>(2, 4).unwrap()).unwrap();
    let mut sender = broadcast::sender_in::<u64>(&memory.whole(), 2, 4).unwrap();
    let mut living = reader(&memory, 0);
    let mut child = Process::start(NAME, "", &memory);
    for value in 0..5 {
        // The fifth goes once the other process has read the first.
        until(|| sender.try_send(value).ok());
        assert_eq!(living.try_recv(), Ok(value));
    }
    child.kill();
    assert!(sender.is_full() && !sender.is_closed());
    sender.peer_died(1);
    for value in 5..50 {
        sender.try_send(value).unwrap();
        assert_eq!(living.try_recv(), Ok(value));
    }
    drop(living);
    assert!(sender.is_closed());
}

/// Two processes hand a number to and fro and sleep in between, while a second thread of the parker's
/// own process notifies it as well; a lost wake-up hangs the test.
#[test]
fn no_wake_up_between_processes_is_lost() {
    const ROUNDS: u64 = 2_000;
    let open = |memory: &ControlMemory| {
        let whole = memory.whole();
        let at = |index: usize| {
            let part = whole.part(index * SharedEvent::BYTES, SharedEvent::BYTES);
            SharedEvent::in_region(&part.unwrap()).unwrap()
        };
        [at(0), at(1)]
    };
    /// Waits for each number of its turn and sends the next.
    fn play(
        mine: &SharedEvent,
        theirs: &SharedEvent,
        mut next: impl FnMut() -> Option<u64>,
        mut send: impl FnMut(u64),
        from: u64,
    ) {
        for want in (from..ROUNDS).step_by(2) {
            let got = loop {
                if let Some(got) = next() {
                    break got;
                }
                mine.prepare_park();
                match next() {
                    Some(got) => {
                        mine.cancel_park();
                        break got;
                    }
                    None => drop(mine.park(None)),
                }
            };
            assert_eq!(got, want);
            send(want + 1);
            theirs.notify_across();
        }
    }
    membarrier::register();
    let bytes = line_bytes::<u64>(1).unwrap().next_multiple_of(128);
    let rings = |memory: &ControlMemory| {
        [4096, 4096 + bytes].map(|from| memory.region(from, bytes).unwrap())
    };
    if let Some((_, memory)) = part() {
        let ([ours, theirs], [there, back]) = (open(&memory), rings(&memory));
        let mut receiver = line_receiver_in::<u64>(&there, 1).unwrap();
        let mut sender = line_sender_in::<u64>(&back, 1).unwrap();
        let next = || receiver.try_recv().ok();
        play(
            &theirs,
            &ours,
            next,
            |value| sender.try_send(value).unwrap(),
            0,
        );
        return;
    }
    let memory = ControlMemory::create(4096 + 2 * bytes).unwrap();
    let ([ours, theirs], [there, back]) = (open(&memory), rings(&memory));
    let mut sender = line_sender_in::<u64>(&there, 1).unwrap();
    let mut receiver = line_receiver_in::<u64>(&back, 1).unwrap();
    sender.try_send(0).unwrap();
    let child = Process::start("no_wake_up_between_processes_is_lost", "", &memory);
    // Work of a thread of our own, published under the same event by the cheap side of the fence.
    let local = Arc::new(AtomicU64::new(0));
    let helper = std::thread::spawn({
        let (local, ours) = (local.clone(), ours.clone());
        move || {
            for _ in 0..ROUNDS {
                local.fetch_add(1, Ordering::Relaxed);
                ours.notify();
                std::thread::yield_now();
            }
        }
    });
    play(
        &ours,
        &theirs,
        || receiver.try_recv().ok(),
        |value| {
            if value < ROUNDS {
                sender.try_send(value).unwrap();
            }
        },
        1,
    );
    // What the helper still has to publish comes by its own notifications alone.
    while local.load(Ordering::Relaxed) < ROUNDS {
        ours.prepare_park();
        if local.load(Ordering::Relaxed) < ROUNDS {
            ours.park(None);
        } else {
            ours.cancel_park();
        }
    }
    helper.join().unwrap();
    assert!(child.join().success());
}
