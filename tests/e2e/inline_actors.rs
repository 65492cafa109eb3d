//! Inline mode: methods, constructors and steps of graphs, whose values go through bytes.

use maser::prelude::*;
use maser_tests::{both_ways, quiet};

use crate::unportable::{Small, Store, assert_found, inline, small, times};

#[test]
fn methods_are_found_out_like_tasks() {
    both_ways(inline(), |_| {
        let store = Store::remote(Small(1));
        assert_eq!(store.set().remote(Small(2)).get()?, 1);
        assert_found(
            store.set().remote(Small(12)).get(),
            "Store::set",
            "argument `to`",
        );
        assert_eq!(
            store.add().remote(1).get()?,
            Small(3),
            "the state is as it was"
        );
        assert_eq!(store.later().remote(Small(1)).get()?, Small(4));
        assert_found(
            store.later().remote(Small(9)).get(),
            "Store::later",
            "the result",
        );
        assert_found(
            store.replace().remote(Small(70)).get(),
            "Store::replace",
            "argument `n`",
        );
        assert_eq!(store.replace().remote(Small(4)).get()?, Small(3));
        assert_found(store.add().remote(20).get(), "Store::add", "the result");
        Ok(())
    });
}

#[test]
fn a_constructors_argument_that_does_not_survive_is_why_the_actor_died() {
    both_ways(inline(), |_| {
        let store = Store::remote(Small(99));
        let Err(Error::ActorDied { reason, .. }) = store.add().remote(1).get() else {
            panic!("it was never made");
        };
        assert!(reason.contains("argument `first` of Store"), "{reason}");
        Ok(())
    });
}

#[test]
fn values_of_graphs_go_through_bytes_compiled_or_not() {
    both_ways(inline(), |_| {
        let store = Store::remote(Small(0));
        let graph = || {
            Graph::new(|(x, y): (Node<u64>, Node<Small>)| {
                let product = times::bind(x, 2);
                let named = times::options().name("named").bind(x, 3);
                let sum = store.add().bind(x);
                (
                    small::bind(product),
                    store.set().bind(y),
                    store.later().bind(named),
                    store.replace().bind(sum),
                )
            })
        };
        let check = |outcomes: [maser::Result<u64>; 4], wrong: [Option<(&str, &str)>; 4]| {
            for (outcome, wrong) in outcomes.into_iter().zip(wrong) {
                match wrong {
                    None => assert!(outcome.is_ok(), "{outcome:?}"),
                    Some((function, value)) => assert_found(outcome, function, value),
                }
            }
        };
        for (x, y, wrong) in [
            (1, 1, [None; 4]),
            (
                9,
                1,
                [
                    Some(("times", "the result")),
                    None,
                    Some(("times", "the result")),
                    Some(("Store::add", "the result")),
                ],
            ),
            (
                0,
                50,
                [None, Some(("Store::set", "argument `to`")), None, None],
            ),
        ] {
            store.set().remote(Small(1)).get()?;
            let (a, b, c, d) = graph().execute((x, Small(y)))?;
            let numbers = |outcome: maser::Result<Small>| outcome.map(|small| small.0);
            check(
                [
                    numbers(a.get()),
                    b.get(),
                    numbers(c.get()),
                    numbers(d.get()),
                ],
                wrong,
            );
            store.set().remote(Small(1)).get()?;
            let compiled = graph().compile()?;
            let (a, b, c, d) = compiled.execute((x, Small(y)))?;
            check(
                [
                    numbers(a.get()),
                    b.get(),
                    numbers(c.get()),
                    numbers(d.get()),
                ],
                wrong,
            );
        }
        Ok(())
    });
}

#[test]
fn in_the_other_modes_graphs_encode_nothing() {
    both_ways(quiet(2), |_| {
        let store = Store::remote(Small(50));
        let graph = Graph::new(|x: Node<u64>| {
            let large = times::options().name("large").bind(x, 100);
            store.later().bind(large)
        });
        assert_eq!(graph.execute(1)?.get()?, Small(150));
        assert_eq!(graph.compile()?.execute(1)?.get()?, Small(150));
        Ok(())
    });
}
