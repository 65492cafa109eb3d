//! Two ranks of a group: the driver on core 0, its actor on core 1, in a thread or in a process of
//! its own.

use std::hint::black_box;

use maser::collective::{self, Group, Member, ReduceOp};
use maser::{Actor, Array, Isolation, Ref, Tensor};

use crate::floors::LinePair;
use crate::harness::{
    BenchError, Contender, Context, Lineup, Offer, Peer, Row, Summed, Window, check,
};

use super::SETTLE_NS;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The other rank.
#[derive(Debug)]
pub struct Other;

#[maser::actor]
impl Other {
    /// Has nothing yet.
    pub fn new() -> Self {
        Self
    }

    /// Takes part until the group ends; gives the number of its operations.
    pub fn serve(&mut self, member: Member, bytes: usize) -> maser::Result<u64> {
        let tensor = ones(bytes)?;
        let mut operations = 0;
        while member.allreduce(&tensor, ReduceOp::Sum).is_ok() {
            operations += 1;
        }
        Ok(operations)
    }
}

/// The driver's seat in the group.
#[derive(Debug)]
pub struct Seat;

#[maser::actor]
impl Seat {
    /// Holds the rank of the driver.
    pub fn new() -> Self {
        Self
    }
}

/// As many bytes of 1.0, in the store.
fn ones(bytes: usize) -> maser::Result<Tensor> {
    let mut ones = Array::<f32>::in_store(bytes / size_of::<f32>())?;
    ones.fill(1.0);
    let ones = ones.seal();
    Tensor::new(&ones, &[ones.len()])
}

/// Both ranks, and what keeps them.
struct Ranks {
    member: Member,
    tensor: Tensor,
    /// Before the actors: the other rank's loop ends with it.
    _group: Group,
    _served: Ref<u64>,
    _actors: (Actor<Seat>, Actor<Other>),
}

impl Ranks {
    fn start(context: &Context, isolation: Isolation, bytes: usize) -> Result<Self, BenchError> {
        let start = || -> maser::Result<Self> {
            let seat = Seat::options().scheduler(0).remote();
            let options = Other::options().isolation(isolation);
            let other = match isolation {
                Isolation::Process => options.remote(),
                _ => options.scheduler(1).remote(),
            };
            let group =
                collective::create_group(&[&seat as &dyn collective::Participant, &other], "gloo")?;
            let served = other.serve().remote(group.member(1), bytes);
            let ranks = Self {
                member: group.member(0),
                tensor: ones(bytes)?,
                _group: group,
                _served: served,
                _actors: (seat, other),
            };
            // The other rank is there.
            ranks.member.allreduce(&ranks.tensor, ReduceOp::Sum)?;
            Ok(ranks)
        };
        // Workers may use the cores of the thread that needed the first one.
        context.cores.pin(1)?;
        let started = start();
        context.cores.pin(0)?;
        started.map_err(|error| BenchError::contender("maser", error))
    }

    /// One operation; right if the first and the last element are.
    fn allreduce(&self) -> maser::Result<u64> {
        let sum = self.member.allreduce(&self.tensor, ReduceOp::Sum)?;
        let sum = sum.to_array::<f32>()?;
        Ok(u64::from(
            sum.first() == Some(&2.0) && sum.last() == Some(&2.0),
        ))
    }
}

/// What one core needs to add up as many bytes, in memory that it has had before.
struct ReduceHere {
    parts: [Vec<f32>; 2],
    sum: Vec<f32>,
}

impl ReduceHere {
    fn new(bytes: usize) -> Self {
        let ones = || vec![1.0; bytes / size_of::<f32>()];
        Self {
            parts: [ones(), ones()],
            sum: ones(),
        }
    }
}

impl Contender for ReduceHere {
    fn name(&self) -> &'static str {
        "reduce on one core"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let [one, two] = &self.parts;
        window.time(|| {
            let pairs = black_box(one).iter().zip(black_box(two));
            for (sum, (one, two)) in black_box(&mut self.sum).iter_mut().zip(pairs) {
                *sum = one + two;
            }
        });
        check(self.name(), true, self.sum.iter().all(|sum| *sum == 2.0))
    }
}

fn contender(ranks: Ranks) -> impl Contender {
    Summed::new("maser", move || ranks.allreduce())
        .wake()
        .settle(SETTLE_NS)
}

/// Small: what it costs to meet.
fn small(context: &Context, isolation: Isolation) -> Result<Offer<Lineup>, BenchError> {
    let ranks = Ranks::start(context, isolation, KIB)?;
    Ok(Ok(Lineup::of(contender(ranks))
        .floor(LinePair::default())
        .peer(Peer::of(ReduceHere::new(KIB)))))
}

/// Large: what it costs to add up.
fn large(context: &Context, isolation: Isolation) -> Result<Offer<Lineup>, BenchError> {
    let ranks = Ranks::start(context, isolation, MIB)?;
    Ok(Ok(Lineup::of(contender(ranks)).floor(ReduceHere::new(MIB))))
}

/// Rows of the collectives.
pub const ROWS: &[Row] = &[
    Row::latency(
        "collective/allreduce/1KiB",
        2,
        "the sum of 1 KiB of f32 of two ranks on two cores; floor: a line each way",
        |context| small(context, Isolation::Thread),
    )
    .in_runtime(2),
    Row::latency(
        "collective/allreduce/1MiB",
        2,
        "the sum of 1 MiB of f32 of two ranks on two cores; floor: the same by one core",
        |context| large(context, Isolation::Thread),
    )
    .in_runtime(2),
    Row::latency(
        "collective/process/allreduce/1KiB",
        2,
        "the sum of 1 KiB of f32 of two ranks in two processes",
        |context| small(context, Isolation::Process),
    )
    .in_runtime(1),
    Row::latency(
        "collective/process/allreduce/1MiB",
        2,
        "the sum of 1 MiB of f32 of two ranks in two processes",
        |context| large(context, Isolation::Process),
    )
    .in_runtime(1),
];
