//! rtrb: a wait-free ring for one producer and one consumer.

use std::hint::spin_loop;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::link::{BatchLink, Link};

/// Rings of rtrb.
#[derive(Debug, Default)]
pub struct Rtrb;

impl Link for Rtrb {
    const NAME: &'static str = "rtrb";
    type Sender = Producer<u64>;
    type Receiver = Consumer<u64>;

    fn open(depth: usize) -> (Self::Sender, Self::Receiver) {
        RingBuffer::new(depth)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: u64) {
        while sender.push(value).is_err() {
            spin_loop();
        }
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> u64 {
        loop {
            if let Ok(value) = receiver.pop() {
                return value;
            }
            spin_loop();
        }
    }
}

impl BatchLink for Rtrb {
    #[inline]
    fn send_batch(sender: &mut Self::Sender, first: u64, count: u64) {
        let chunk = loop {
            if let Ok(chunk) = sender.write_chunk_uninit(count as usize) {
                break chunk;
            }
            spin_loop();
        };
        chunk.fill_from_iter(first..first + count);
    }
}

/// rtrb with the receiver taking all there is, which is its best way to take batches.
#[derive(Debug, Default)]
pub struct RtrbChunks;

impl Link for RtrbChunks {
    const NAME: &'static str = "rtrb";
    type Sender = Producer<u64>;
    type Receiver = Consumer<u64>;

    fn open(depth: usize) -> (Self::Sender, Self::Receiver) {
        Rtrb::open(depth)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: u64) {
        Rtrb::send(sender, value);
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> u64 {
        Rtrb::recv(receiver)
    }

    #[inline]
    fn recv_some(receiver: &mut Self::Receiver, max: u64, f: impl FnMut(u64)) -> u64 {
        let count = receiver.slots().min(max as usize);
        let Ok(chunk) = receiver.read_chunk(count) else {
            return 0;
        };
        if count == 0 {
            spin_loop();
        }
        chunk.into_iter().for_each(f);
        count as u64
    }
}

impl BatchLink for RtrbChunks {
    #[inline]
    fn send_batch(sender: &mut Self::Sender, first: u64, count: u64) {
        Rtrb::send_batch(sender, first, count);
    }
}
