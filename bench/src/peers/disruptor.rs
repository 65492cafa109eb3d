//! disruptor 4: a ring of events for one producer, read by a poller on the harness's pinned
//! thread with the busy-spin strategy.
//!
//! The poller takes all events that are there, which is how the ring is meant to be read.

use std::hint::spin_loop;

use disruptor::{
    BusySpin, EventPoller, Polling, Producer, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};

use crate::link::{BatchLink, Link};

/// Rings of disruptor.
#[derive(Debug, Default)]
pub struct Disruptor;

impl Link for Disruptor {
    const NAME: &'static str = "disruptor";
    type Sender = SingleProducer<u64, SingleConsumerBarrier>;
    type Receiver = EventPoller<u64, SingleProducerBarrier>;

    fn open(depth: usize) -> (Self::Sender, Self::Receiver) {
        let (poller, builder) =
            build_single_producer(depth, u64::default, BusySpin).new_event_poller();
        (builder.build(), poller)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: u64) {
        sender.publish(|event| *event = value);
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> u64 {
        let mut taken = 0;
        while Self::recv_some(receiver, 1, |value| taken = value) == 0 {}
        taken
    }

    #[inline]
    fn recv_some(receiver: &mut Self::Receiver, max: u64, mut f: impl FnMut(u64)) -> u64 {
        let mut count = 0;
        match receiver.take(max) {
            Ok(mut events) => {
                for event in &mut events {
                    f(*event);
                    count += 1;
                }
            }
            Err(Polling::NoEvents | Polling::Shutdown) => spin_loop(),
        }
        count
    }
}

impl BatchLink for Disruptor {
    #[inline]
    fn send_batch(sender: &mut Self::Sender, first: u64, count: u64) {
        sender.batch_publish(count as usize, |events| {
            for (event, value) in events.zip(first..) {
                *event = value;
            }
        });
    }
}
