//! Waits that could never end are errors that show the way round.

use maser::{Actor, Error, Ref};
use maser_tests::{both_ways, quiet};

/// Passes a call on along a list of actors.
struct Link {
    passed: u64,
}

#[maser::actor(max_concurrency = 1)]
impl Link {
    fn new() -> Self {
        Link { passed: 0 }
    }
    fn last(&mut self) -> u64 {
        self.passed += 1;
        self.passed
    }
    fn look(&self) -> u64 {
        self.passed
    }
    /// Calls the first of `way` with the rest of it.
    fn pass(&mut self, way: Vec<Actor<Link>>) -> maser::Result<u64> {
        self.passed += 1;
        onward(way)
    }
    fn pass_reading(&self, way: Vec<Actor<Link>>) -> maser::Result<u64> {
        onward(way)
    }
    fn pass_by_task(&mut self, way: Vec<Actor<Link>>) -> maser::Result<u64> {
        let by_task = pass_on::remote(way);
        // A newer task, so that the other one does not run on this stack.
        let beside = nothing::remote();
        let passed = by_task.get()?;
        beside.get()?;
        Ok(passed)
    }
    fn pass_by_task_on_this_stack(&mut self, way: Vec<Actor<Link>>) -> maser::Result<u64> {
        pass_on::remote(way).get()
    }
    /// As `pass`, but waits for another call of the next one first.
    fn pass_and_get_many(&mut self, way: Vec<Actor<Link>>) -> maser::Result<u64> {
        let calls: Vec<Ref<u64>> = way.iter().map(|next| next.last().remote()).collect();
        Ok(maser::get(&calls)?.into_iter().sum())
    }
}

#[maser::task]
fn pass_on(way: Vec<Actor<Link>>) -> maser::Result<u64> {
    onward(way)
}

#[maser::task]
fn nothing() {}

fn onward(mut way: Vec<Actor<Link>>) -> maser::Result<u64> {
    let next = way.remove(0);
    if way.is_empty() {
        next.last().remote().get()
    } else {
        next.pass().remote(way).get()
    }
}

fn is_cycle(result: maser::Result<u64>, through: &[&str]) {
    let error = result.expect_err("nobody could go on");
    let Error::WaitCycle { path } = error.root() else {
        panic!("{error}")
    };
    for part in through {
        assert!(path.contains(part), "{part} is not in: {path}");
    }
    let ends: Vec<_> = path.split(" waits for ").collect();
    assert!(
        ends.len() > 1 && ends.first() == ends.last(),
        "it comes round: {path}"
    );
}

/// Every placement of two actors on the schedulers there are.
fn placed(schedulers: usize, test: impl Fn(Actor<Link>, Actor<Link>) -> maser::Result<()> + Sync) {
    both_ways(quiet(schedulers), |_| {
        for a in 0..schedulers {
            for b in 0..schedulers {
                let a = Link::options().scheduler(a).remote();
                let b = Link::options().scheduler(b).remote();
                test(a.clone(), b.clone())?;
                // The error is an error of a call: everybody lives on.
                assert!(a.last().remote().get()? > 0 && b.last().remote().get()? > 0);
            }
        }
        Ok(())
    });
}

#[test]
fn a_method_that_waits_for_its_own_actor_is_told() {
    for schedulers in [1, 2] {
        placed(schedulers, |a, _| {
            is_cycle(
                a.pass().remote(vec![a.clone()]).get(),
                &["Link::pass", "Link::last"],
            );
            is_cycle(
                a.pass_and_get_many().remote(vec![a.clone()]).get(),
                &["Link::last"],
            );
            Ok(())
        });
    }
}

#[test]
fn a_reading_method_that_waits_for_its_own_place_is_told() {
    for schedulers in [1, 2] {
        placed(schedulers, |a, _| {
            is_cycle(
                a.pass_reading().remote(vec![a.clone()]).get(),
                &["Link::pass_reading"],
            );
            Ok(())
        });
    }
}

#[test]
fn two_actors_that_wait_for_each_other_are_told() {
    for schedulers in [1, 2] {
        placed(schedulers, |a, b| {
            let round = vec![b.clone(), a.clone()];
            is_cycle(
                a.pass().remote(round.clone()).get(),
                &["Link::pass", "Link::last"],
            );
            is_cycle(
                a.pass_reading().remote(round).get(),
                &["Link::pass_reading"],
            );
            Ok(())
        });
    }
}

#[test]
fn a_way_through_many_actors_and_back_is_told() {
    for schedulers in [1, 2, 3] {
        both_ways(quiet(schedulers), |_| {
            let links: Vec<_> = (0..8).map(|_| Link::remote()).collect();
            let there: Vec<_> = links[1..].to_vec();
            assert_eq!(links[0].pass().remote(there.clone()).get()?, 1);
            let mut and_back = there;
            and_back.push(links[3].clone());
            is_cycle(
                links[0].pass().remote(and_back).get(),
                &["Link::pass", "Link::last"],
            );
            Ok(())
        });
    }
}

#[test]
fn a_way_that_comes_back_through_a_task_is_told() {
    for schedulers in [1, 2] {
        placed(schedulers, |a, b| {
            for round in [vec![a.clone()], vec![b.clone(), a.clone()]] {
                is_cycle(a.pass_by_task().remote(round.clone()).get(), &["pass_on"]);
                is_cycle(
                    a.pass_by_task_on_this_stack().remote(round).get(),
                    &["pass_on"],
                );
            }
            Ok(())
        });
    }
}

#[test]
fn ways_that_only_meet_are_no_cycles() {
    for schedulers in [1, 2, 3] {
        both_ways(quiet(schedulers), |_| {
            let links: Vec<_> = (0..4).map(|_| Link::remote()).collect();
            // All go through the same actors in one direction, at once, many times.
            let calls: Vec<_> = (0..200)
                .map(|at| links[at % 2].pass().remote(links[2..].to_vec()))
                .collect();
            for call in calls {
                call.get()?;
            }
            assert_eq!(links[3].look().remote().get()?, 200);
            Ok(())
        });
    }
}

#[test]
fn a_reading_method_may_call_its_own_actor_where_there_is_room() {
    struct Roomy;

    #[maser::actor(max_concurrency = 3)]
    impl Roomy {
        fn new() -> Self {
            Roomy
        }
        fn depth(&self, me: Actor<Roomy>, levels: u64) -> maser::Result<u64> {
            match levels {
                0 => Ok(0),
                _ => Ok(1 + me.depth().remote(me.clone(), levels - 1).get()?),
            }
        }
        async fn asynchronous(&self, me: Actor<Roomy>, levels: u64) -> maser::Result<u64> {
            match levels {
                0 => Ok(0),
                _ => Ok(1 + me.asynchronous().remote(me.clone(), levels - 1).await?),
            }
        }
    }
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let roomy = Roomy::remote();
            assert_eq!(roomy.depth().remote(roomy.clone(), 2).get()?, 2);
            assert_eq!(roomy.asynchronous().remote(roomy.clone(), 2).get()?, 2);
            // Three are inside and each waits for a fourth.
            is_cycle(
                roomy.depth().remote(roomy.clone(), 3).get(),
                &["Roomy::depth"],
            );
            Ok(())
        });
    }
}
