//! Who does not come: limits, cancelled calls, deaths, destroyed groups.

use crate::ranks::{LONG, Rank, SHORT, actors, all, assert_usable, group, missing, refused, row};
use maser::collective::{CollectiveError, ReduceOp};
use maser::{Actor, Error};
use maser_tests::{quiet, with_runtime};

#[test]
fn a_limit_names_who_has_not_come_and_since_when() {
    with_runtime(quiet(2), |_| {
        let actors = actors(4, 2);
        let _group = group(&actors).unwrap();
        actors[1].send().remote(row([1_u8]), 2_usize).get().unwrap();
        assert_usable(&actors[..]);
        actors[0].limit().remote(SHORT).get().unwrap();
        let other = actors[2].allreduce().remote(row([1_u8]), ReduceOp::Sum);
        let late = actors[0].allreduce().remote(row([1_u8]), ReduceOp::Sum);
        let late = late.get();
        assert!(late.as_ref().unwrap_err().is_timeout() || is_timeout(&late));
        let error = refused(late);
        let text = error.to_string();
        let CollectiveError::Timeout {
            number,
            waited,
            missing,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!((number, waited), (3, SHORT));
        // Rank 2 may be late as well, on such a machine.
        let ranks: Vec<usize> = missing.iter().map(|one| one.who.rank).collect();
        assert!(ranks == [1, 3] || ranks == [1, 2, 3], "{ranks:?}");
        assert!(
            missing.iter().all(|one| one.last_seen.is_some()),
            "{missing:?}"
        );
        assert!(
            text.contains("rank 3 (Rank#") && text.contains("allreduce (sum)"),
            "{text}"
        );
        actors[0].limit().remote(LONG).get().unwrap();
        // It was taken back: the call can be made again, and the numbers are the others'.
        let rest = [0, 1, 3]
            .map(|rank: usize| actors[rank].allreduce().remote(row([1_u8]), ReduceOp::Sum));
        for sum in rest.into_iter().chain([other]) {
            assert_eq!(sum.get().unwrap(), row([4_u8]));
        }
        assert_usable(&actors);
    });
}

fn is_timeout<T>(outcome: &maser::Result<T>) -> bool {
    let error = outcome.as_ref().err().unwrap();
    error.downcast_ref::<Error>().is_some_and(Error::is_timeout)
}

#[test]
fn a_member_that_never_called_is_named_as_such() {
    with_runtime(quiet(1), |_| {
        let actors = actors(2, 1);
        let _group = group(&actors).unwrap();
        actors[0].limit().remote(SHORT).get().unwrap();
        let error = refused(actors[0].barrier().remote().get());
        assert!(
            error
                .to_string()
                .contains("which has not begun any operation"),
            "{error}"
        );
    });
}

#[test]
fn a_cancelled_call_is_taken_back() {
    with_runtime(quiet(2), |_| {
        let actors = actors(4, 2);
        let _group = group(&actors).unwrap();
        let waiting = actors[0].allreduce().remote(row([100_u8]), ReduceOp::Sum);
        let other = actors[1].allreduce().remote(row([1_u8]), ReduceOp::Sum);
        actors[2].limit().remote(SHORT).get().unwrap();
        // Until both are under way.
        while missing(&actors[2]) != [3] {}
        assert!(waiting.cancel());
        assert!(waiting.get().is_err());
        // Its ref is done before its method has ended.
        while missing(&actors[2]) != [0, 3] {}
        actors[2].limit().remote(LONG).get().unwrap();
        let rest = [0, 2, 3]
            .map(|rank: usize| actors[rank].allreduce().remote(row([1_u8]), ReduceOp::Sum));
        for sum in rest.into_iter().chain([other]) {
            assert_eq!(sum.get().unwrap(), row([4_u8]));
        }
        assert_usable(&actors);
    });
}

#[track_caller]
fn assert_died(error: &CollectiveError, rank: usize, name: &str) {
    let CollectiveError::MemberDied { who, reason, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(who.rank, rank);
    assert!(who.actor.contains(name), "{who}");
    assert!(reason.contains("kill"), "{reason}");
    assert!(error.to_string().contains(name), "{error}");
}

#[test]
fn a_death_in_the_middle_ends_the_waits_of_all_others_and_names_the_dead() {
    with_runtime(quiet(2), |_| {
        for dead_has_come in [false, true] {
            let mut actors = actors(3, 2);
            let victim = Rank::options().name("victim").remote();
            actors.push(victim.clone());
            let made = group(&actors).unwrap();
            assert_usable(&actors);
            let waits: Vec<_> = actors[..3]
                .iter()
                .skip(usize::from(dead_has_come))
                .map(|actor| actor.barrier().remote())
                .collect();
            let of_victim = dead_has_come.then(|| victim.barrier().remote());
            maser::kill(&victim);
            for wait in waits {
                assert_died(&refused(wait.get()), 3, "victim");
            }
            // Told of its own death, or ended by it.
            assert!(of_victim.is_none_or(|of_victim| of_victim.get().is_err()));
            // Later calls are told the same, and the living make another group.
            assert_died(&refused(actors[0].barrier().remote().get()), 3, "victim");
            drop(made);
            let living = &actors[..3];
            let _again = group(living).unwrap();
            assert_usable(living);
        }
    });
}

#[test]
fn a_death_ends_a_receiver_of_another_rank() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let _group = group(&actors).unwrap();
        let waiting = actors[0].recv().remote(1_usize);
        maser::kill(&actors[2]);
        assert_died(&refused(waiting.get()), 2, "Rank#");
    });
}

#[test]
fn a_destroyed_group_ends_what_is_under_way() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let made = group(&actors).unwrap();
        let waits: Vec<_> = actors[..2]
            .iter()
            .map(|actor| actor.barrier().remote())
            .collect();
        drop(made);
        for wait in waits {
            let error = refused(wait.get());
            assert!(matches!(error, CollectiveError::Closed { .. }), "{error:?}");
            assert!(error.to_string().contains("destroyed"), "{error}");
        }
        let error = refused(actors[2].barrier().remote().get());
        assert!(matches!(error, CollectiveError::Closed { .. }), "{error:?}");
    });
}

#[test]
fn a_group_keeps_its_members_alive_and_lets_go_of_them() {
    with_runtime(quiet(1), |_| {
        let name = "kept";
        let actor: Actor<Rank> = Rank::options().name(name).remote();
        let made = maser::collective::create_group(&[&actor], "gloo").unwrap();
        drop(actor);
        let again = maser::get_actor::<Rank>(name).unwrap();
        assert!(again.alive().remote().get().unwrap());
        drop(again);
        assert!(maser::get_actor::<Rank>(name).is_ok());
        drop(made);
        assert!(maser::get_actor::<Rank>(name).is_err());
    });
}

#[test]
fn an_actor_that_keeps_its_own_member_still_ends() {
    with_runtime(quiet(1), |_| {
        let made = {
            let actor = Rank::options().name("circle").remote();
            let made = group(std::slice::from_ref(&actor)).unwrap();
            assert_usable(std::slice::from_ref(&actor));
            made
        };
        made.destroy();
        assert!(maser::get_actor::<Rank>("circle").is_err());
    });
}

#[test]
fn a_shutdown_ends_those_who_wait() {
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let made = group(&actors).unwrap();
        let waits: Vec<_> = actors[..1]
            .iter()
            .map(|actor| actor.barrier().remote())
            .collect();
        assert!(!waits[0].is_ready());
        drop(made);
        assert!(all(waits).is_err());
    });
    // One that is still there when its runtime ends.
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let made = group(&actors).unwrap();
        let wait = actors[0].barrier().remote();
        std::mem::forget(made);
        drop(wait);
    });
}
