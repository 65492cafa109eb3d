//! Many runs in flight: messages of 48 bytes beside the bare ring, and the depth from 1 to 1,000.

use std::collections::VecDeque;
use std::hint::spin_loop;

use maser::{CompileOptions, Graph, GraphRef, Node};
use maser_shm::channel::spsc::{Receiver, Sender, channel};

use crate::floors::LinePair;
use crate::harness::{BenchError, Contender, Lineup, Peer, Row, Summed, Window, check};
use crate::rows::SETTLE_NS;

/// A message of 48 bytes.
type Message = [u64; 6];

fn message(number: u64) -> Message {
    [number; 6]
}

/// Gives back what it is told.
struct Relay;

#[maser::actor]
impl Relay {
    fn new() -> Self {
        Self
    }

    /// `message`, unchanged.
    fn pass(&mut self, message: Message) -> Message {
        message
    }
}

/// One run, with `in_flight` runs out at every moment but the first.
fn pipelined(in_flight: usize) -> maser::Result<impl FnMut() -> maser::Result<u64>> {
    let relay = Relay::options().scheduler(1).remote();
    let options = CompileOptions {
        max_inflight: Some(in_flight),
        ..CompileOptions::default()
    };
    let graph =
        Graph::new(|input: Node<Message>| relay.pass().bind(input)).compile_with(options)?;
    let mut runs: VecDeque<(u64, GraphRef<Message>)> = VecDeque::with_capacity(in_flight);
    let mut number = 0;
    Ok(move || {
        let right = match runs.len() < in_flight {
            true => 1,
            false => {
                let (expected, run) = runs.pop_front().expect("as many as are in flight");
                u64::from(run.get()? == message(expected))
            }
        };
        number += 1;
        runs.push_back((number, graph.execute(message(number))?));
        Ok(right)
    })
}

fn subject(in_flight: usize) -> Result<impl Contender, BenchError> {
    let made = pipelined(in_flight).map_err(|error| BenchError::contender("maser", error))?;
    Ok(Summed::new("maser", made).settle(SETTLE_NS))
}

/// The same messages one way through the bare ring of as many slots, one by one.
struct BareRing {
    name: &'static str,
    depth: usize,
}

impl Contender for BareRing {
    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> Option<&'static str> {
        Some("the same messages one way through maser_shm's ring of as many slots, one by one")
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let opened = channel(self.depth).map_err(|error| BenchError::contender(self.name, error));
        let (mut sender, mut receiver): (Sender<Message>, Receiver<Message>) = opened?;
        let partner = window.partner().run(move || {
            let mut right = 0;
            for number in 1..=calls {
                let found = loop {
                    match receiver.try_recv() {
                        Ok(found) => break found,
                        Err(_) => spin_loop(),
                    }
                };
                right += u64::from(found == message(number));
            }
            right
        });
        let mut number = 0;
        window.time(|| {
            number += 1;
            while sender.try_send(message(number)).is_err() {
                spin_loop();
            }
        });
        check(self.name, calls, partner.join()?)
    }
}

/// A row of `in_flight` runs beside the ring of as many slots.
macro_rules! depth_row {
    ($name:literal, $in_flight:literal, $about:literal) => {
        Row::rate($name, 2, $about, |_| {
            Ok(Ok(Lineup::of(subject($in_flight)?)
                .guard(LinePair::default())
                .peer(Peer::of(BareRing {
                    name: "channel/spsc",
                    depth: $in_flight,
                }))))
        })
        .in_runtime(2)
    };
}

/// Rows of many runs in flight.
pub const ROWS: &[Row] = &[
    depth_row!(
        "graph/pipelined",
        16,
        "messages of 48 bytes, 16 runs in flight, the actor on the other core"
    ),
    depth_row!(
        "graph/in_flight/1",
        1,
        "messages of 48 bytes, one run in flight"
    )
    .on_request(),
    depth_row!("graph/in_flight/10", 10, "the same with 10 in flight").on_request(),
    depth_row!("graph/in_flight/100", 100, "the same with 100 in flight").on_request(),
    depth_row!(
        "graph/in_flight/1000",
        1_000,
        "the same with 1,000 in flight"
    )
    .on_request(),
];
