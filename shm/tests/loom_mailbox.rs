//! Model of the mailbox: every node is drained once, whole, and in its pusher's order, or handed
//! back (MX-2 to MX-5).
//!
//! Checked by breaking the code: with a Relaxed push, with a Relaxed drain, and with a drain that
//! swaps, a model here fails.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_mailbox`.
#![cfg(loom)]
#![allow(unsafe_code, reason = "pushes nodes")]

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use maser_shm::sync::mailbox::{Drain, Link, Mailbox};

#[repr(C)]
struct Node {
    link: Link,
    /// Pusher and number; a plain cell, so that loom reports a node that is not seen whole.
    value: UnsafeCell<(usize, usize)>,
}

/// Pushes nodes `0..count`; returns how many were accepted.
fn push_all(mailbox: &Mailbox, pusher: usize, count: usize) -> usize {
    for number in 0..count {
        let value = UnsafeCell::new((pusher, number));
        let node = Box::into_raw(Box::new(Node {
            link: Link::new(),
            value,
        }));
        // SAFETY: MX-1, the node was just made.
        let pushed = unsafe { mailbox.push(NonNull::new(node).unwrap().cast()) };
        if let Err(node) = pushed {
            // SAFETY: MX-1, handed back.
            drop(unsafe { Box::from_raw(node.cast::<Node>().as_ptr()) });
            return number;
        }
    }
    count
}

/// Frees each node as it is yielded (MX-4).
fn collect(drain: Drain, into: &mut Vec<(usize, usize)>) {
    for node in drain {
        // SAFETY: MX-1, drained.
        let node = unsafe { Box::from_raw(node.cast::<Node>().as_ptr()) };
        // SAFETY: MX-2, seen whole.
        into.push(node.value.with(|value| unsafe { *value }));
    }
}

fn assert_in_order(drained: &[(usize, usize)], pusher: usize, count: usize) {
    let numbers: Vec<usize> = drained
        .iter()
        .filter(|(from, _)| *from == pusher)
        .map(|(_, number)| *number)
        .collect();
    assert_eq!(
        numbers,
        (0..count).collect::<Vec<_>>(),
        "MX-3, pusher {pusher}"
    );
}

#[test]
fn two_pushers_are_drained_whole_and_in_order() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let mailbox = Arc::new(Mailbox::new());
        let theirs = Arc::clone(&mailbox);
        let pusher = thread::spawn(move || push_all(&theirs, 1, 2));
        let theirs = Arc::clone(&mailbox);
        let other = thread::spawn(move || push_all(&theirs, 2, 1));
        let mut drained = Vec::new();
        // The loop, not two drains around the joins, is what makes loom try drains in between.
        while drained.len() < 3 {
            collect(mailbox.drain(), &mut drained);
            thread::yield_now();
        }
        pusher.join().unwrap();
        other.join().unwrap();
        assert_in_order(&drained, 1, 2);
        assert_in_order(&drained, 2, 1);
        assert!(mailbox.is_empty());
    });
}

#[test]
fn a_node_pushed_while_closing_is_drained_or_handed_back() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let theirs = Arc::clone(&mailbox);
        let pusher = thread::spawn(move || push_all(&theirs, 1, 2));
        let mut drained = Vec::new();
        collect(mailbox.drain(), &mut drained);
        collect(mailbox.close(), &mut drained);
        let accepted = pusher.join().unwrap();
        assert_in_order(&drained, 1, accepted);
        assert_eq!(mailbox.drain().count(), 0);
    });
}

#[test]
fn a_drain_never_reopens_a_mailbox_closed_by_another() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        push_all(&mailbox, 1, 1);
        let theirs = Arc::clone(&mailbox);
        let closer = thread::spawn(move || {
            let mut drained = Vec::new();
            collect(theirs.close(), &mut drained);
            drained
        });
        let mut drained = Vec::new();
        collect(mailbox.drain(), &mut drained);
        drained.extend(closer.join().unwrap());
        assert_eq!(drained, [(1, 0)]);
        assert!(mailbox.is_closed());
        assert_eq!(push_all(&mailbox, 1, 1), 0);
    });
}
