//! One set of operations for every ring: what subject and peers do in a window is the same code.
//!
//! - LK-1 values are 1, 2, 3, ...; the receiver sums them, and a lost, doubled or invented value
//!   changes the sum.
//! - LK-2 a wait looks once and pauses once, for every ring alike.
//! - LK-3 both ends do exactly the window's number of operations (PA-2).

use std::marker::PhantomData;

use crate::harness::{BenchError, Contender, Window, check};

/// A ring from one thread to another.
pub trait Link: 'static {
    /// Name in the report.
    const NAME: &'static str;
    /// What a reader of the figure must know.
    const NOTE: Option<&'static str> = None;
    /// Sending end.
    type Sender: Send + 'static;
    /// Receiving end.
    type Receiver: Send + 'static;

    /// A ring of `depth` slots.
    fn open(depth: usize) -> (Self::Sender, Self::Receiver);
    /// Sends `value` as soon as there is room.
    fn send(sender: &mut Self::Sender, value: u64);
    /// Takes the next value as soon as there is one.
    fn recv(receiver: &mut Self::Receiver) -> u64;

    /// Hands all values that are there, at most `max`, to `f`; gives their number.
    fn recv_some(receiver: &mut Self::Receiver, max: u64, mut f: impl FnMut(u64)) -> u64 {
        debug_assert!(
            max > 0,
            "a receiver that may take nothing would wait for ever"
        );
        f(Self::recv(receiver));
        1
    }
}

/// A ring that takes several values at once.
pub trait BatchLink: Link {
    /// Sends `count` values from `first` on as soon as there is room.
    fn send_batch(sender: &mut Self::Sender, first: u64, count: u64);
}

/// A ring with several sending ends.
pub trait ManyLink: 'static {
    /// Name in the report.
    const NAME: &'static str;
    /// One of the sending ends.
    type Sender: Send + 'static;
    /// Receiving end.
    type Receiver: Send + 'static;

    /// `senders` sending ends with `depth` slots (each or together) and their receiver.
    fn open(senders: usize, depth: usize) -> (Vec<Self::Sender>, Self::Receiver);
    /// Sends `value` as soon as there is room.
    fn send(sender: &mut Self::Sender, value: u64);
    /// Hands at least one value to `f` as soon as there is one, and at most `max`; gives their
    /// number.
    fn recv_some(receiver: &mut Self::Receiver, max: u64, f: impl FnMut(u64)) -> u64;
}

/// Sum of 1 to `last`.
fn sum_to(last: u64) -> u64 {
    last * (last + 1) / 2
}

/// A value to the other core and back over two rings.
#[derive(Debug, Default)]
pub struct RoundTrip<L>(PhantomData<L>);

impl<L: Link> Contender for RoundTrip<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn note(&self) -> Option<&'static str> {
        L::NOTE
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        const DEPTH: usize = 64;
        let calls = window.calls();
        let (mut there, mut questions) = L::open(DEPTH);
        let (mut answers, mut back) = L::open(DEPTH);
        let partner = window.partner().run(move || {
            for _ in 0..calls {
                let value = L::recv(&mut questions);
                L::send(&mut answers, value);
            }
            // Neither end is dropped while the other waits.
            (questions, answers)
        });
        let (mut number, mut sum) = (0, 0);
        window.time(|| {
            number += 1;
            L::send(&mut there, number);
            sum += L::recv(&mut back);
        });
        partner.join()?;
        check(L::NAME, sum_to(calls), sum)
    }
}

/// Slots of a ring whose rate is measured.
const RATE_DEPTH: usize = 1_024;

/// Values one way, one by one.
#[derive(Debug, Default)]
pub struct OneWay<L>(PhantomData<L>);

impl<L: Link> Contender for OneWay<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn note(&self) -> Option<&'static str> {
        L::NOTE
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let (mut sender, receiver) = L::open(RATE_DEPTH);
        let partner = window.partner().run(drain::<L>(receiver, calls));
        let mut number = 0;
        window.time(|| {
            number += 1;
            L::send(&mut sender, number);
        });
        check(L::NAME, sum_to(calls), partner.join()?)
    }
}

/// Values one way, [`Batch100::COUNT`] at a time.
#[derive(Debug, Default)]
pub struct Batch100<L>(PhantomData<L>);

impl<L> Batch100<L> {
    /// Values in a batch.
    pub const COUNT: u64 = 100;
}

impl<L: BatchLink> Contender for Batch100<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn note(&self) -> Option<&'static str> {
        L::NOTE
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let values = window.calls() * Self::COUNT;
        let (mut sender, receiver) = L::open(RATE_DEPTH);
        let partner = window.partner().run(drain::<L>(receiver, values));
        let mut number = 1;
        window.time_many(Self::COUNT, || {
            L::send_batch(&mut sender, number, Self::COUNT);
            number += Self::COUNT;
        });
        check(L::NAME, sum_to(values), partner.join()?)
    }
}

/// Takes `count` values and gives their sum.
fn drain<L: Link>(mut receiver: L::Receiver, count: u64) -> impl FnOnce() -> u64 + Send {
    move || {
        let (mut taken, mut sum) = (0, 0);
        while taken < count {
            taken += L::recv_some(&mut receiver, count - taken, |value| sum += value);
        }
        sum
    }
}

/// Values one way from [`Many::SENDERS`] sending ends in turn.
#[derive(Debug, Default)]
pub struct Many<L>(PhantomData<L>);

impl<L> Many<L> {
    /// Sending ends.
    pub const SENDERS: u64 = 4;
}

impl<L: ManyLink> Contender for Many<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let values = window.calls() * Self::SENDERS;
        let (mut senders, mut receiver) = L::open(Self::SENDERS as usize, RATE_DEPTH);
        let partner = window.partner().run(move || {
            let (mut taken, mut sum) = (0, 0);
            while taken < values {
                taken += L::recv_some(&mut receiver, values - taken, |value| sum += value);
            }
            sum
        });
        let mut number = 0;
        window.time_many(Self::SENDERS, || {
            for sender in &mut senders {
                number += 1;
                L::send(sender, number);
            }
        });
        check(L::NAME, sum_to(values), partner.join()?)
    }
}

/// A value to the other core and back; the way there and the way back have
/// [`Many::SENDERS`] sending ends each, used in turn.
#[derive(Debug, Default)]
pub struct ManyRoundTrip<L>(PhantomData<L>);

impl<L: ManyLink> Contender for ManyRoundTrip<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        const DEPTH: usize = 64;
        let values = window.calls() * Many::<L>::SENDERS;
        let (mut there, mut questions) = L::open(Many::<L>::SENDERS as usize, DEPTH);
        let (mut answers, mut back) = L::open(Many::<L>::SENDERS as usize, DEPTH);
        let partner = window.partner().run(move || {
            for index in 0..values as usize {
                let mut value = 0;
                L::recv_some(&mut questions, 1, |question| value = question);
                let end = index % answers.len();
                L::send(&mut answers[end], value);
            }
            (questions, answers)
        });
        let (mut number, mut sum) = (0, 0);
        window.time_many(Many::<L>::SENDERS, || {
            for sender in &mut there {
                number += 1;
                L::send(sender, number);
                L::recv_some(&mut back, 1, |value| sum += value);
            }
        });
        partner.join()?;
        check(L::NAME, sum_to(values), sum)
    }
}
