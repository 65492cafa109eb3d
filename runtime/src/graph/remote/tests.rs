//! Edges against peers that write anything, and bodies of any length.

use super::calls::{Answering, AnsweringParts, Asking, calls_bytes, pools};
use super::edge::{EdgeReceiver, EdgeSender, Origin, edge_bytes};
use super::inbox::Inbox;
use super::objects::{Borrower, Lender};
use super::packet::{Kind, Packed, Packet, head};
use super::plain::{NotPlain as _, PlainProbe};
use super::pool::{HandOver, PoolReader, PoolWriter};
use super::ringer::Ringer;
use crate::error::Error;
use crate::graph::observe::progress::Progress;
use crate::graph::segment::Head;
use maser_shm::control::{ControlMemory, Region};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

const DEPTH: usize = 4;
const BUFFER_BYTES: usize = 16 << 10;
const KEY: (u64, u64) = (7, 3);

fn hand_over(inbox: &Arc<Inbox>) -> HandOver {
    let inbox = inbox.clone();
    Box::new(move |number, memory| {
        inbox.put((KEY.0, KEY.1, number), memory.clone());
        Some(())
    })
}

fn origin(complaints: &Arc<Mutex<Vec<Error>>>) -> Origin {
    let complaints = complaints.clone();
    Origin {
        name: "worker 1 (pid 1)".into(),
        complaint: Arc::new(move |error| complaints.lock().unwrap().push(error)),
        borrower: Borrower::Nobody,
    }
}

struct Edge {
    region: Region,
    sender: EdgeSender,
    receiver: EdgeReceiver,
    complaints: Arc<Mutex<Vec<Error>>>,
}

fn edge() -> Edge {
    let region = ControlMemory::create(edge_bytes(DEPTH, BUFFER_BYTES).unwrap())
        .unwrap()
        .whole();
    let region = region
        .part(0, edge_bytes(DEPTH, BUFFER_BYTES).unwrap())
        .unwrap();
    let inbox = Arc::<Inbox>::default();
    inbox.open(KEY.0);
    let complaints = Arc::default();
    let sender = EdgeSender::open(
        &region,
        DEPTH,
        Ringer::Nobody,
        Lender::Nobody,
        hand_over(&inbox),
    )
    .unwrap();
    let receiver = EdgeReceiver::open(&region, DEPTH, inbox, KEY, origin(&complaints)).unwrap();
    Edge {
        region,
        sender,
        receiver,
        complaints,
    }
}

fn body(length: usize, seed: usize) -> Packed {
    let mut packed = Packed::default();
    let filled = packed.fill(Kind::Value, |bytes| {
        bytes.extend((0..length).map(|at| (at * 7 + seed) as u8));
        Ok(())
    });
    filled.unwrap();
    packed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bodies_of_any_length_come_out_in_order(
        lengths in prop::collection::vec(
            prop_oneof![0_usize..100, 1_000_usize..9_000, 20_000_usize..200_000], 1..40),
        at_once in 1_usize..=DEPTH,
    ) {
        let mut edge = edge();
        let mut came = Packed::default();
        for (group, lengths) in lengths.chunks(at_once).enumerate() {
            for length in lengths {
                edge.sender.send(&body(*length, group));
            }
            for length in lengths {
                prop_assert!(edge.receiver.idle().is_none());
                prop_assert!(edge.receiver.take(&mut came));
                let sent = body(*length, group);
                prop_assert_eq!(came.bytes(), sent.bytes());
                prop_assert!(!came.is_error());
            }
            prop_assert!(!edge.receiver.take(&mut came));
        }
        prop_assert!(edge.complaints.lock().unwrap().is_empty());
    }

    #[test]
    fn any_line_is_a_value_or_an_error_that_names_the_peer(lines: Vec<Packet>) {
        let mut edge = edge();
        let mut came = Packed::default();
        for line in lines {
            edge.sender.send_packet(line);
            if edge.receiver.take(&mut came) {
                prop_assert!(came.bytes().len() <= 48 || came.bytes().len() <= 16 << 10);
                if came.is_error() {
                    let _text = came.error("worker 1 (pid 1)").to_string();
                }
                let _plain = PlainProbe::<[u64; 5]>::IS.unpack(came.bytes());
            } else {
                // It names a pool that has not come.
                prop_assert!(edge.receiver.idle().is_some());
                return Ok(());
            }
        }
        for complaint in edge.complaints.lock().unwrap().iter() {
            prop_assert!(complaint.to_string().contains("worker 1 (pid 1)"), "{}", complaint);
        }
    }

    #[test]
    fn a_peer_that_scribbles_over_all_of_the_memory_harms_nobody(
        bytes: [u8; 64],
        offset in 0_usize..2_000,
        length in 0_usize..20_000,
    ) {
        let mut edge = edge();
        let mut came = Packed::default();
        edge.sender.send(&body(length, 0));
        scribble(&edge.region, offset, &bytes);
        for _ in 0..3 {
            let _taken = edge.receiver.take(&mut came);
            edge.sender.send(&body(length, 1));
        }
    }
}

fn scribble(region: &Region, offset: usize, bytes: &[u8]) {
    let offset = offset.next_multiple_of(128).min(region.bytes() - 128);
    let part = region.part(offset, 128).unwrap();
    assert!(super::word::copy_in(bytes, &part));
}

#[test]
fn a_body_of_an_unknown_pool_waits_until_the_pool_comes() {
    let mut edge = edge();
    let mut came = Packed::default();
    let line = [head(Kind::Value, 100), 0, 9, 0, 0, 0, 0];
    edge.sender.send_packet(line);
    assert!(!edge.receiver.take(&mut came));
    assert!(edge.receiver.idle().is_some());
    assert!(!edge.receiver.take(&mut came));
}

#[test]
fn a_body_outside_of_its_pool_is_an_error_that_names_the_peer() {
    for (place, bytes) in [
        (0, u32::MAX),
        (u64::MAX, 100),
        (8 << 10, 16 << 10),
        (3, 1 << 20),
    ] {
        let mut edge = edge();
        let mut came = Packed::default();
        let line = [head(Kind::Value, bytes as usize), place, 0, 0, 0, 0, 0];
        edge.sender.send_packet(line);
        assert!(edge.receiver.take(&mut came));
        assert!(came.is_error());
        let text = came.error("?").to_string();
        assert!(text.contains("worker 1 (pid 1)"), "{text}");
        assert_eq!(edge.complaints.lock().unwrap().len(), 1);
    }
}

#[test]
fn questions_and_answers_of_any_length_share_their_line() {
    let bytes = calls_bytes(DEPTH, BUFFER_BYTES).unwrap();
    let region = ControlMemory::create(bytes).unwrap();
    let region = region.region(0, bytes).unwrap();
    let [there, back] = pools(&region, DEPTH).unwrap();
    let inbox = Arc::<Inbox>::default();
    inbox.open(KEY.0);
    let complaints = Arc::default();
    let calls = Asking::open(&region, DEPTH).unwrap();
    let mut asks = EdgeSender::asking(
        calls.clone(),
        there.clone(),
        Ringer::Nobody,
        Lender::Nobody,
        hand_over(&inbox),
    )
    .unwrap();
    let back_inbox = Arc::<Inbox>::default();
    back_inbox.open(KEY.0);
    let mut takes = EdgeReceiver::answers(
        calls,
        back.clone(),
        back_inbox.clone(),
        KEY,
        origin(&complaints),
    )
    .unwrap();
    let parts = AnsweringParts {
        input: Arc::default(),
        output: Arc::default(),
        slots: Vec::new(),
        shown: Progress::alone(),
        lender: Lender::Nobody,
        questions: PoolReader::new(there, inbox, KEY).unwrap(),
        answers: PoolWriter::new(back, hand_over(&back_inbox)).unwrap(),
        ringer: Ringer::Nobody,
        origin: origin(&complaints),
    };
    let (input, output) = (parts.input.clone(), parts.output.clone());
    let mut answers = Answering::open(&region, DEPTH, parts).unwrap();
    let mut came = Packed::default();
    for length in [0, 8, 48, 49, 10_000, 5, 100_000, 16 << 10] {
        asks.send(&body(length, 1));
        assert!(!takes.take(&mut came));
        assert!(answers.try_load());
        assert_eq!(input.get().bytes(), body(length, 1).bytes());
        output.with(|output| *output = body(length * 2, 2));
        answers.finish();
        assert!(!answers.try_load());
        assert!(takes.idle().is_none());
        assert!(takes.take(&mut came));
        assert_eq!(came.bytes(), body(length * 2, 2).bytes());
    }
    assert!(complaints.lock().unwrap().is_empty());
}

#[test]
fn plain_types_are_known_and_others_are_not() {
    #[derive(Clone, Copy)]
    struct Opaque(#[allow(dead_code, reason = "only its type counts")] u64);
    assert!(PlainProbe::<u64>::IS.get());
    assert!(PlainProbe::<[f32; 20]>::IS.get());
    assert!(!PlainProbe::<String>::IS.get());
    assert!(!PlainProbe::<bool>::IS.get());
    assert!(!PlainProbe::<Opaque>::IS.get());
    let mut packed = Packed::default();
    assert!(PlainProbe::<u64>::IS.pack(&7, &mut packed));
    assert_eq!(PlainProbe::<u64>::IS.unpack(packed.bytes()), Some(7));
    assert_eq!(PlainProbe::<u32>::IS.unpack(packed.bytes()), None);
    assert!(!PlainProbe::<Opaque>::IS.pack(&Opaque(1), &mut packed));
}
