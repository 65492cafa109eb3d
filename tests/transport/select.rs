//! Sets of transports, which choose for each pair of ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use maser_tests::alone;
use maser_transport::select::{Joined, Offer, Preference, SelectError, SelectOptions, Transports};
use maser_transport::sm::SmOptions;
use maser_transport::tcp::TcpOptions;
use maser_transport::wire::{Identity, Role};
use maser_transport::{
    Access, Endpoint, Event, HeapMemory, Message, PutSource, Refusal, TransportKind, WorkRequest,
};

fn options(preference: Preference) -> SelectOptions {
    let tcp = TcpOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        identity: Identity {
            job: [1; 16],
            node: 1,
            role: Role::Node,
        },
        integrity: None,
        epoch: 1,
        secret: None,
        peer_timeout: Duration::from_secs(600),
        handshake_timeout: Duration::from_secs(600),
    };
    SelectOptions {
        preference,
        sm: Some(SmOptions::default()),
        tcp: Some(tcp),
        ..SelectOptions::default()
    }
}

fn forced(names: &str) -> Preference {
    Preference::forced(names).expect("transports")
}

fn open(preference: Preference) -> Transports {
    Transports::open(&options(preference)).expect("sm and tcp are everywhere")
}

/// Two sets that are polled in turn.
struct Two {
    sets: [Transports; 2],
    told: [Vec<Event>; 2],
    begin: Instant,
}

impl Two {
    fn new(a: Preference, b: Preference) -> Self {
        Self {
            sets: [open(a), open(b)],
            told: [Vec::new(), Vec::new()],
            begin: Instant::now(),
        }
    }

    fn turn(&mut self) {
        let now_ns = self.begin.elapsed().as_nanos() as u64;
        for (set, told) in self.sets.iter_mut().zip(&mut self.told) {
            set.advance(now_ns);
            told.extend(set.poll());
        }
    }

    fn join(&mut self, offer: &Offer) -> Joined {
        let id = self.sets[0].join(offer);
        loop {
            if let Some(joined) = self.sets[0].joined() {
                assert_eq!(joined.id, id);
                return joined;
            }
            self.turn();
        }
    }

    fn until<R>(&mut self, at: usize, mut wanted: impl FnMut(&Event) -> Option<R>) -> R {
        loop {
            let found = self.told[at]
                .iter()
                .enumerate()
                .find_map(|(place, event)| Some((place, wanted(event)?)));
            if let Some((place, found)) = found {
                self.told[at].remove(place);
                return found;
            }
            self.turn();
        }
    }

    fn accepted(&mut self) -> Endpoint {
        self.until(1, |event| match event {
            Event::Accepted { endpoint } => Some(*endpoint),
            _ => None,
        })
    }

    /// A message each way.
    fn speak(&mut self, to_b: Endpoint, to_a: Endpoint, text: &str) {
        for (from, endpoint, back) in [(0, to_b, to_a), (1, to_a, to_b)] {
            let request = WorkRequest::Send(Message::copied(text.as_bytes()));
            self.sets[from].post(endpoint, request, None).expect("room");
            let (came_from, message) = self.until(1 - from, |event| match event {
                Event::Message { endpoint, message } => Some((*endpoint, message.clone())),
                _ => None,
            });
            assert_eq!((came_from, &*message), (back, text.as_bytes()));
        }
    }
}

#[test]
fn processes_of_one_host_share_memory_unless_another_is_forced() {
    alone(|| {
        for (preference, wanted) in [
            (Preference::default(), TransportKind::Sm),
            (forced("tcp"), TransportKind::Tcp),
            (forced("tcp,sm"), TransportKind::Tcp),
        ] {
            let mut two = Two::new(preference, Preference::default());
            let offer = two.sets[1].offer();
            let offer = Offer::from_wire(&offer.to_wire()).expect("an offer");
            let joined = two.join(&offer);
            assert_eq!(
                joined.selection.chosen(),
                Some(wanted),
                "{}",
                joined.selection
            );
            let to_b = joined.endpoint.expect("connected");
            assert_eq!(two.sets[0].kind_of(to_b), Some(wanted));
            let to_a = two.accepted();
            two.speak(to_b, to_a, "hello");
        }
    });
}

#[test]
fn what_cannot_be_connected_gives_way_to_the_next() {
    alone(|| {
        let mut two = Two::new(Preference::default(), Preference::default());
        let mut offer = two.sets[1].offer();
        // The end in memory is gone, and that of TCP is not.
        let gone = open(forced("sm")).offer();
        offer.ways[0] = gone.ways[0].clone();
        let joined = two.join(&offer);
        let text = joined.selection.to_string();
        assert_eq!(
            joined.selection.chosen(),
            Some(TransportKind::Tcp),
            "{text}"
        );
        assert!(text.contains("there is no such end"), "{text}");
        let to_a = two.accepted();
        two.speak(joined.endpoint.expect("connected"), to_a, "by another way");
        // Nobody heard of the attempt.
        let is_ended = |event: &Event| matches!(event, Event::Ended { .. });
        assert!(!two.told.iter().flatten().any(is_ended));
    });
}

#[test]
fn nothing_that_can_be_connected_is_an_answer_with_all_reasons() {
    alone(|| {
        let mut two = Two::new(Preference::default(), Preference::default());
        let gone = open(Preference::default()).offer();
        let joined = two.join(&gone);
        assert_eq!((joined.endpoint, joined.selection.chosen()), (None, None));
        let failed = joined.selection.to_string();
        assert_eq!(failed.matches("failed").count(), 2, "{failed}");
        // Of another host, with addresses that mean nothing here.
        let mut far = two.sets[1].offer();
        far.host.boot = !far.host.boot;
        let text = two.join(&far).selection.to_string();
        assert!(
            text.contains("another host") && text.contains("secret"),
            "{text}"
        );
    });
}

#[test]
fn a_forced_transport_that_is_not_there_is_an_error_with_the_reason() {
    let mut options = options(forced("sm,tcp"));
    options.sm = Some(SmOptions {
        area_bytes: 5000,
        ..SmOptions::default()
    });
    let error = Transports::open(&options).err().expect("no such area");
    let text = error.to_string();
    assert!(matches!(error, SelectError::NotThere { .. }), "{text}");
    for word in ["MASER_TRANSPORT", "sm", "area_bytes", "power of two"] {
        assert!(text.contains(word), "{text}");
    }
    // Unless it is forced the others do.
    options.preference = Preference::default();
    let set = Transports::open(&options).expect("tcp is there");
    assert_eq!(set.offer().ways.len(), 1);
}

#[test]
fn endpoints_of_several_transports_are_apart() {
    alone(|| {
        let mut two = Two::new(Preference::default(), Preference::default());
        let offer = two.sets[1].offer();
        let mut ends = Vec::new();
        for kind in [TransportKind::Sm, TransportKind::Tcp] {
            let only = Offer {
                ways: vec![offer.way(kind).expect("offered").clone()],
                ..offer.clone()
            };
            let to_b = two.join(&only).endpoint.expect("connected");
            ends.push((kind, to_b, two.accepted()));
        }
        assert_ne!(ends[0].1, ends[1].1);
        for (kind, to_b, to_a) in ends {
            two.speak(to_b, to_a, kind.name());
            // Memory is of one transport.
            let memory = || std::sync::Arc::new(HeapMemory::new(8));
            let there = two.sets[1].register(kind, memory(), Access::all());
            let there = there.expect("it is open").expect("registered");
            let put = WorkRequest::Put {
                from: PutSource::Bytes(Message::copied(b"8 bytes.")),
                to: there.remote().whole(),
                signal: Some(8),
            };
            two.sets[0].post(to_b, put, Some(1)).expect("room");
            two.until(1, |event| match event {
                Event::Signal {
                    endpoint,
                    signal: 8,
                } => {
                    assert_eq!(*endpoint, to_a);
                    Some(())
                }
                _ => None,
            });
            two.until(0, |event| match event {
                Event::Completed(done) => {
                    assert_eq!((done.endpoint, done.token), (to_b, 1));
                    Some(())
                }
                _ => None,
            });
            two.sets[0].close(to_b);
            for (at, endpoint) in [(0, to_b), (1, to_a)] {
                two.until(at, |event| match event {
                    Event::Ended {
                        endpoint: ended, ..
                    } => {
                        assert_eq!(*ended, endpoint);
                        Some(())
                    }
                    _ => None,
                });
            }
            let late = two.sets[0].post(to_b, WorkRequest::Flush, Some(1));
            let refusal = late.expect_err("it is over").refusal;
            assert_eq!(refusal, Refusal::NotConnected { endpoint: to_b });
        }
    });
}

#[test]
fn a_set_that_waits_is_woken_by_each_of_its_transports() {
    alone(|| {
        for names in ["sm", "tcp", "sm,tcp", "tcp,sm"] {
            let mut two = Two::new(forced(names), Preference::default());
            let offer = two.sets[1].offer();
            let to_b = two.join(&offer).endpoint.expect("connected");
            let to_a = two.accepted();
            let [mut a, mut b] = two.sets;
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let message = next(&mut b);
                        b.post(to_a, WorkRequest::Send(message), None)
                            .expect("room");
                    }
                    b.close(to_a);
                    while !matches!(b.poll(), Some(Event::Ended { .. })) {}
                });
                for n in 0..20_u8 {
                    let message = Message::copied(&[n]);
                    a.post(to_b, WorkRequest::Send(message.clone()), None)
                        .expect("room");
                    assert_eq!(next(&mut a), message);
                }
            });
        }
    });
}

fn next(set: &mut Transports) -> Message {
    loop {
        match set.poll() {
            Some(Event::Message { message, .. }) => return message,
            Some(_) => {}
            None => set.wait(None).expect("it waits"),
        }
    }
}
