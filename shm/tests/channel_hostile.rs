//! Ends in control memory whose peer wrote what cannot be: each says what it found, and goes on to
//! nothing. Words at random: `channel_scribbled`.
#![cfg(not(any(loom, miri)))]
#![allow(unsafe_code, reason = "writes where a peer would")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use maser_shm::channel::call_slot::{call_bytes, callee_in, caller_in};
use maser_shm::channel::spsc::{
    channel_bytes, line_bytes, line_receiver_in, line_sender_in, receiver_in, sender_in,
};
use maser_shm::channel::{PeerFault, Shared, TryRecvError, TrySendError, broadcast, mpsc};
use maser_shm::control::{ControlMemory, Region};

/// Where the words that both ends need begin: behind the shape and the claims.
const CONTROL: usize = 128;
/// Where the lines of a line ring begin.
const LINES: usize = CONTROL + 2 * 128;
/// Where the slots of a call ring begin.
const SLOTS: usize = CONTROL + 128;

/// The word at `at` of a region, as a peer sees it.
fn word(region: &Region, at: usize) -> &AtomicU64 {
    assert!(at.is_multiple_of(8) && at + 8 <= region.bytes());
    // SAFETY: inside the region, which outlives the borrow, and aligned.
    unsafe { region.start().add(at).cast().as_ref() }
}

fn fresh(bytes: usize) -> Region {
    ControlMemory::create(bytes).unwrap().whole()
}

/// What an end that found it out says.
#[track_caller]
fn assert_corrupt(fault: Option<PeerFault>, name: &str, value: u64) {
    match fault {
        Some(PeerFault::Corrupt { word, found, .. }) => assert_eq!((word, found), (name, value)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_that_is_further_than_the_ring_is_long_ends_the_ring() {
    let region = fresh(line_bytes::<u64>(4).unwrap());
    let mut sender = line_sender_in::<u64>(&region, 4).unwrap();
    let mut receiver = line_receiver_in::<u64>(&region, 4).unwrap();
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
    word(&region, LINES).store(6, Relaxed);
    // The value whose news came before is still given out.
    assert_eq!(receiver.try_recv(), Ok(2));
    word(&region, LINES).store(7, Relaxed);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_corrupt(receiver.fault(), "written", 7);
    // For ever, whatever the peer says now.
    word(&region, LINES).store(3, Relaxed);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert!(receiver.is_closed() && !receiver.is_ready());
    assert_eq!(receiver.try_recv_batch(9, drop), 0);
}

#[test]
fn a_line_that_takes_back_what_was_received_ends_the_ring() {
    let region = fresh(line_bytes::<u64>(4).unwrap());
    let mut sender = line_sender_in::<u64>(&region, 4).unwrap();
    let mut receiver = line_receiver_in::<u64>(&region, 4).unwrap();
    sender.try_send(1).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
    word(&region, LINES).store(0, Relaxed);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_corrupt(receiver.fault(), "written", 0);
}

#[test]
fn a_value_that_was_written_and_not_published_is_never_seen() {
    let region = fresh(line_bytes::<u64>(4).unwrap());
    let mut sender = line_sender_in::<u64>(&region, 4).unwrap();
    let mut receiver = line_receiver_in::<u64>(&region, 4).unwrap();
    sender.try_send(1).unwrap();
    // The sender is killed between the two stores of its next send.
    word(&region, LINES + 16).store(2, Relaxed);
    std::mem::forget(sender);
    receiver.peer_died();
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(receiver.fault(), Some(PeerFault::Died));
}

#[test]
fn a_value_that_was_taken_and_not_given_back_is_given_to_nobody_else() {
    let region = fresh(channel_bytes::<u64>(2).unwrap());
    let mut sender = sender_in::<u64>(&region, 2).unwrap();
    let mut receiver = receiver_in::<u64>(&region, 2).unwrap();
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
    // The receiver is killed before its position is stored.
    word(&region, CONTROL + 128).store(0, Relaxed);
    std::mem::forget(receiver);
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    sender.peer_died();
    assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    let taken = receiver_in::<u64>(&region, 2).err().unwrap();
    assert!(taken.to_string().contains("receiver"), "{taken}");
}

#[test]
fn a_head_that_cannot_be_ends_the_ring_for_its_sender() {
    for found in [5, 1, u64::MAX] {
        let region = fresh(line_bytes::<u64>(2).unwrap());
        let mut sender = line_sender_in::<u64>(&region, 2).unwrap();
        let mut receiver = line_receiver_in::<u64>(&region, 2).unwrap();
        for value in 0..4 {
            sender.try_send(value).unwrap();
            assert_eq!(receiver.try_recv(), Ok(value));
            assert!(!sender.is_full());
        }
        sender.try_send(4).unwrap();
        let head = word(&region, CONTROL);
        // 4, which the sender has seen, and 5, which it has sent, can be.
        head.store(found, Relaxed);
        let sent: Vec<_> = (5..8).map(|value| sender.try_send(value)).collect();
        if found == 5 {
            assert_eq!(sent[..2], [Ok(()), Ok(())]);
            head.store(8, Relaxed);
            assert_eq!(sender.try_send(9), Err(TrySendError::Closed(9)));
            assert_corrupt(sender.fault(), "head", 8);
        } else {
            assert_eq!(sent[2], Err(TrySendError::Closed(7)));
            assert_corrupt(sender.fault(), "head", found);
        }
        assert!(sender.is_closed());
        assert_eq!(sender.try_send_batch(&mut (0..9)), 0);
    }
}

#[test]
fn positions_that_cannot_be_end_the_ring() {
    let region = fresh(channel_bytes::<u64>(4).unwrap());
    let mut sender = sender_in::<u64>(&region, 4).unwrap();
    let mut receiver = receiver_in::<u64>(&region, 4).unwrap();
    sender.try_send(1).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
    word(&region, CONTROL).store(6, Relaxed);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_corrupt(receiver.fault(), "tail", 6);
    word(&region, CONTROL + 128).store(9, Relaxed);
    assert_eq!(sender.try_send_batch(&mut (0..9)), 3);
    assert_eq!(sender.try_send(9), Err(TrySendError::Closed(9)));
    assert_corrupt(sender.fault(), "head", 9);
}

#[test]
fn a_stage_that_cannot_be_ends_the_ring_for_its_caller() {
    let region = fresh(call_bytes::<u64, u64>(1).unwrap());
    let mut caller = caller_in::<u64, u64>(&region, 1).unwrap();
    let number = caller.try_call(7).unwrap();
    assert_eq!(caller.try_take(number), None);
    assert!(!caller.is_closed());
    word(&region, SLOTS).store(12345, Relaxed);
    assert_eq!(caller.try_take(number), None);
    assert!(caller.try_settle(number).is_none() && caller.is_closed());
    assert_corrupt(caller.fault(), "stage", 12345);
}

#[test]
fn a_question_over_one_that_is_not_answered_ends_the_ring_for_its_callee() {
    let region = fresh(call_bytes::<u64, u64>(2).unwrap());
    let mut caller = caller_in::<u64, u64>(&region, 2).unwrap();
    let mut callee = callee_in::<u64, u64>(&region, 2).unwrap();
    let number = caller.try_call(7).unwrap();
    assert_eq!(callee.try_next(), Some((number, 7)));
    // The same slot again, two numbers on.
    word(&region, SLOTS).store(2 * (number + 2) + 1, Relaxed);
    assert_eq!(callee.try_next(), None);
    assert_corrupt(callee.fault(), "stage", 2 * (number + 2) + 1);
    assert!(callee.is_closed() && !callee.is_ready());
    // What it had taken it may still answer.
    callee.answer(number, 8);
}

#[test]
fn a_head_that_cannot_be_puts_its_reader_out_of_a_broadcast_and_no_other() {
    let region = fresh(broadcast::channel_bytes::<u64>(2, 2).unwrap());
    let mut sender = broadcast::sender_in::<u64>(&region, 2, 2).unwrap();
    let mut receiver = broadcast::receiver_in::<u64>(&region, 2, 2, 0).unwrap();
    let heads = CONTROL + 128;
    for value in 0..20 {
        let mad = if value < 10 { value } else { 3 };
        word(&region, heads + 128).store(mad, Relaxed);
        until_sent(&mut sender, value);
        assert_eq!(receiver.try_recv(), Ok(value));
    }
    assert_corrupt(sender.fault(), "head", 3);
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
}

/// Sends with no more than one refusal.
fn until_sent(sender: &mut broadcast::Sender<u64, Shared>, value: u64) {
    let sent = sender.try_send(value).or_else(|_| sender.try_send(value));
    sent.unwrap();
}

#[test]
fn a_sequence_that_cannot_be_ends_the_broadcast_for_its_reader() {
    let region = fresh(broadcast::channel_bytes::<u64>(1, 2).unwrap());
    let mut receiver = broadcast::receiver_in::<u64>(&region, 1, 2, 0).unwrap();
    word(&region, CONTROL + 2 * 128).store(3, Relaxed);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_corrupt(receiver.fault(), "sequence", 3);
}

#[test]
fn a_lane_that_cannot_be_goes_and_the_others_go_on() {
    let bytes = line_bytes::<u64>(2).unwrap();
    let [good, mad] = [fresh(bytes), fresh(bytes)];
    let mut receiver = mpsc::Receiver::<u64, Shared>::new();
    receiver.add_lane_in(&mad, 2).unwrap();
    receiver.add_lane_in(&good, 2).unwrap();
    let mut sender = mpsc::sender_in::<u64>(&good, 2).unwrap();
    word(&mad, LINES).store(99, Relaxed);
    sender.try_send(5).unwrap();
    assert_eq!(receiver.try_recv(), Ok(5));
    assert_corrupt(receiver.fault(&mad), "written", 99);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(receiver.lanes(), 1);
    sender.try_send(6).unwrap();
    receiver.peer_died(&good);
    assert_eq!(receiver.try_recv(), Ok(6));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}
