//! The mailbox with owned nodes, freed as they come out.
#![cfg(not(loom))]
#![allow(unsafe_code, reason = "pushes nodes")]

use std::ptr::NonNull;

use maser_shm::sync::mailbox::{Link, Mailbox};

#[repr(C)]
struct Node {
    link: Link,
    pusher: usize,
    number: usize,
}

fn push(mailbox: &Mailbox, pusher: usize, number: usize) -> Result<(), Box<Node>> {
    let node = NonNull::from(Box::leak(Box::new(Node {
        link: Link::new(),
        pusher,
        number,
    })));
    // SAFETY: MX-1, the node was just made, and the pointer covers it.
    unsafe { mailbox.push(node.cast()) }.map_err(free)
}

fn free(node: NonNull<Link>) -> Box<Node> {
    // SAFETY: MX-1, drained or handed back; all nodes of these tests are boxed.
    unsafe { Box::from_raw(node.cast::<Node>().as_ptr()) }
}

#[test]
fn nodes_come_out_oldest_first() {
    let mailbox = Mailbox::new();
    assert!(mailbox.is_empty());
    for number in 0..100 {
        assert!(push(&mailbox, 0, number).is_ok());
    }
    assert!(!mailbox.is_empty());
    let numbers: Vec<usize> = mailbox.drain().map(|node| free(node).number).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    assert!(mailbox.is_empty());
}

#[test]
fn a_closed_mailbox_returns_what_it_held_and_hands_later_nodes_back() {
    let mailbox = Mailbox::new();
    assert!(push(&mailbox, 0, 7).is_ok());
    let held: Vec<usize> = mailbox.close().map(|node| free(node).number).collect();
    assert_eq!(held, [7]);
    assert!(mailbox.is_closed() && mailbox.is_empty());
    let refused = push(&mailbox, 0, 8).expect_err("closed");
    assert_eq!(refused.number, 8);
    assert_eq!(mailbox.drain().count(), 0);
    assert_eq!(mailbox.close().count(), 0);
    assert!(mailbox.is_closed());
}

#[test]
fn every_node_of_four_pushers_is_drained_once_in_order_or_handed_back() {
    const PUSHERS: usize = 4;
    let count = if cfg!(miri) { 50 } else { 50_000 };
    let mailbox = Mailbox::new();
    std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..PUSHERS)
            .map(|pusher| {
                let mailbox = &mailbox;
                scope.spawn(move || {
                    (0..count)
                        .take_while(|&number| push(mailbox, pusher, number).is_ok())
                        .count()
                })
            })
            .collect();
        let mut seen = [0; PUSHERS];
        let mut take = |node: NonNull<Link>| {
            let node = free(node);
            assert_eq!(
                node.number, seen[node.pusher],
                "MX-3, pusher {}",
                node.pusher
            );
            seen[node.pusher] += 1;
            seen.iter().sum::<usize>()
        };
        // Close in the midst of the traffic, at a point set by count and not by time.
        let mut total = 0;
        while total < PUSHERS * count / 2 {
            match mailbox.drain().map(&mut take).last() {
                Some(sum) => total = sum,
                None => std::thread::yield_now(),
            }
        }
        mailbox.close().for_each(|node| {
            take(node);
        });
        let accepted: Vec<usize> = pushers.into_iter().map(|p| p.join().unwrap()).collect();
        assert_eq!(seen.to_vec(), accepted, "MX-5");
    });
}
