//! A group without threads and without a runtime.

use super::core::{GroupCore, Held};
use super::operation::Contribution;
use super::ticket::{MESSAGES_UNDER_WAY, Room, Ticket};
use super::{CollectiveError, Operation, ReduceOp};
use crate::clock::ManualClock;
use crate::config::{Config, Mode};
use crate::error::Error;
use crate::executor::TURN;
use crate::object::tensor::Tensor;
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use proptest::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const SUM: Operation = Operation::Allreduce(ReduceOp::Sum);

fn core_at(clock: &Arc<ManualClock>, ranks: usize) -> Arc<GroupCore> {
    let held = |rank: usize| Held {
        name: format!("A#{rank}"),
        death: Box::new(|| None),
    };
    let members = (0..ranks).map(held).collect();
    let core = GroupCore::new(1, "group#1".into(), members, clock.clone());
    Arc::new(core)
}

fn core(ranks: usize) -> Arc<GroupCore> {
    core_at(&Arc::default(), ranks)
}

fn one(number: u64) -> Tensor {
    Tensor::from_vec(vec![number], &[1]).unwrap()
}

fn give(core: &Arc<GroupCore>, rank: usize, number: u64) -> Ticket {
    let part = Contribution::Part(SUM, Some(one(number).into()));
    core.contribute(rank, SUM, part).unwrap()
}

fn sum(ticket: &Ticket) -> Option<u64> {
    let tensor = ticket.try_outcome()?.unwrap().unwrap().into_one().unwrap();
    Some(*tensor.view::<u64>().unwrap().get(&[0]).unwrap())
}

#[test]
fn nothing_comes_of_an_operation_before_all_have_come() {
    let core = core(3);
    let first = give(&core, 0, 1);
    let second = give(&core, 2, 10);
    assert_eq!((sum(&first), sum(&second)), (None, None));
    let last = give(&core, 1, 100);
    for ticket in [&first, &second, &last, &first] {
        assert_eq!(sum(ticket), Some(111), "GP-4");
        assert_eq!(ticket.number(), 0);
    }
}

#[test]
fn a_rank_with_nothing_to_give_fails_that_operation_alone() {
    let core = core(2);
    let early = [give(&core, 0, 1), give(&core, 0, 2)];
    let failed = Contribution::Failed("no input".into());
    let failed = core.contribute(1, SUM, failed).unwrap();
    for ticket in [&early[0], &failed] {
        let error = ticket.try_outcome().unwrap().unwrap_err();
        let CollectiveError::MemberFailed {
            number,
            who,
            reason,
            ..
        } = &*error
        else {
            panic!("{error:?}");
        };
        assert_eq!((*number, who.rank, &**reason), (0, 1, "no input"));
    }
    assert_eq!(sum(&early[1]), None, "GP-1");
    drop(give(&core, 1, 20));
    assert_eq!(sum(&early[1]), Some(22), "GP-1");
}

#[test]
fn only_the_last_part_of_a_rank_is_taken_back_and_only_while_somebody_is_missing() {
    let core = core(2);
    let (first, second) = (give(&core, 0, 1), give(&core, 0, 2));
    assert!(!first.take_back(), "GP-3: a later one is under way");
    assert!(second.take_back());
    assert!(!second.take_back(), "GP-3: it was");
    assert!(first.take_back(), "GP-3: the last one again");
    let again = give(&core, 0, 5);
    assert_eq!(again.number(), 0);
    let other = give(&core, 1, 6);
    assert_eq!((sum(&again), sum(&other)), (Some(11), Some(11)));
    assert!(!again.take_back() && !other.take_back(), "GP-3: it is done");
    assert_eq!(give(&core, 1, 0).number(), 1, "GP-1");
}

#[test]
fn a_call_that_was_made_again_is_not_taken_back_by_the_first() {
    let core = core(2);
    let first = give(&core, 0, 1);
    assert!(first.take_back());
    let again = give(&core, 0, 2);
    assert!(!first.take_back(), "GP-3: it is another call's");
    drop(give(&core, 1, 3));
    assert_eq!(sum(&again), Some(5));
}

fn send(core: &Arc<GroupCore>, number: u64) -> Ticket {
    let message = Operation::Message { from: 0, to: 1 };
    let part = Contribution::Part(message, Some(one(number).into()));
    core.contribute(0, message, part).unwrap()
}

#[test]
fn a_part_before_the_last_of_its_rank_stays_and_its_call_is_told_that_it_is_late() {
    let core = core(2);
    let (first, second) = (give(&core, 0, 1), give(&core, 0, 2));
    let late = |ticket: &Ticket| core.take_back_as(0, SUM, ticket.token, Duration::ZERO);
    for ticket in [&first, &second] {
        let error = late(ticket);
        let number = ticket.number();
        assert!(
            matches!(error, Some(CollectiveError::Timeout { number: of, .. }) if of == number),
            "{error:?}"
        );
    }
    drop(give(&core, 1, 10));
    assert_eq!(sum(&first), Some(11), "it stayed");
    assert!(late(&first).is_none(), "everybody has come");
}

#[test]
fn a_wait_ends_with_its_limit_though_its_rank_has_begun_another_operation() {
    let _turn = TURN.lock().unwrap();
    let _maser = Config::new().num_cpus(1).mode(Mode::Silent).init().unwrap();
    let core = core(2);
    let (first, second) = (give(&core, 0, 1), give(&core, 0, 2));
    let limit = Some(Duration::from_millis(1));
    assert!(first.wait_or_take_back(limit).unwrap_err().is_timeout());
    let sent: Vec<Ticket> = (0..19).map(|number| send(&core, number)).collect();
    assert!(sent[16].wait_for_room(limit).unwrap_err().is_timeout());
    drop(second);
}

#[test]
fn a_message_that_waits_for_room_goes_on_when_it_is_taken_back() {
    let core = core(2);
    let sent: Vec<Ticket> = (0..18).map(|number| send(&core, number)).collect();
    let last = &sent[17];
    let flag: Arc<Flag> = Arc::default();
    let waker = Waker::from(flag.clone());
    let oldest = core.behind(last.lane, 0, MESSAGES_UNDER_WAY).unwrap();
    let mut room = Room {
        oldest,
        ticket: last,
    };
    let mut poll = || Pin::new(&mut room).poll(&mut Context::from_waker(&waker));
    assert!(poll().is_pending());
    assert!(last.take_back());
    assert!(flag.0.load(Ordering::Acquire));
    assert!(poll().is_ready());
}

#[test]
fn who_is_missing_and_since_when_is_told_by_the_clock() {
    let clock = Arc::new(ManualClock::new(5));
    let core = core_at(&clock, 3);
    for rank in 0..3 {
        drop(give(&core, rank, 1));
    }
    clock.advance(Duration::from_secs(2));
    drop(give(&core, 1, 1));
    clock.advance(Duration::from_secs(1));
    let late = give(&core, 0, 1);
    let waited = Duration::from_secs(7);
    let error = late.timed_out(waited);
    let text = error.to_string();
    let CollectiveError::Timeout {
        number, missing, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((number, missing.len(), missing[0].who.rank), (1, 1, 2));
    assert_eq!(missing[0].last_seen, Some(Duration::from_secs(3)));
    assert!(
        text.contains("rank 2 (A#2), whose last operation began 3s ago"),
        "{text}"
    );
}

#[test]
fn what_is_under_way_ends_with_the_group_and_nothing_new_begins() {
    let core = core(2);
    let waiting = give(&core, 0, 1);
    core.close("it was destroyed");
    core.close("again");
    let error = waiting.try_outcome().unwrap().unwrap_err();
    assert!(error.to_string().contains("it was destroyed"), "{error}");
    let part = Contribution::Part(SUM, Some(one(1).into()));
    assert!(core.contribute(1, SUM, part).is_err());
}

#[test]
fn a_member_that_is_dead_ends_the_group() {
    static DEAD: AtomicBool = AtomicBool::new(false);
    let death = || {
        DEAD.load(Ordering::Acquire).then(|| Error::ActorDied {
            actor: "B".into(),
            reason: "old age".into(),
        })
    };
    let held = |name: &str, death: fn() -> Option<Error>| Held {
        name: name.into(),
        death: Box::new(death),
    };
    let members = vec![held("A", || None), held("B", death)];
    let clock: Arc<ManualClock> = Arc::default();
    let core = Arc::new(GroupCore::new(1, "group#1".into(), members, clock));
    let waiting = give(&core, 0, 1);
    core.check_members();
    assert!(waiting.try_outcome().is_none());
    DEAD.store(true, Ordering::Release);
    core.check_members();
    let error = waiting.try_outcome().unwrap().unwrap_err();
    let CollectiveError::MemberDied { who, reason, .. } = &*error else {
        panic!("{error:?}");
    };
    assert_eq!((who.rank, &*who.actor, &**reason), (1, "B", "old age"));
}

/// Says whether it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

fn poll(ticket: &mut Ticket, flag: &Arc<Flag>) -> Poll<Option<bool>> {
    let waker = Waker::from(flag.clone());
    let polled = Pin::new(ticket).poll(&mut Context::from_waker(&waker));
    polled.map(|taken| taken.map(|taken| taken.is_ok()))
}

#[test]
fn a_ticket_that_is_awaited_is_woken_by_the_last_rank_and_when_it_is_taken_back() {
    let core = core(2);
    let flag: Arc<Flag> = Arc::default();
    let mut first = give(&core, 0, 1);
    assert_eq!(poll(&mut first, &flag), Poll::Pending);
    assert!(first.take_back());
    assert!(flag.0.swap(false, Ordering::AcqRel));
    assert_eq!(poll(&mut first, &flag), Poll::Ready(None));
    let mut second = give(&core, 0, 1);
    assert_eq!(poll(&mut second, &flag), Poll::Pending);
    drop(give(&core, 1, 1));
    assert!(flag.0.load(Ordering::Acquire));
    assert_eq!(poll(&mut second, &flag), Poll::Ready(Some(true)));
}

/// What a rank does next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Gives,
    TakesBack,
}

fn moves() -> impl Strategy<Value = Vec<(usize, Move)>> {
    let one = prop_oneof![3 => Just(Move::Gives), 1 => Just(Move::TakesBack)];
    proptest::collection::vec((0..3_usize, one), 0..200)
}

proptest! {
    /// GP-1 to GP-3: whatever the order, the `n`-th parts of all ranks meet.
    #[test]
    fn parts_of_one_number_meet_whatever_the_order(moves in moves()) {
        let core = core(3);
        let mut tickets: [Vec<Ticket>; 3] = Default::default();
        for (rank, next) in moves {
            match next {
                Move::Gives => {
                    let number = tickets[rank].len() as u64;
                    let ticket = give(&core, rank, number * 3 + rank as u64);
                    prop_assert_eq!(ticket.number(), number);
                    tickets[rank].push(ticket);
                }
                Move::TakesBack => {
                    let others = (0..3).filter(|other| *other != rank);
                    let full = others.map(|other| tickets[other].len()).min().unwrap();
                    if let Some(last) = tickets[rank].pop() {
                        let is_full = tickets[rank].len() < full;
                        prop_assert_eq!(last.take_back(), !is_full);
                        if is_full {
                            tickets[rank].push(last);
                        }
                    }
                }
            }
        }
        let full = tickets.iter().map(Vec::len).min().unwrap();
        for of_rank in &tickets {
            for (number, ticket) in (0..).zip(of_rank) {
                let expected = (number < full as u64).then_some(number * 9 + 3);
                prop_assert_eq!(sum(ticket), expected);
            }
        }
    }
}
