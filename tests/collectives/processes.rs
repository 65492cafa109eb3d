//! Members in several processes.

use crate::ranks::{
    LONG, Rank, SHORT, all, assert_usable, group, missing, processes, refused, row,
};
use maser::collective::{self, CollectiveError, Member, ReduceOp};
use maser::{Actor, Isolation};
use maser_tests::{quiet, with_runtime};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn members_in_any_mix_of_threads_and_processes_come_to_the_same() {
    with_runtime(quiet(2), |_| {
        for (count, here) in [(2, 0), (2, 1), (3, 2), (4, 2)] {
            let actors = processes(count, here);
            let _group = group(&actors).unwrap();
            assert_usable(&actors);
            for size in [0, 1, 1023, 100_003_usize] {
                let sums = actors.iter().enumerate().map(|(rank, actor)| {
                    let part = row((0..size).map(|at| (at * (rank + 1)) as f64));
                    actor.allreduce().remote(part, ReduceOp::Sum)
                });
                let factor = count * (count + 1) / 2;
                let expected = row((0..size).map(|at| (at * factor) as f64));
                for sum in all(sums.collect()).unwrap() {
                    assert_eq!(sum, expected, "{count} ranks, {here} here, {size} elements");
                }
            }
        }
    });
}

#[test]
fn every_operation_works_between_processes() {
    with_runtime(quiet(2), |_| {
        let actors = processes(3, 1);
        let _group = group(&actors).unwrap();
        for len in [3, 30_000_usize] {
            let part = row((0..len).map(|at| at as i32));
            let gathered = actors
                .iter()
                .map(|actor| actor.allgather().remote(part.clone()));
            let whole = row((0..3 * len).map(|at| (at % len) as i32));
            for one in all(gathered.collect()).unwrap() {
                assert_eq!(one, whole);
            }
            let shares = actors
                .iter()
                .map(|actor| actor.reduce_scatter().remote(part.clone(), ReduceOp::Max));
            for (rank, share) in all(shares.collect()).unwrap().into_iter().enumerate() {
                assert_eq!(
                    share,
                    part.slice(0, rank * len / 3..(rank + 1) * len / 3, 1)
                        .unwrap()
                );
            }
            for root in 0..3 {
                let copies = actors.iter().enumerate().map(|(rank, actor)| {
                    let tensor = (rank == root).then(|| part.clone());
                    actor.broadcast().remote(root, tensor)
                });
                for copy in all(copies.collect()).unwrap() {
                    assert_eq!(copy, part);
                }
            }
            let waits = actors.iter().map(|actor| actor.barrier().remote());
            all(waits.collect()).unwrap();
        }
    });
}

#[test]
fn a_large_result_lies_in_one_place_for_all_processes() {
    with_runtime(quiet(2), |_| {
        let actors = processes(3, 1);
        let _group = group(&actors).unwrap();
        let sums = actors.iter().map(|actor| actor.shared_sum().remote(10_000));
        let sums = all(sums.collect()).unwrap();
        assert_eq!(sums[0], (30_000, true, false), "made here");
        assert_eq!(
            sums[1..],
            [(30_000, true, true); 2],
            "read where it was made"
        );
    });
}

#[test]
fn nothing_is_left_in_any_store_after_operations() {
    with_runtime(quiet(2), |_| {
        let actors = processes(3, 1);
        let made = group(&actors).unwrap();
        for _ in 0..3 {
            let sums = actors.iter().map(|actor| actor.shared_sum().remote(10_000));
            all(sums.collect()).unwrap();
        }
        made.destroy();
        for actor in &actors {
            while actor.objects().remote().get().unwrap() != 0 {}
        }
        while maser::store_usage().unwrap().objects != 0 {}
    });
}

#[test]
fn messages_between_processes_come_in_order_however_far_the_sender_is_ahead() {
    with_runtime(quiet(2), |_| {
        let actors = processes(3, 1);
        let _group = group(&actors).unwrap();
        for (from, to) in [(0, 1), (1, 0), (1, 2)] {
            let sent: Vec<_> = (0..40_u32)
                .map(|number| actors[from].send().remote(row([number]), to))
                .collect();
            sent[15].get().unwrap();
            for number in 0..40_u32 {
                assert_eq!(actors[to].recv().remote(from).get().unwrap(), row([number]));
            }
            for one in sent {
                one.get().unwrap();
            }
        }
        assert_usable(&actors);
    });
}

#[test]
fn a_mismatch_between_processes_is_told_to_all_and_the_group_goes_on() {
    with_runtime(quiet(2), |_| {
        let actors = processes(3, 1);
        let _group = group(&actors).unwrap();
        let parts = [row([1_u8]), row([1_u8]), row([1_u8, 2])];
        let sums = actors.iter().zip(parts);
        let sums: Vec<_> = sums
            .map(|(actor, part)| actor.allreduce().remote(part, ReduceOp::Sum))
            .collect();
        for sum in sums {
            let error = refused(sum.get());
            let CollectiveError::Mismatch {
                one_gave,
                other_gave,
                ..
            } = &error
            else {
                panic!("{error:?}");
            };
            assert_eq!(one_gave, "allreduce (sum) of uint8 [1]");
            assert_eq!(other_gave, "allreduce (sum) of uint8 [2]");
        }
        assert_usable(&actors);
    });
}

#[test]
fn a_limit_in_another_process_names_who_is_missing_and_takes_the_call_back() {
    with_runtime(quiet(2), |_| {
        for late in [0, 1] {
            let actors = processes(2, 1);
            let _group = group(&actors).unwrap();
            assert_usable(&actors);
            let early = 1 - late;
            actors[early].limit().remote(SHORT).get().unwrap();
            for _ in 0..3 {
                let sum = actors[early].allreduce().remote(row([1_u8]), ReduceOp::Sum);
                let error = refused(sum.get());
                let CollectiveError::Timeout {
                    number,
                    missing,
                    waited,
                    ..
                } = &error
                else {
                    panic!("{error:?}");
                };
                assert_eq!((*number, *waited), (3, SHORT));
                assert_eq!(missing.len(), 1);
                assert_eq!(missing[0].who.rank, late);
            }
            actors[early].limit().remote(LONG).get().unwrap();
            assert_usable(&actors);
        }
    });
}

#[test]
fn a_cancelled_call_in_another_process_is_taken_back() {
    with_runtime(quiet(2), |_| {
        let actors = processes(3, 1);
        let _group = group(&actors).unwrap();
        let waiting = actors[1].allreduce().remote(row([100_u8]), ReduceOp::Sum);
        actors[0].limit().remote(SHORT).get().unwrap();
        while missing(&actors[0]) != [2] {}
        assert!(waiting.cancel());
        assert!(waiting.get().is_err());
        while missing(&actors[0]) != [1, 2] {}
        actors[0].limit().remote(LONG).get().unwrap();
        assert_usable(&actors);
    });
}

#[test]
fn the_death_of_a_process_ends_the_waits_of_all_others_and_names_the_dead() {
    with_runtime(quiet(2), |_| {
        let mut actors = processes(3, 1);
        let victim = Rank::options()
            .isolation(Isolation::Process)
            .name("victim")
            .remote();
        actors.push(victim.clone());
        let made = group(&actors).unwrap();
        assert_usable(&actors);
        let waits: Vec<_> = actors[..3]
            .iter()
            .map(|actor| actor.barrier().remote())
            .collect();
        assert!(victim.abort().remote().get().is_err());
        for wait in waits {
            let error = refused(wait.get());
            let CollectiveError::MemberDied { who, reason, .. } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(who.rank, 3);
            assert!(who.actor.contains("victim"), "{who}");
            assert!(
                reason.contains("signal") || reason.contains("SIGABRT"),
                "{reason}"
            );
        }
        drop(made);
        let _again = group(&actors[..3]).unwrap();
        assert_usable(&actors[..3]);
    });
}

#[test]
fn a_group_that_is_destroyed_ends_waits_in_other_processes() {
    with_runtime(quiet(2), |_| {
        let actors = processes(2, 0);
        let made = group(&actors).unwrap();
        assert_usable(&actors);
        let waiting = actors[0].barrier().remote();
        made.destroy();
        for outcome in [waiting.get(), actors[1].barrier().remote().get()] {
            let error = refused(outcome);
            assert!(matches!(error, CollectiveError::Closed { .. }), "{error:?}");
        }
    });
}

/// Makes a group of others, in a process of its own.
struct Maker(Option<collective::Group>);

#[maser::actor]
impl Maker {
    fn new() -> Self {
        Maker(None)
    }
    fn make(&mut self, actors: Vec<Actor<Rank>>) -> maser::Result<Vec<Member>> {
        let group = collective::create_group(&actors, "gloo")?;
        let members = group.members();
        self.0 = Some(group);
        Ok(members)
    }
    fn pid(&self) -> i32 {
        std::process::id().cast_signed()
    }
}

#[test]
fn a_worker_makes_a_group_of_actors_elsewhere() {
    with_runtime(quiet(2), |_| {
        let actors = processes(3, 1);
        let maker = Maker::options().isolation(Isolation::Process).remote();
        let members = maker.make().remote(actors.clone()).get().unwrap();
        for (actor, member) in actors.iter().zip(members) {
            actor.join().remote(member).get().unwrap();
        }
        assert_usable(&actors);
        let sums = actors.iter().map(|actor| actor.shared_sum().remote(10_000));
        for sum in all(sums.collect()).unwrap() {
            assert_eq!(sum.0, 30_000);
        }
        let waits: Vec<_> = actors[..2]
            .iter()
            .map(|actor| actor.barrier().remote())
            .collect();
        maser::kill(&maker);
        for wait in waits {
            let error = refused(wait.get());
            assert!(matches!(error, CollectiveError::Closed { .. }), "{error:?}");
        }
    });
}

#[test]
fn a_member_that_comes_back_ended_its_group_and_can_be_in_the_next_one() {
    with_runtime(quiet(2), |_| {
        let phoenix = Rank::options()
            .isolation(Isolation::Process)
            .max_restarts(-1)
            .max_task_retries(-1)
            .remote();
        let actors = [Rank::remote(), phoenix.clone()];
        let made = group(&actors).unwrap();
        assert_usable(&actors);
        let waiting = actors[0].barrier().remote();
        maser::kill_and_restart(&phoenix);
        let error = refused(waiting.get());
        let CollectiveError::MemberDied { who, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(who.rank == 1 && who.actor.contains("Rank#"), "{who}");
        drop(made);
        assert!(phoenix.alive().remote().get().unwrap());
        let _again = group(&actors).unwrap();
        assert_usable(&actors);
    });
}

#[test]
fn a_call_ends_with_its_limit_though_the_process_of_the_group_is_stopped() {
    with_runtime(quiet(2), |_| {
        let maker = Maker::options().isolation(Isolation::Process).remote();
        let actors = processes(2, 2);
        let members = maker.make().remote(actors.clone()).get().unwrap();
        for (actor, member) in actors.iter().zip(members) {
            actor.join().remote(member).get().unwrap();
        }
        assert_usable(&actors);
        let pid = Pid::from_raw(maker.pid().remote().get().unwrap()).unwrap();
        actors[0].limit().remote(SHORT).get().unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        let late = actors[0].allreduce().remote(row([1_u8]), ReduceOp::Sum);
        assert!(late.get().unwrap_err().is_timeout());
        kill_process(pid, Signal::CONT).unwrap();
        // It was taken back when the process went on.
        actors[0].limit().remote(LONG).get().unwrap();
        assert_usable(&actors);
    });
}
