//! Everything at once, by chance: what is asked for happens once and whole. A failure prints its seed;
//! `MASER_SEED` runs that one alone.

use std::collections::HashMap;

use maser_fakes::{Chance, Faults};
use maser_transport::protocol::{CallOptions, NotTakenReason, Notice, Peer};
use maser_transport::wire::CallId;

use crate::world::{CLIENT, Ground, Loopback, SERVER, Tcp, World, pattern};

const CALLS: usize = 60;
const MESSAGES: u32 = 60;

/// What one end has asked for, and what it has seen.
#[derive(Default)]
struct Book {
    calls: HashMap<CallId, usize>,
    made: usize,
    replied: usize,
    sent: u32,
    effects: HashMap<CallId, u32>,
    messages: u32,
    /// Calls that will be replied to, some turns later.
    at_work: Vec<(u32, Peer, CallId, usize)>,
    peer: Option<Peer>,
}

impl Book {
    fn is_done(&self) -> bool {
        self.replied == CALLS && self.messages == MESSAGES && self.at_work.is_empty()
    }
}

fn length(chance: &mut Chance) -> usize {
    match chance.below(4) {
        0 => chance.below(40),
        1 => chance.below(1500),
        2 => 1990 + chance.below(20),
        _ => chance.below(8000),
    }
    .try_into()
    .expect("small")
}

fn faults(seed: u64, chance: &mut Chance) -> Faults {
    Faults {
        seed,
        cut: chance.below(30) as u32,
        full: chance.below(200) as u32,
        late: chance.below(300) as u32,
        ghost: chance.below(500) as u32,
        ..Faults::default()
    }
}

fn run<G: Ground>(seed: u64) {
    let mut chance = Chance::new(seed);
    let (first, second) = (faults(seed, &mut chance), faults(!seed, &mut chance));
    let mut world = World::<G::T>::new::<G>(first, second);
    let mut books = [Book::default(), Book::default()];
    books[CLIENT].peer = Some(world.connect(CLIENT, SERVER));
    while !books.iter().all(Book::is_done) {
        assert!(world.now_ns < 300_000_000_000, "it does not end");
        world.turn();
        for at in [CLIENT, SERVER] {
            let one = &mut world.all[at];
            let book = &mut books[at];
            for notice in one.told.drain(..) {
                see(notice, book, &mut chance);
            }
            let Some(peer) = book.peer else { continue };
            if book.made < CALLS && chance.hits(300) {
                let bytes = length(&mut chance);
                let payload = pattern(bytes, 1);
                match one
                    .end
                    .call(peer, bytes as u32, payload, CallOptions::default())
                {
                    Ok(call) => {
                        book.made += 1;
                        book.calls.insert(call, bytes);
                    }
                    Err(refused) => is_full(&refused.refusal),
                }
            }
            if book.sent < MESSAGES && chance.hits(300) {
                let payload = pattern(length(&mut chance), book.sent.into());
                match one.end.send(peer, book.sent, payload) {
                    Ok(()) => book.sent += 1,
                    Err(refused) => is_full(&refused.refusal),
                }
            }
            book.at_work.retain_mut(|(left, peer, call, bytes)| {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    let reply = pattern(*bytes, 2);
                    one.end.reply(*peer, *call, reply).expect("the call waits");
                }
                *left > 0
            });
        }
    }
    for book in &books {
        assert_eq!(book.effects.len(), CALLS);
        assert!(
            book.effects.values().all(|count| *count == 1),
            "{:?}",
            book.effects
        );
    }
}

#[track_caller]
fn is_full(refusal: &NotTakenReason) {
    assert!(matches!(refusal, NotTakenReason::Full { .. }), "{refusal}");
}

fn see(notice: Notice, book: &mut Book, chance: &mut Chance) {
    match notice {
        Notice::Up { peer } => book.peer = Some(peer),
        Notice::Call {
            peer,
            call,
            what,
            payload,
        } => {
            *book.effects.entry(call).or_default() += 1;
            assert_eq!(
                *payload,
                pattern(what as usize, 1),
                "a call that is not whole"
            );
            book.at_work
                .push((chance.below(30) as u32, peer, call, what as usize));
        }
        Notice::Message { what, payload, .. } => {
            assert_eq!(what, book.messages, "messages come in their order");
            assert_eq!(
                *payload,
                pattern(payload.len(), what.into()),
                "a message that is not whole"
            );
            book.messages += 1;
        }
        Notice::Reply { call, outcome, .. } => {
            let bytes = book.calls.remove(&call).expect("a call that waits");
            assert_eq!(
                *outcome.expect("it is retried"),
                pattern(bytes, 2),
                "a reply that is not whole"
            );
            book.replied += 1;
        }
        Notice::Lost { reason, .. } => panic!("{reason}"),
        Notice::Restarted { .. } => panic!("nobody was restarted"),
        _ => {}
    }
}

fn seeds<G: Ground>(count: u64) {
    let wanted = std::env::var("MASER_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = wanted.map_or(1..=count, |seed| seed..=seed);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run::<G>(seed));
        if let Err(panic) = outcome {
            eprintln!("MASER_SEED={seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn all_that_is_asked_for_happens_once_and_whole() {
    seeds::<Loopback>(60);
}

#[test]
fn all_that_is_asked_for_over_tcp_happens_once_and_whole() {
    seeds::<Tcp>(10);
}
