//! Opening the ends of channels in control memory: in any order, once, and only as both sides mean it.
#![cfg(not(any(loom, miri)))]
#![allow(unsafe_code, reason = "writes where a peer would")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use maser_shm::channel::call_slot::{call_bytes, callee_in, caller_in};
use maser_shm::channel::spsc::{
    channel_bytes, line_bytes, line_receiver_in, line_sender_in, receiver_in, sender_in,
};
use maser_shm::channel::{ChannelError, broadcast};
use maser_shm::control::{ControlMemory, Region};
use zerocopy::{FromBytes, Immutable, IntoBytes};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C, align(256))]
struct Wide([u8; 256]);

#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Order {
    number: u64,
    price: f64,
}

fn region() -> Region {
    ControlMemory::create(1 << 16).unwrap().whole()
}

/// The text of the error, which names all of these.
#[track_caller]
fn assert_refused<T>(opened: Result<T, ChannelError>, named: &[&str]) {
    let text = opened.err().expect("this is to be refused").to_string();
    assert!(named.iter().all(|name| text.contains(name)), "{text}");
}

#[test]
fn either_end_may_come_first_and_find_what_was_sent_before() {
    let region = region();
    let mut sender = line_sender_in(&region, 4).unwrap();
    let order = Order {
        number: 1,
        price: 2.5,
    };
    sender.try_send(order).unwrap();
    drop(sender);
    let mut receiver = line_receiver_in::<Order>(&region, 4).unwrap();
    assert_eq!(receiver.try_recv(), Ok(order));
    assert!(receiver.is_closed());
}

#[test]
fn an_end_is_opened_once() {
    let region = region();
    let first = line_sender_in::<u64>(&region, 4).unwrap();
    let taken = ["sender", "taken"];
    assert_refused(line_sender_in::<u64>(&region, 4), &taken);
    drop(first);
    assert_refused(line_sender_in::<u64>(&region, 4), &taken);
    let (calls, many) = (self::region(), self::region());
    let _callee = callee_in::<u64, u64>(&calls, 1).unwrap();
    assert_refused(callee_in::<u64, u64>(&calls, 1), &["callee"]);
    let _reader = broadcast::receiver_in::<u64>(&many, 2, 4, 1).unwrap();
    assert_refused(broadcast::receiver_in::<u64>(&many, 2, 4, 1), &["reader"]);
    broadcast::receiver_in::<u64>(&many, 2, 4, 0).unwrap();
}

#[test]
fn a_region_that_was_wiped_holds_another_channel() {
    let region = region();
    let mut sender = line_sender_in::<u64>(&region, 4).unwrap();
    sender.try_send(1).unwrap();
    drop(sender);
    region.wipe();
    let mut sender = sender_in::<Order>(&region, 8).unwrap();
    let mut receiver = receiver_in::<Order>(&region, 8).unwrap();
    assert!(!receiver.is_ready() && !sender.is_closed());
    let order = Order {
        number: 2,
        price: 0.5,
    };
    sender.try_send(order).unwrap();
    assert_eq!(receiver.try_recv(), Ok(order));
}

#[test]
fn sides_that_mean_different_channels_are_told_both() {
    let region = region();
    let _sender = line_sender_in::<u64>(&region, 8).unwrap();
    let ours = ["8 slots of 8 bytes aligned to 8", "line ring"];
    let also = |more: &'static str| [ours[0], ours[1], more];
    assert_refused(line_receiver_in::<u64>(&region, 4), &also("4 slots"));
    assert_refused(line_receiver_in::<u128>(&region, 8), &also("16 bytes"));
    assert_refused(
        line_receiver_in::<[u8; 8]>(&region, 8),
        &also("aligned to 1"),
    );
    assert_refused(receiver_in::<u64>(&region, 8), &also("ring of positions"));
    let other = also("and answers of 2");
    assert_refused(caller_in::<u64, u16>(&region, 8), &other);
    let other = also("broadcast of 8 slots of 8 bytes aligned to 64 for 3 readers");
    assert_refused(broadcast::sender_in::<u64>(&region, 3, 8), &other);
    // Refusals change nothing: the end that is meant can still be opened.
    line_receiver_in::<u64>(&region, 5).unwrap();
}

#[test]
fn memory_of_another_version_is_refused() {
    let region = region();
    let _sender = sender_in::<u64>(&region, 8).unwrap();
    // SAFETY: inside the region, which outlives the borrow, and aligned.
    let shape: &AtomicU64 = unsafe { region.start().cast().as_ref() };
    let ours = shape.load(Relaxed);
    shape.store(ours + (1 << 56), Relaxed);
    let versions = ["version 1", "version 2"];
    assert_refused(receiver_in::<u64>(&region, 8), &versions);
    shape.store(!ours, Relaxed);
    assert_refused(receiver_in::<u64>(&region, 8), &["no channel known here"]);
}

#[test]
fn a_region_holds_what_the_bytes_function_says_and_not_a_byte_less() {
    let memory = ControlMemory::create(1 << 16).unwrap();
    let part = |bytes| memory.region(0, bytes).unwrap();
    let bytes = line_bytes::<Order>(10).unwrap();
    let [needed, found] = [bytes, bytes - 1].map(|bytes| bytes.to_string());
    let figures = [needed.as_str(), &found];
    assert_refused(line_sender_in::<Order>(&part(bytes - 1), 10), &figures);
    line_sender_in::<Order>(&part(bytes), 10).unwrap();
    let bytes = channel_bytes::<Order>(10).unwrap();
    let [needed, found] = [bytes, bytes - 1].map(|bytes| bytes.to_string());
    let figures = [needed.as_str(), &found];
    assert_refused(sender_in::<Order>(&part(bytes - 1), 10), &figures);
    let bytes = call_bytes::<Order, u8>(3).unwrap();
    assert_refused(caller_in::<Order, u8>(&part(bytes - 1), 3), &["slots"]);
    let bytes = broadcast::channel_bytes::<Order>(3, 4).unwrap();
    assert_refused(
        broadcast::sender_in::<Order>(&part(bytes - 1), 3, 4),
        &["slots"],
    );
    assert_refused(line_sender_in::<Order>(&part(1 << 16), 1 << 30), &["slots"]);
}

#[test]
fn what_cannot_be_is_refused_by_figures() {
    let region = region();
    assert_refused(line_sender_in::<Wide>(&region, 1), &["256", "128"]);
    assert_refused(line_sender_in::<u64>(&region, 0), &["0"]);
    let most = ["18446744073709551615"];
    assert_refused(sender_in::<u64>(&region, usize::MAX), &most);
    assert_refused(caller_in::<u64, u64>(&region, usize::MAX), &most);
    assert_refused(line_bytes::<u64>(usize::MAX), &most);
    assert_refused(broadcast::sender_in::<u64>(&region, 0, 1), &["0"]);
    assert_refused(broadcast::sender_in::<u64>(&region, 64, 1), &["64", "63"]);
    assert_refused(
        broadcast::receiver_in::<u64>(&region, 2, 1, 2),
        &["reader 2", "has 2"],
    );
}
