//! The two state machines of a stream, without a transport: whatever is lost between them, each item is taken
//! once, in its place and whole, and no more is kept than credit allows.

use std::collections::VecDeque;

use maser_transport::Message;
use maser_transport::protocol::Amount;
use maser_transport::protocol::packet::{Packet, PacketKind};
use maser_transport::protocol::receiving::{Came, Receiving};
use maser_transport::protocol::sending::{Body, Next, Pushed, Sending};
use proptest::prelude::*;

const WINDOW: Amount = Amount {
    messages: 5,
    bytes: 1000,
};
const FRAGMENT: usize = 60;

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    /// Gives up the item before the last, if it can be.
    GiveUp,
    Leave,
    Arrive,
    Consume,
    Ack,
    /// The connection is lost, with all that is on it, and the next one begins.
    Cut,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_usize..400).prop_map(Step::Push),
        1 => Just(Step::GiveUp),
        6 => Just(Step::Leave),
        6 => Just(Step::Arrive),
        4 => Just(Step::Consume),
        2 => Just(Step::Ack),
        1 => Just(Step::Cut),
    ];
    prop::collection::vec(step, 1..300)
}

struct Streams {
    sending: Sending,
    receiving: Receiving,
    on_the_way: VecDeque<Message>,
    /// Lengths that were pushed, by number; `None` if it was given up and did not leave.
    pushed: Vec<Option<usize>>,
    /// Places by number.
    places: Vec<u64>,
    taken: Vec<(u32, usize)>,
    unconsumed: VecDeque<u64>,
}

impl Streams {
    fn new() -> Self {
        Self {
            sending: Sending::new(WINDOW),
            receiving: Receiving::new(WINDOW, WINDOW, 0),
            on_the_way: VecDeque::new(),
            pushed: Vec::new(),
            places: Vec::new(),
            taken: Vec::new(),
            unconsumed: VecDeque::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Push(bytes) => {
                if !self.sending.has_room(*bytes as u64) {
                    return;
                }
                let number = self.pushed.len() as u32;
                let place = self.sending.push(Pushed {
                    kind: PacketKind::Message,
                    what: number,
                    about: 0,
                    body: Body::Bytes(vec![number as u8; *bytes].into()),
                    releases: 0,
                });
                self.pushed.push(Some(*bytes));
                self.places.push(place);
            }
            Step::GiveUp => {
                let Some(number) = self.places.len().checked_sub(2) else {
                    return;
                };
                if self.sending.give_up(self.places[number], true) {
                    self.pushed[number] = None;
                }
            }
            Step::Leave => match self.sending.next(FRAGMENT) {
                Some(Next::Packet(message)) => self.on_the_way.push_back(message),
                Some(Next::Control(_)) => panic!("nothing is lent"),
                None => {}
            },
            Step::Arrive => {
                let Some(message) = self.on_the_way.pop_front() else {
                    return;
                };
                let (packet, begin) = Packet::decode(&message).expect("it was just made");
                let came = self.receiving.take(packet, message, begin);
                match came.expect("it keeps to the protocol") {
                    Some((packet, Came::Bytes(bytes))) if packet.kind == PacketKind::Message => {
                        assert!(bytes.iter().all(|byte| *byte == packet.what as u8));
                        self.taken.push((packet.what, bytes.len()));
                        self.unconsumed.push_back(bytes.len() as u64);
                    }
                    Some((packet, _)) => assert_eq!(packet.kind, PacketKind::Void),
                    None => {}
                }
            }
            Step::Consume => {
                if let Some(bytes) = self.unconsumed.pop_front() {
                    self.receiving.consume(Amount::one(bytes));
                }
            }
            Step::Ack => {
                let (received, may) = self.receiving.tell();
                self.sending.ack(received).expect("it left");
                self.sending.grant(may);
            }
            Step::Cut => {
                self.on_the_way.clear();
                self.receiving.cut();
                let (received, may) = self.receiving.tell();
                self.sending.rewind(received).expect("it left once");
                self.sending.grant(may);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_item_is_taken_once_in_its_place_and_whole(steps in steps()) {
        let mut streams = Streams::new();
        for step in &steps {
            streams.step(step);
            // RX-2, SX-3: what waits here, and what is kept there.
            prop_assert!(streams.unconsumed.len() as u64 <= WINDOW.messages);
            prop_assert!(streams.unconsumed.iter().sum::<u64>() <= WINDOW.bytes);
            let (sent, granted) = streams.sending.credit();
            prop_assert!(sent.is_within(granted));
        }
        // And in the end everything comes.
        for _ in 0..2 {
            streams.step(&Step::Cut);
            while streams.sending.has_next() {
                streams.step(&Step::Leave);
                streams.step(&Step::Arrive);
                streams.step(&Step::Consume);
                streams.step(&Step::Ack);
            }
        }
        let wanted: Vec<(u32, usize)> = (0..)
            .zip(&streams.pushed)
            .filter_map(|(number, bytes)| Some((number, (*bytes)?)))
            .collect();
        prop_assert_eq!(&streams.taken, &wanted);
        prop_assert_eq!(streams.sending.unacknowledged(), 0);
    }
}
