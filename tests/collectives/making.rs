//! How a group is made, and what is refused.

use crate::ranks::{Rank, actors, all, assert_usable, group};
use maser::collective::{self, Communicator, GroupOptions, Participant, Transport};
use maser::{Actor, Error, Mode};
use maser_tests::{quiet, with_runtime};

#[track_caller]
fn assert_refused(outcome: maser::Result<collective::Group>, parts: &[&str]) {
    let error = outcome.expect_err("it is refused");
    let text = error.to_string();
    assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[test]
fn members_have_the_ranks_of_their_places() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let group = group(&actors).unwrap();
        assert_eq!(group.world_size(), 3);
        assert_eq!(group.transport(), Transport::SharedMemory);
        let places = actors.iter().map(|actor| actor.place().remote()).collect();
        assert_eq!(all(places).unwrap(), [(0, 3), (1, 3), (2, 3)]);
        assert_eq!(Communicator::transport(&group.member(1)), "gloo");
    });
}

#[test]
fn gloo_and_shm_and_auto_are_host_memory_and_nccl_needs_what_is_not_there() {
    with_runtime(quiet(1), |_| {
        let actors = actors(1, 1);
        for name in ["gloo", "shm", "auto"] {
            let group = collective::create_group(&actors, name).unwrap();
            assert_eq!(group.transport(), Transport::SharedMemory);
        }
        for name in ["nccl", "accelerator"] {
            assert_refused(
                collective::create_group(&actors, name),
                &[name, "no GPU support", "\"gloo\""],
            );
        }
        assert_refused(
            collective::create_group(&actors, "carrier pigeon"),
            &["carrier pigeon", "\"auto\""],
        );
    });
}

#[test]
fn a_group_of_nobody_is_refused() {
    with_runtime(quiet(1), |_| {
        let nobody: [Actor<Rank>; 0] = [];
        assert_refused(
            collective::create_group(&nobody, "gloo"),
            &["no members", "at least one"],
        );
    });
}

#[test]
fn an_actor_that_is_named_twice_is_refused_with_both_places() {
    with_runtime(quiet(1), |_| {
        let a = Rank::options().name("twice").remote();
        let b = Rank::remote();
        assert_refused(
            collective::create_group(&[&a, &b, &a], "gloo"),
            &["twice", "rank 0", "rank 2", "once"],
        );
    });
}

#[test]
fn a_dead_actor_is_refused_by_name() {
    with_runtime(quiet(1), |_| {
        let (a, b) = (Rank::remote(), Rank::options().name("late").remote());
        maser::kill(&b);
        let error = collective::create_group(&[&a, &b], "gloo").unwrap_err();
        assert!(matches!(error, Error::ActorDied { .. }), "{error:?}");
        assert!(error.to_string().contains("late"), "{error}");
    });
}

#[test]
fn actors_that_run_one_at_a_time_are_refused_before_they_wait_for_each_other() {
    with_runtime(quiet(1).mode(Mode::Inline), |_| {
        let (a, b) = (Rank::remote(), Rank::remote());
        assert_refused(
            collective::create_group(&[&a, &b], "gloo"),
            &["2 actors in inline mode"],
        );
        let alone = std::slice::from_ref(&a);
        let _group = group(alone).unwrap();
        assert_usable(alone);
    });
}

/// Another class.
struct Other;

#[maser::actor]
impl Other {
    fn new() -> Self {
        Other
    }
    fn meet(&mut self, member: collective::Member) -> maser::Result<()> {
        member.barrier()
    }
}

#[test]
fn actors_of_different_classes_are_in_one_group() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (Rank::remote(), Other::remote());
        let members: [&dyn Participant; 2] = [&a, &b];
        let group = GroupOptions::new()
            .name("mixed")
            .transport("gloo")
            .create(&members)
            .unwrap();
        a.join().remote(group.member(0)).get().unwrap();
        let (one, two) = (a.barrier().remote(), b.meet().remote(group.member(1)));
        one.get().unwrap();
        two.get().unwrap();
        assert_eq!(format!("{group:?}"), "group \"mixed\" of 2 members");
    });
}

#[test]
fn an_actor_is_in_several_groups_at_once_and_in_another_after_the_first_is_gone() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let whole = group(&actors).unwrap();
        let pair = collective::create_group(&actors[..2], "gloo").unwrap();
        let first = pair.member(0).barrier_in_task();
        pair.member(1).barrier().unwrap();
        first.get().unwrap();
        assert_usable(&actors);
        whole.destroy();
        let again = group(&actors).unwrap();
        assert_usable(&actors);
        drop(again);
    });
}

/// A member outside of its actor.
trait InTask {
    fn barrier_in_task(self) -> maser::Ref<()>;
}

#[maser::task]
fn barrier(member: collective::Member) -> maser::Result<()> {
    member.barrier()
}

impl InTask for collective::Member {
    fn barrier_in_task(self) -> maser::Ref<()> {
        barrier::remote(self)
    }
}
