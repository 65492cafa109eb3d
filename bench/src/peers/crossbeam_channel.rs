//! crossbeam-channel: bounded channels, polled with `try_recv` because the blocking calls park.

use std::hint::spin_loop;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::link::{Link, ManyLink};

/// Channels of crossbeam.
#[derive(Debug, Default)]
pub struct Crossbeam;

fn send(sender: &Sender<u64>, value: u64) {
    while sender.try_send(value).is_err() {
        spin_loop();
    }
}

fn recv(receiver: &Receiver<u64>) -> u64 {
    loop {
        if let Ok(value) = receiver.try_recv() {
            return value;
        }
        spin_loop();
    }
}

impl Link for Crossbeam {
    const NAME: &'static str = "crossbeam-channel";
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn open(depth: usize) -> (Self::Sender, Self::Receiver) {
        bounded(depth)
    }

    fn send(sender: &mut Self::Sender, value: u64) {
        send(sender, value);
    }

    fn recv(receiver: &mut Self::Receiver) -> u64 {
        recv(receiver)
    }
}

impl ManyLink for Crossbeam {
    const NAME: &'static str = "crossbeam-channel";
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn open(senders: usize, depth: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = bounded(depth);
        (vec![sender; senders], receiver)
    }

    fn send(sender: &mut Self::Sender, value: u64) {
        send(sender, value);
    }

    fn recv_some(receiver: &mut Self::Receiver, _max: u64, mut f: impl FnMut(u64)) -> u64 {
        f(recv(receiver));
        1
    }
}
