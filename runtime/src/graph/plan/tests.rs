//! The plan beside a slow one that follows the definitions word for word, pair by pair.

use super::{After, Item, NONE, Plan, arrange};
use crate::graph::rendezvous::Pairs;
use proptest::prelude::*;

const SCHEDULERS: usize = 3;

/// A node of a graph that is made up.
#[derive(Clone, Debug)]
struct Made {
    scheduler: usize,
    actor: Option<usize>,
    reads: Vec<usize>,
}

fn items(made: &[Made]) -> Vec<Item<'_>> {
    made.iter()
        .map(|made| Item {
            scheduler: made.scheduler,
            actor: made.actor,
            reads: &made.reads,
        })
        .collect()
}

/// Levels, segments, readers and orders as their definitions say.
fn by_definition(made: &[Made]) -> Plan {
    let count = made.len();
    let is_step = |at: usize| made[at].scheduler != NONE;
    let share_actor =
        |a: usize, b: usize| made[a].actor.is_some() && made[a].actor == made[b].actor;
    let mut level = vec![0; count];
    for at in (0..count).filter(|at| is_step(*at)) {
        let hops = made[at]
            .reads
            .iter()
            .map(|input| level[*input] + usize::from(made[*input].scheduler != made[at].scheduler));
        let turns = (0..at).filter(|earlier| share_actor(*earlier, at));
        level[at] = hops
            .chain(turns.map(|earlier| level[earlier]))
            .fold(1, usize::max);
    }
    let same = |a: usize, b: usize| made[a].scheduler == made[b].scheduler && level[a] == level[b];
    let sources = |at: usize| {
        let mut from = made[at].reads.clone();
        from.retain(|input| !same(*input, at));
        from.sort_unstable();
        from.dedup();
        from
    };
    // Sets by name, each named by its first node.
    let mut set: Vec<usize> = (0..count).collect();
    for at in (0..count).filter(|at| is_step(*at)) {
        for earlier in (0..at).filter(|earlier| is_step(*earlier) && same(*earlier, at)) {
            let is_joined = made[at].reads.contains(&earlier)
                || share_actor(earlier, at)
                || (!sources(at).is_empty() && sources(earlier) == sources(at));
            if is_joined {
                let (from, to) = (set[earlier].max(set[at]), set[earlier].min(set[at]));
                set.iter_mut()
                    .filter(|name| **name == from)
                    .for_each(|name| *name = to);
            }
        }
    }
    let mut names: Vec<usize> = (0..count)
        .filter(|at| is_step(*at))
        .map(|at| set[at])
        .collect();
    names.sort_unstable();
    names.dedup();
    let segment: Vec<usize> = (0..count)
        .map(|at| {
            names
                .iter()
                .position(|name| is_step(at) && *name == set[at])
        })
        .map(|place| place.unwrap_or(NONE))
        .collect();
    let of = |wanted: usize| (0..count).filter(|at| segment[*at] == wanted).collect();
    let members = (0..names.len()).map(of).collect();
    let readers = (0..count).map(|value| {
        let mut by = Vec::new();
        for at in (0..count).filter(|at| made[*at].reads.contains(&value)) {
            if segment[at] != segment[value] && !by.contains(&segment[at]) {
                by.push(segment[at]);
            }
        }
        by
    });
    let readers = readers.collect();
    let mut after: Vec<Vec<After>> = vec![Vec::new(); names.len()];
    for (first, later) in (0..count).flat_map(|at| (at + 1..count).map(move |later| (at, later))) {
        let (before, behind) = (segment[first], segment[later]);
        if share_actor(first, later) && before != behind {
            after[behind].push(After {
                segment: before,
                ahead: 1,
            });
            after[before].push(After {
                segment: behind,
                ahead: 0,
            });
        }
    }
    Plan {
        scheduler: made.iter().map(|made| made.scheduler).collect(),
        segment,
        members,
        after,
        readers,
    }
}

/// How many runs ahead each segment has to be of each, by all that `after` says and what follows from
/// it: a segment that is through with `n` runs began run `n - 1`, and so on.
fn implied(after: &[Vec<After>]) -> Vec<Vec<Option<i64>>> {
    let count = after.len();
    let mut ahead = vec![vec![None; count]; count];
    for (waits, orders) in after.iter().enumerate() {
        for order in orders {
            let known: &mut Option<i64> = &mut ahead[waits][order.segment];
            *known = (*known).max(Some(order.ahead as i64));
        }
    }
    for by in 0..count {
        for waits in 0..count {
            for other in 0..count {
                if let (Some(a), Some(b)) = (ahead[waits][by], ahead[by][other]) {
                    ahead[waits][other] = ahead[waits][other].max(Some(a + b - 1));
                }
            }
        }
    }
    ahead
}

/// Inputs first, then steps of actors and of none; each actor has one scheduler.
fn graphs() -> impl Strategy<Value = Vec<Made>> {
    let step = (
        0..SCHEDULERS,
        0..8_usize,
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    );
    (1..3_usize, prop::collection::vec(step, 1..28)).prop_map(|(inputs, steps)| {
        let input = Made {
            scheduler: NONE,
            actor: None,
            reads: Vec::new(),
        };
        let mut made = vec![input; inputs];
        for (scheduler, actor, reads) in steps {
            // Near ones more often, so that there are long ways as well as wide ones.
            let back = |read: prop::sample::Index| {
                let far = read.index(made.len());
                if far.is_multiple_of(2) {
                    far
                } else {
                    made.len() - 1 - far % made.len().min(3)
                }
            };
            let reads = reads.into_iter().map(back).collect();
            let actor = (actor < 5).then_some(actor);
            let scheduler = actor.map_or(scheduler, |actor| actor % SCHEDULERS);
            made.push(Made {
                scheduler,
                actor,
                reads,
            });
        }
        made
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 2_000 }))]

    #[test]
    fn the_plan_is_what_its_definitions_say(made in graphs()) {
        let (found, expected) = (arrange(&items(&made), &Pairs::default()), by_definition(&made));
        prop_assert_eq!(&found.scheduler, &expected.scheduler);
        prop_assert_eq!(&found.segment, &expected.segment);
        prop_assert_eq!(&found.members, &expected.members);
        prop_assert_eq!(&found.readers, &expected.readers);
        prop_assert_eq!(implied(&found.after), implied(&expected.after));
    }

    #[test]
    fn an_actor_adds_as_many_orders_as_it_has_segments(made in graphs()) {
        let found = arrange(&items(&made), &Pairs::default());
        let mut pairs: Vec<(usize, usize)> = made
            .iter()
            .zip(&found.segment)
            .filter_map(|(made, segment)| Some((made.actor?, *segment)))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        let orders: usize = found.after.iter().map(Vec::len).sum();
        prop_assert!(orders <= pairs.len(), "{orders} orders of {} segments of actors", pairs.len());
    }
}

#[test]
fn the_first_segment_of_an_actor_waits_for_the_last_and_each_for_the_one_before() {
    let step = |scheduler, actor, read| Made {
        scheduler,
        actor: Some(actor),
        reads: vec![read],
    };
    let input = Made {
        scheduler: NONE,
        actor: None,
        reads: Vec::new(),
    };
    // a, b, a, b, a in a row, on two schedulers.
    let made = [
        input,
        step(0, 0, 0),
        step(1, 1, 1),
        step(0, 0, 2),
        step(1, 1, 3),
        step(0, 0, 4),
    ];
    let found = arrange(&items(&made), &Pairs::default());
    assert_eq!(found.members, [[1], [2], [3], [4], [5]]);
    let orders = |at: usize| -> Vec<(usize, u64)> {
        found.after[at]
            .iter()
            .map(|after| (after.segment, after.ahead))
            .collect()
    };
    assert_eq!(orders(0), [(4, 0)]);
    assert_eq!(orders(2), [(0, 1)]);
    assert_eq!(orders(4), [(2, 1)]);
    assert_eq!((orders(1), orders(3)), (vec![(3, 0)], vec![(1, 1)]));
}
