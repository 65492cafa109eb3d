//! What a round trip costs between two processes, beside the same between two threads.
//!
//! Prints and asserts nothing, so it is ignored: `cargo test -p maser-shm --release --test
//! channel_round_trip -- --ignored --nocapture`, on two cores that do nothing else. The four are
//! measured in turn, window by window; a ratio is the median of the windows' ratios.
#![cfg(not(any(loom, miri)))]

mod support;

use std::time::Instant;

use maser_shm::channel::Shared;
use maser_shm::channel::call_slot::{Callee, Caller, call_bytes, call_ring, callee_in, caller_in};
use maser_shm::channel::spsc::{
    LineReceiver, LineSender, line_bytes, line_channel, line_receiver_in, line_sender_in,
};
use maser_shm::control::{ControlMemory, Region};
use maser_shm::os::affinity;
use maser_shm::sync::event::SharedEvent;
use support::{Process, part};

/// 48 bytes: with the sequence, one line.
type Value = [u64; 6];

const DEPTH: usize = 8;
const ROUNDS: u64 = 5_000;
const WINDOWS: usize = 200;

/// The ends of two line rings and a call slot, of whatever place.
macro_rules! player {
    ($name:ident, $serve:ident, $($place:ty)?) => {
        struct $name {
            sender: LineSender<Value $(, $place)?>,
            receiver: LineReceiver<Value $(, $place)?>,
            caller: Caller<Value, Value $(, $place)?>,
        }

        impl $name {
            /// Nanoseconds of a round trip over the two rings.
            fn rings(&mut self) -> f64 {
                let start = Instant::now();
                for round in 0..ROUNDS {
                    self.sender.try_send([round; 6]).unwrap();
                    while !self.receiver.is_ready() {
                        std::hint::spin_loop();
                    }
                    assert_eq!(self.receiver.try_recv().unwrap()[5], round);
                }
                start.elapsed().as_nanos() as f64 / ROUNDS as f64
            }

            /// Nanoseconds of a question and its answer on one line.
            fn calls(&mut self) -> f64 {
                let start = Instant::now();
                for round in 0..ROUNDS {
                    let number = self.caller.try_call([round; 6]).unwrap();
                    while !self.caller.is_answered(number) {
                        std::hint::spin_loop();
                    }
                    assert_eq!(self.caller.try_take(number).unwrap()[5], round);
                }
                start.elapsed().as_nanos() as f64 / ROUNDS as f64
            }
        }

        /// The other side of both, once.
        fn $serve(
            receiver: &mut LineReceiver<Value $(, $place)?>,
            sender: &mut LineSender<Value $(, $place)?>,
            callee: &mut Callee<Value, Value $(, $place)?>,
        ) {
            for _ in 0..ROUNDS {
                while !receiver.is_ready() {
                    std::hint::spin_loop();
                }
                sender.try_send(receiver.try_recv().unwrap()).unwrap();
            }
            for _ in 0..ROUNDS {
                while !callee.is_ready() {
                    std::hint::spin_loop();
                }
                assert!(callee.try_serve(|question| question));
            }
        }
    };
}

player!(BetweenThreads, serve_thread,);
player!(BetweenProcesses, serve_process, Shared);

/// Rings there and back, the call slot, the order to begin, the event of the other side.
fn parts(memory: &ControlMemory) -> [Region; 5] {
    let bytes = line_bytes::<Value>(DEPTH).unwrap();
    let bytes = bytes.max(call_bytes::<Value, Value>(DEPTH).unwrap());
    let bytes = bytes.next_multiple_of(4096);
    std::array::from_fn(|index| memory.region(index * bytes, bytes).unwrap())
}

fn other_process(memory: &ControlMemory, cpu: usize) {
    affinity::pin(cpu).unwrap();
    let [there, back, calls, orders, event] = parts(memory);
    let event = SharedEvent::in_region(&event).unwrap();
    let mut orders = line_receiver_in::<u64>(&orders, 1).unwrap();
    let mut receiver = line_receiver_in(&there, DEPTH).unwrap();
    let mut sender = line_sender_in(&back, DEPTH).unwrap();
    let mut callee = callee_in(&calls, DEPTH).unwrap();
    while !orders.is_closed() {
        event.prepare_park();
        if orders.is_ready() || orders.is_closed() {
            event.cancel_park();
        } else {
            event.park(None);
        }
        if orders.try_recv().is_ok() {
            serve_process(&mut receiver, &mut sender, &mut callee);
        }
    }
}

#[test]
#[ignore = "measures; see the head of the file"]
fn a_round_trip_between_processes_beside_one_between_threads() {
    let cpus = affinity::current().unwrap();
    let [here, .., there] = cpus[..] else {
        println!("skipped: two cores are needed, {cpus:?} may be used");
        return;
    };
    if let Some((_, memory)) = part() {
        return other_process(&memory, there);
    }
    let bytes = 5 * line_bytes::<Value>(DEPTH).unwrap().next_multiple_of(4096);
    let memory = ControlMemory::create(bytes).unwrap();
    let [to, back, calls, orders, event] = parts(&memory);
    let name = "a_round_trip_between_processes_beside_one_between_threads";
    let event = SharedEvent::in_region(&event).unwrap();
    let mut orders = line_sender_in::<u64>(&orders, 1).unwrap();
    let mut processes = BetweenProcesses {
        sender: line_sender_in(&to, DEPTH).unwrap(),
        receiver: line_receiver_in(&back, DEPTH).unwrap(),
        caller: caller_in(&calls, DEPTH).unwrap(),
    };
    let child = Process::start_with(name, "", &memory, &["--ignored"]);
    affinity::pin(here).unwrap();
    let mut windows = Vec::new();
    for window in 0..WINDOWS + 2 {
        let (to, mut echo_in) = line_channel(DEPTH).unwrap();
        let (mut echo_out, back) = line_channel(DEPTH).unwrap();
        let (caller, mut callee) = call_ring(DEPTH).unwrap();
        let mut threads = BetweenThreads {
            sender: to,
            receiver: back,
            caller,
        };
        let thread = std::thread::spawn(move || {
            affinity::pin(there).unwrap();
            serve_thread(&mut echo_in, &mut echo_out, &mut callee);
        });
        let between_threads = [threads.rings(), threads.calls()];
        thread.join().unwrap();
        orders.try_send(window as u64).unwrap();
        event.notify_across();
        let between_processes = [processes.rings(), processes.calls()];
        if window >= 2 {
            windows.push([between_threads, between_processes]);
        }
    }
    drop(orders);
    event.notify_across();
    assert!(child.join().success());
    for (kind, name) in ["line rings", "call slot"].into_iter().enumerate() {
        let of = |pick: fn(&[[f64; 2]; 2], usize) -> f64| {
            let mut values: Vec<f64> = windows.iter().map(|window| pick(window, kind)).collect();
            values.sort_by(f64::total_cmp);
            (values[0], values[values.len() / 2])
        };
        let (threads_least, threads) = of(|window, kind| window[0][kind]);
        let (processes_least, processes) = of(|window, kind| window[1][kind]);
        let (_, ratio) = of(|window, kind| window[1][kind] / window[0][kind]);
        println!(
            "{name}: threads {threads:.0} ns (least {threads_least:.0}), processes \
             {processes:.0} ns (least {processes_least:.0}), ratio {ratio:.3}"
        );
    }
}
