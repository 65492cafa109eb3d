//! Rings and call slots between two threads.

use std::hint::spin_loop;

use maser_shm::channel::call_slot::call_ring;
use maser_shm::channel::mpsc;
use maser_shm::channel::spsc::{LineReceiver, LineSender, Receiver, Sender, channel, line_channel};

use crate::floors::{self, LinePair};
use crate::harness::{BenchError, Contender, Lineup, Peer, Row, Window, check};
use crate::link::{Batch100, BatchLink, Link, Many, ManyLink, ManyRoundTrip, OneWay, RoundTrip};
use crate::peers::{Crossbeam, Disruptor, Rtrb, RtrbChunks};

/// A ring of `maser_shm` that is tried until it has room or a value.
macro_rules! spinning {
    ($(#[$doc:meta])* $ring:ident: $open:path, $sender:ty, $receiver:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        struct $ring;

        impl Link for $ring {
            const NAME: &'static str = "maser";
            type Sender = $sender;
            type Receiver = $receiver;

            fn open(depth: usize) -> (Self::Sender, Self::Receiver) {
                $open(depth).expect("a ring of the suite's depth")
            }

            #[inline]
            fn send(sender: &mut Self::Sender, value: u64) {
                while sender.try_send(value).is_err() {
                    spin_loop();
                }
            }

            #[inline]
            fn recv(receiver: &mut Self::Receiver) -> u64 {
                loop {
                    if let Ok(value) = receiver.try_recv() {
                        return value;
                    }
                    spin_loop();
                }
            }
        }
    };
}

spinning!(
    /// The ring whose sequence and value share a line.
    LineRing: line_channel, LineSender<u64>, LineReceiver<u64>
);
spinning!(
    /// The ring of packed values, one value at a time.
    PackedRing: channel, Sender<u64>, Receiver<u64>
);

/// The same ring with the receiver taking all there is.
#[derive(Debug, Default)]
struct PackedBatches;

impl Link for PackedBatches {
    const NAME: &'static str = "maser";
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn open(depth: usize) -> (Self::Sender, Self::Receiver) {
        PackedRing::open(depth)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: u64) {
        PackedRing::send(sender, value);
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> u64 {
        PackedRing::recv(receiver)
    }

    #[inline]
    fn recv_some(receiver: &mut Self::Receiver, max: u64, f: impl FnMut(u64)) -> u64 {
        let taken = receiver.try_recv_batch(max as usize, f);
        if taken == 0 {
            spin_loop();
        }
        taken as u64
    }
}

impl BatchLink for PackedBatches {
    #[inline]
    fn send_batch(sender: &mut Self::Sender, first: u64, count: u64) {
        let mut values = first..first + count;
        while !values.is_empty() {
            if sender.try_send_batch(&mut values) == 0 {
                spin_loop();
            }
        }
    }
}

/// Several senders with a lane each.
#[derive(Debug, Default)]
struct Lanes;

impl ManyLink for Lanes {
    const NAME: &'static str = "maser";
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    fn open(senders: usize, depth: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        mpsc::channel(senders, depth).expect("lanes of the suite's depth")
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: u64) {
        while sender.try_send(value).is_err() {
            spin_loop();
        }
    }

    #[inline]
    fn recv_some(receiver: &mut Self::Receiver, max: u64, mut f: impl FnMut(u64)) -> u64 {
        loop {
            let taken = receiver.try_recv_batch(max as usize, &mut f);
            if taken > 0 {
                return taken as u64;
            }
            spin_loop();
        }
    }
}

/// Question and answer in turn on one line.
#[derive(Debug, Default)]
struct CallSlot;

impl Contender for CallSlot {
    fn name(&self) -> &'static str {
        "maser"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let (mut caller, mut callee) =
            call_ring::<u64, u64>(1).map_err(|error| BenchError::contender("call ring", error))?;
        let partner = window.partner().run(move || {
            for _ in 0..calls {
                while !callee.try_serve(|value| value + 1) {
                    spin_loop();
                }
            }
            callee
        });
        let (mut number, mut sum) = (0, 0);
        window.time(|| {
            // With one question out at a time the slot is always free here; a refusal shows in
            // the sum.
            let asked = caller.try_call(number).unwrap_or(u64::MAX);
            number += 1;
            sum += loop {
                if let Some(answer) = caller.try_take(asked) {
                    break answer;
                }
                spin_loop();
            };
        });
        partner.join()?;
        check("call slot", calls * (calls + 1) / 2, sum)
    }
}

/// Rows of the channels.
pub const ROWS: &[Row] = &[
    Row::rate("channel/spsc", 2, "values one way, one by one", |_| {
        Ok(Ok(Lineup::of(OneWay::<PackedRing>::default())
            .guard(LinePair::default())
            .peer(Peer::of(OneWay::<Rtrb>::default()))
            .peer(Peer::of(OneWay::<Disruptor>::default()))))
    }),
    Row::rate(
        "channel/spsc_batch100",
        2,
        "values one way, 100 at a time",
        |_| {
            Ok(Ok(Lineup::of(Batch100::<PackedBatches>::default())
                .guard(LinePair::default())
                .peer(Peer::of(Batch100::<Disruptor>::default()))
                .peer(Peer::of(Batch100::<RtrbChunks>::default()))))
        },
    ),
    Row::latency(
        "channel/spsc_rtt",
        2,
        "a value to the other core and back over two rings",
        |_| {
            Ok(Ok(Lineup::of(RoundTrip::<LineRing>::default())
                .floor(LinePair::default())
                .peer(Peer::of(RoundTrip::<Rtrb>::default()))
                .peer(Peer::of(RoundTrip::<Disruptor>::default()))
                .peer(Peer::of(RoundTrip::<Crossbeam>::default()))))
        },
    ),
    Row::latency(
        "channel/call_slot",
        2,
        "question and answer in turn on one line",
        |_| {
            Ok(Ok(Lineup::of(CallSlot)
                .better_floor(floors::call())
                .peer(Peer::of(RoundTrip::<Rtrb>::default()))
                .peer(Peer::of(RoundTrip::<Crossbeam>::default()))))
        },
    ),
    Row::rate(
        "channel/mpsc",
        2,
        "values one way from four senders in turn",
        |_| {
            Ok(Ok(Lineup::of(Many::<Lanes>::default())
                .guard(LinePair::default())
                .peer(Peer::of(Many::<Crossbeam>::default()))))
        },
    ),
    Row::latency(
        "channel/mpsc_rtt",
        2,
        "a value there and back, four senders each way in turn",
        |_| {
            Ok(Ok(Lineup::of(ManyRoundTrip::<Lanes>::default())
                .floor(LinePair::default())
                .peer(Peer::of(ManyRoundTrip::<Crossbeam>::default()))))
        },
    ),
];
