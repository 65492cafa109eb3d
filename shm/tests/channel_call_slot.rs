//! The call ring against a model, alone and between two threads.
#![cfg(not(loom))]
#![allow(unsafe_code, reason = "probes of ends that are alive")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use maser_shm::channel::call_slot::{Callee, Caller, call_ring};
use maser_shm::channel::{Abandoned, ChannelError, Probe, TryCallError};
use proptest::prelude::*;

/// Operation of a random sequence; numbers pick one of those that qualify.
#[derive(Clone, Debug)]
enum Op {
    Call,
    TakeAny(usize),
    Next,
    AnswerAny(usize),
    AbandonAny(usize),
    Serve,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Call),
        3 => (0..8_usize).prop_map(Op::TakeAny),
        2 => Just(Op::Next),
        2 => (0..8_usize).prop_map(Op::AnswerAny),
        1 => (0..8_usize).prop_map(Op::AbandonAny),
        2 => Just(Op::Serve),
    ]
}

/// Cases and steps, few under miri.
const CASES: u32 = if cfg!(miri) { 6 } else { 512 };
const STEPS: usize = if cfg!(miri) { 60 } else { 400 };
const CALLS: u64 = if cfg!(miri) { 100 } else { 100_000 };

/// A value that counts how many of it are alive.
#[derive(Debug)]
struct Counted(u64, Arc<AtomicUsize>);

impl Counted {
    fn new(value: u64, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        Self(value, alive.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Relaxed);
    }
}

/// What the model knows of a question in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Asked,
    Taken,
    Answered,
    Abandoned,
}

struct Model {
    alive: Arc<AtomicUsize>,
    caller: Caller<Counted, Box<Counted>>,
    callee: Callee<Counted, Box<Counted>>,
    /// Number to question and state.
    in_flight: BTreeMap<u64, (u64, State)>,
    /// Numbers asked and not taken.
    waiting: VecDeque<u64>,
    asked: u64,
    last: Option<u64>,
}

impl Model {
    fn pick(&self, nth: usize, states: &[State]) -> Option<u64> {
        let fit: Vec<_> = self
            .in_flight
            .iter()
            .filter(|(_, (_, state))| states.contains(state))
            .collect();
        (!fit.is_empty()).then(|| *fit[nth % fit.len()].0)
    }

    fn step(&mut self, op: &Op) {
        let depth = self.caller.depth() as u64;
        match *op {
            Op::Call => {
                let number = match self.last {
                    None => 0,
                    Some(last) if self.in_flight.is_empty() => last + depth,
                    Some(last) => last + 1,
                };
                let is_full = self
                    .in_flight
                    .keys()
                    .any(|busy| busy % depth == number % depth);
                assert_eq!(self.caller.is_full(), is_full);
                assert_eq!(self.caller.next_number(), number);
                match self.caller.try_call(Counted::new(self.asked, &self.alive)) {
                    Ok(got) => {
                        assert!(!is_full);
                        assert_eq!(got, number);
                        self.in_flight.insert(number, (self.asked, State::Asked));
                        self.waiting.push_back(number);
                        self.last = Some(number);
                        self.asked += 1;
                    }
                    Err(TryCallError::Full(question)) => {
                        assert!(is_full);
                        assert_eq!(question.0, self.asked);
                    }
                    Err(TryCallError::Closed(_)) => panic!("the callee is alive"),
                }
            }
            Op::TakeAny(nth) => {
                use State::{Abandoned as GivenUp, Answered, Asked, Taken};
                let Some(number) = self.pick(nth, &[Asked, Taken, Answered, GivenUp]) else {
                    return;
                };
                let (question, state) = self.in_flight[&number];
                assert_eq!(
                    self.caller.is_answered(number),
                    matches!(state, Answered | GivenUp)
                );
                match state {
                    Asked | Taken => {
                        assert!(self.caller.try_take(number).is_none());
                        assert!(self.caller.try_settle(number).is_none());
                        return;
                    }
                    Answered if nth % 2 == 0 => {
                        assert_eq!(self.caller.try_take(number).unwrap().0, question + 1000);
                    }
                    Answered => {
                        let answer = self.caller.try_settle(number).unwrap().unwrap();
                        assert_eq!(answer.0, question + 1000);
                    }
                    GivenUp => {
                        assert!(self.caller.try_take(number).is_none());
                        assert_eq!(
                            self.caller.try_settle(number).unwrap().unwrap_err(),
                            Abandoned
                        );
                    }
                }
                assert!(self.caller.try_settle(number).is_none());
                self.in_flight.remove(&number);
            }
            Op::Next => {
                assert_eq!(self.callee.is_ready(), !self.waiting.is_empty());
                let taken = self
                    .callee
                    .try_next()
                    .map(|(number, question)| (number, question.0));
                let want = self.waiting.pop_front();
                assert_eq!(
                    taken,
                    want.map(|number| (number, self.in_flight[&number].0))
                );
                if let Some(number) = want {
                    self.in_flight.get_mut(&number).unwrap().1 = State::Taken;
                }
            }
            Op::AnswerAny(nth) => {
                let Some(number) = self.pick(nth, &[State::Taken]) else {
                    return;
                };
                let entry = self.in_flight.get_mut(&number).unwrap();
                self.callee
                    .answer(number, Box::new(Counted::new(entry.0 + 1000, &self.alive)));
                entry.1 = State::Answered;
            }
            Op::AbandonAny(nth) => {
                let Some(number) = self.pick(nth, &[State::Taken]) else {
                    return;
                };
                self.callee.abandon(number);
                self.in_flight.get_mut(&number).unwrap().1 = State::Abandoned;
            }
            Op::Serve => {
                let alive = self.alive.clone();
                let served = self
                    .callee
                    .try_serve(|question| Box::new(Counted::new(question.0 + 1000, &alive)));
                assert_eq!(served, !self.waiting.is_empty());
                if let Some(number) = self.waiting.pop_front() {
                    self.in_flight.get_mut(&number).unwrap().1 = State::Answered;
                }
            }
        }
        assert_eq!(self.caller.in_flight(), self.in_flight.len());
        let holding = |(_, state): &&(u64, State)| matches!(state, State::Asked | State::Answered);
        assert_eq!(
            self.alive.load(Relaxed),
            self.in_flight.values().filter(holding).count()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_its_model(depth in 1..9_usize, caller_first: bool, ops in prop::collection::vec(op(), 0..STEPS)) {
        let alive = Arc::new(AtomicUsize::new(0));
        let (caller, callee) = call_ring(depth).unwrap();
        assert_eq!((caller.depth(), callee.depth()), (depth.next_power_of_two(), depth.next_power_of_two()));
        let mut model = Model {
            alive: alive.clone(),
            caller,
            callee,
            in_flight: BTreeMap::new(),
            waiting: VecDeque::new(),
            asked: 0,
            last: None,
        };
        for op in &ops {
            model.step(op);
        }
        let Model { mut caller, mut callee, in_flight, waiting, .. } = model;
        if caller_first {
            drop(caller);
            assert!(callee.is_closed());
            assert_eq!(alive.load(Relaxed), waiting.len());
            // A closed ring still gives out what was asked before.
            for number in waiting.iter().take(2) {
                assert_eq!(callee.try_next().unwrap().0, *number);
            }
            drop(callee);
        } else {
            drop(callee);
            assert!(caller.is_closed());
            let refused = caller.try_call(Counted::new(0, &alive));
            assert!(matches!(refused, Err(TryCallError::Closed(_))));
            drop(refused);
            for (number, (question, state)) in in_flight {
                let answer = caller.try_take(number);
                assert_eq!(answer.is_some(), state == State::Answered);
                assert!(answer.is_none_or(|answer| answer.0 == question + 1000));
            }
            drop(caller);
        }
        assert_eq!(alive.load(Relaxed), 0);
    }
}

#[test]
fn one_question_at_a_time_stays_on_one_line() {
    let (mut caller, mut callee) = call_ring::<u64, u64>(8).unwrap();
    for question in 0..20 {
        let number = caller.try_call(question).unwrap();
        assert_eq!(number % 8, 0, "CS-8: the slot used last is used again");
        assert!(callee.try_serve(|question| question * 2));
        assert_eq!(caller.try_take(number), Some(question * 2));
    }
}

#[test]
fn questions_and_answers_cross_between_threads() {
    for depth in [1, 2, 8] {
        let (mut caller, mut callee) = call_ring::<[u64; 6], (u64, Box<u64>)>(depth).unwrap();
        let server = std::thread::spawn(move || {
            let mut want = 0;
            while want < CALLS {
                let served = callee.try_serve(|question| {
                    assert_eq!(question, [want; 6]);
                    (want, Box::new(!want))
                });
                want += u64::from(served);
                if !served {
                    std::thread::yield_now();
                }
            }
        });
        let mut in_flight = VecDeque::new();
        let (mut asked, mut answered) = (0, 0);
        while answered < CALLS {
            if asked < CALLS
                && let Ok(number) = caller.try_call([asked; 6])
            {
                in_flight.push_back((number, asked));
                asked += 1;
            }
            // The youngest first, now and then, so that slots free out of order.
            let picked = if asked % 3 == 0 {
                in_flight.back()
            } else {
                in_flight.front()
            };
            let Some(&(number, question)) = picked else {
                continue;
            };
            match caller.try_take(number) {
                Some(answer) => {
                    assert_eq!(answer, (question, Box::new(!question)));
                    in_flight.retain(|&(other, _)| other != number);
                    answered += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        server.join().unwrap();
        assert!(caller.is_closed());
    }
}

#[test]
fn a_panic_while_serving_abandons_the_question() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (mut caller, mut callee) = call_ring::<Counted, Counted>(2).unwrap();
    let number = caller.try_call(Counted::new(1, &alive)).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        callee.try_serve(|_question| -> Counted { panic!("the method fails") })
    }));
    assert!(panicked.is_err());
    assert_eq!(caller.try_settle(number).unwrap().unwrap_err(), Abandoned);
    assert_eq!(alive.load(Relaxed), 0);
    let number = caller.try_call(Counted::new(2, &alive)).unwrap();
    assert!(callee.try_serve(|question| question));
    assert_eq!(caller.try_take(number).unwrap().0, 2);
}

#[test]
fn answering_what_is_not_open_panics() {
    let (mut caller, mut callee) = call_ring::<Box<u64>, Box<u64>>(2).unwrap();
    let number = caller.try_call(Box::new(1)).unwrap();
    let answer = |callee: &mut Callee<_, _>, number| {
        let call = std::panic::AssertUnwindSafe(|| callee.answer(number, Box::new(0)));
        std::panic::catch_unwind(call).is_ok()
    };
    assert!(!answer(&mut callee, number), "it was not taken");
    assert!(!answer(&mut callee, number + 1), "it was never asked");
    for number in [number + (1 << 63), u64::MAX, u64::MAX - 1, (1 << 62) - 2] {
        assert!(!answer(&mut callee, number), "there is no such number");
        assert_eq!(caller.try_take(number), None);
        assert!(caller.try_settle(number).is_none());
    }
    let (taken, _question) = callee.try_next().unwrap();
    assert!(answer(&mut callee, taken));
    assert!(!answer(&mut callee, taken), "it is answered already");
    assert_eq!(caller.try_take(number).as_deref(), Some(&0));
}

#[test]
fn a_ring_of_no_slots_is_refused() {
    assert_eq!(
        call_ring::<u8, u8>(0).err(),
        Some(ChannelError::ZeroCapacity)
    );
}

#[test]
fn probes_of_idle_ends_change_with_what_they_wait_for_and_not_before() {
    let (mut caller, mut callee) = call_ring::<u64, u64>(4).unwrap();
    // One question at a time, then two, then one again: both ways that numbers grow.
    for batch in [1, 1, 2, 1, 3, 1_u64] {
        for question in 0..batch {
            // SAFETY: the callee is alive.
            let changed = |idle: &[Probe; 2]| idle.iter().any(|one| unsafe { one.has_changed() });
            let idle = callee.idle().expect("nothing was asked");
            assert!(!changed(&idle));
            let number = caller.try_call(question).unwrap();
            assert!(changed(&idle) && callee.idle().is_none());
            let waiting = caller.idle(number).expect("nothing was answered");
            let (taken, asked) = callee.try_next().unwrap();
            // SAFETY: the caller is alive.
            assert!(!unsafe { waiting.has_changed() });
            callee.answer(taken, asked + 1);
            // SAFETY: as above.
            assert!(unsafe { waiting.has_changed() } && caller.idle(number).is_none());
            if batch == 1 {
                assert_eq!(caller.try_take(number), Some(question + 1));
            }
        }
        for number in 0..u64::MAX {
            if caller.in_flight() == 0 {
                break;
            }
            let _answer = caller.try_take(number);
        }
    }
}
