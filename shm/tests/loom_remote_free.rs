//! Model of what other threads give back to an arena: each node is drained once and whole, or handed
//! back, through closing and opening (RF-1 to RF-4).
//!
//! Checked by breaking the code: with a Relaxed push, with a Relaxed drain, and with a push that
//! looks at `CLOSED` only once, a model here fails.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_remote_free`.
#![cfg(loom)]
#![allow(unsafe_code, reason = "pushes nodes")]

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use maser_shm::arena::remote::{Drain, Link, RemoteFrees};

#[repr(C)]
struct Node {
    link: Link,
    /// A plain cell, so that loom reports a node that is not seen whole.
    value: UnsafeCell<usize>,
}

/// Pushes a node; gives it back when the list was closed.
fn push(list: &RemoteFrees, value: usize) -> Option<usize> {
    let node = Box::into_raw(Box::new(Node {
        link: Link::new(),
        value: UnsafeCell::new(value),
    }));
    // SAFETY: RF-1, the node was just made.
    let pushed = unsafe { list.push(NonNull::new(node).unwrap().cast()) };
    pushed.err().map(|node| take(node))
}

/// Frees a node that is ours again.
fn take(node: NonNull<Link>) -> usize {
    // SAFETY: RF-1, drained or handed back.
    let node = unsafe { Box::from_raw(node.cast::<Node>().as_ptr()) };
    // SAFETY: RF-2, seen whole.
    node.value.with(|value| unsafe { *value })
}

fn collect(drain: Drain, into: &mut Vec<usize>) {
    into.extend(drain.map(take));
}

#[test]
fn nodes_of_two_threads_are_drained_once_and_whole() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let list = Arc::new(RemoteFrees::new());
        let threads = [(10, 2), (20, 1)].map(|(first, count)| {
            let list = Arc::clone(&list);
            thread::spawn(move || {
                for value in first..first + count {
                    assert_eq!(push(&list, value), None);
                }
            })
        });
        let mut drained = Vec::new();
        // The loop, not drains around the joins, is what makes loom try drains in between.
        while drained.len() < 3 {
            collect(list.drain(), &mut drained);
            thread::yield_now();
        }
        for thread in threads {
            thread.join().unwrap();
        }
        drained.sort_unstable();
        assert_eq!(drained, [10, 11, 20]);
        assert!(list.is_empty());
    });
}

#[test]
fn a_node_is_drained_or_handed_back_while_the_list_closes_and_opens() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let list = Arc::new(RemoteFrees::new());
        let theirs = Arc::clone(&list);
        let pusher = thread::spawn(move || {
            let back = [push(&theirs, 1), push(&theirs, 2)];
            back.into_iter().flatten().collect::<Vec<_>>()
        });
        let mut all = Vec::new();
        collect(list.close(), &mut all);
        collect(list.drain(), &mut all);
        list.open();
        collect(list.drain(), &mut all);
        all.extend(pusher.join().unwrap());
        collect(list.close(), &mut all);
        collect(list.close(), &mut all);
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
        assert_eq!(push(&list, 3), Some(3));
    });
}
