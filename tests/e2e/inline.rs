//! Inline mode: every call is done when it returns, and its values go through bytes, so that what
//! would not survive the way to another process is found here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser::prelude::*;
use maser_tests::{both_ways, quiet};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::unportable::{Small, Store, Uneven, assert_found, inline, small, times};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Partial {
    kept: u64,
    #[serde(skip)]
    lost: u64,
}

/// Formats without type information cannot tell which of them it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(u64),
    Text(String),
}

#[maser::task]
fn uneven(first: u64, second: Uneven) -> u64 {
    first + second.0
}

#[maser::task]
fn partial(value: Partial) -> Partial {
    Partial {
        kept: value.lost,
        lost: 5,
    }
}

#[maser::task]
fn either(value: Either) -> Either {
    value
}

#[test]
fn an_argument_that_does_not_survive_is_named_with_its_function() {
    both_ways(inline(), |_| {
        let outcome = uneven::remote(1, Uneven(2)).get();
        let message = outcome
            .as_ref()
            .expect_err("a byte is left over")
            .to_string();
        assert!(message.contains("argument `second` of uneven"), "{message}");
        assert!(message.contains("Uneven"), "{message}");
        assert!(message.contains("left over"), "{message}");
        assert_found(outcome, "uneven", "argument `second`");
        assert_found(small::remote(Small(10)).get(), "small", "argument `n`");
        assert_found(small::remote(Small(7)).get(), "small", "argument `n`");
        assert_found(
            either::remote(Either::Number(1)).get(),
            "either",
            "argument `value`",
        );
        // The next value is another matter.
        assert_eq!(small::remote(Small(3)).get()?, Small(3));
        Ok(())
    });
}

#[test]
fn a_result_that_does_not_survive_is_an_error_of_its_function() {
    both_ways(inline(), |_| {
        assert_eq!(times::remote(2, 3).get()?, Small(6));
        let large = times::remote(4, 5);
        assert!(large.is_ready());
        assert_found(large.get(), "times", "the result");
        // Whoever is fed with it has the error, with the way it took.
        let outcome = small::remote(&large).get();
        assert_found(outcome.clone(), "times", "the result");
        assert!(matches!(outcome, Err(Error::Task(_))));
        Ok(())
    });
}

#[test]
fn functions_get_and_give_what_arrives() {
    both_ways(inline(), |_| {
        let value = Partial { kept: 1, lost: 2 };
        let came_back = partial::remote(value.clone()).get()?;
        assert_eq!(came_back, Partial { kept: 0, lost: 0 });
        // The value behind a ref arrives in the same state, and the ref keeps its own.
        let put = maser::put(value.clone());
        assert_eq!(partial::remote(&put).get()?.kept, 0);
        assert_eq!(put.get()?, value);
        Ok(())
    });
}

#[test]
fn values_behind_refs_are_no_exception() {
    both_ways(inline(), |_| {
        let put = maser::put(Small(11));
        assert_found(small::remote(&put).get(), "small", "argument `n`");
        assert_found(
            uneven::remote(1, maser::put(Uneven(1))).get(),
            "uneven",
            "argument `second`",
        );
        assert_eq!(put.get()?, Small(11), "in its own place it is fine");
        Ok(())
    });
}

#[maser::task(num_returns = 2)]
fn parts(a: u64, b: u64) -> (Small, Small) {
    (Small(a), Small(b))
}

#[maser::task(stream)]
fn items(upto: u64) -> Vec<Small> {
    (0..upto).map(Small).collect()
}

#[test]
fn parts_and_items_go_through_bytes_one_by_one() {
    both_ways(inline(), |_| {
        let (a, b) = parts::remote(1, 2);
        assert_eq!((a.get()?, b.get()?), (Small(1), Small(2)));
        let (a, b) = parts::remote(1, 20);
        assert_found(a.get(), "parts", "result 1");
        assert_found(b.get(), "parts", "result 1");
        let store = Store::remote(Small(5));
        let (a, b) = store.both().remote(2);
        assert!(a.get().is_err(), "they come together");
        assert_found(b.get(), "Store::both", "result 1");

        let mut given: Vec<_> = items::remote(12).map(|item| item.get()).collect();
        assert_found(given.pop().expect("the last"), "items", "the result");
        let given: Vec<_> = given.into_iter().collect::<maser::Result<_>>()?;
        assert_eq!(
            given,
            (0..7).map(Small).collect::<Vec<_>>(),
            "up to the seven"
        );
        let given: Vec<_> = store.from().remote(5).map(|item| item.get()).collect();
        assert_eq!(given.len(), 3);
        assert_found(given[2].clone(), "Store::from", "the result");
        Ok(())
    });
}

#[derive(Serialize, Deserialize)]
struct Holds {
    inner: Ref<u64>,
    many: Vec<Ref<String>>,
    store: Actor<Store>,
}

#[maser::task]
fn open(holds: Holds, beside: Ref<u64>) -> maser::Result<(u64, Ref<u64>)> {
    let sum = holds.inner.get()? + beside.get()? + holds.many.len() as u64;
    let added = holds.store.add().remote(sum).get()?;
    Ok((added.0, beside))
}

#[test]
fn refs_and_handles_inside_values_stay_themselves() {
    both_ways(inline(), |_| {
        let beside = maser::put(3);
        let holds = Holds {
            inner: maser::put(1),
            many: vec![maser::put("a".into()), maser::put("b".into())],
            store: Store::remote(Small(0)),
        };
        let (added, back) = open::remote(holds, beside.clone()).get()?;
        assert_eq!((added, back.get()?), (6, 3));
        Ok(())
    });
}

#[maser::task(local)]
fn local(value: Arc<AtomicUsize>, small: Small) -> Arc<AtomicUsize> {
    value.store(small.0 as usize, Ordering::Relaxed);
    value
}

struct Local;

#[maser::actor(local)]
impl Local {
    fn new(_: Small) -> Self {
        Local
    }
    fn same(&mut self, value: Small) -> Small {
        value
    }
}

#[test]
fn local_functions_keep_their_values_as_they_are() {
    both_ways(inline(), |_| {
        let number = Arc::new(AtomicUsize::new(0));
        let same = local::remote(number.clone(), Small(100)).get()?;
        assert!(Arc::ptr_eq(&same, &number));
        assert_eq!(number.load(Ordering::Relaxed), 100);
        let actor = Local::remote(Small(7));
        assert_eq!(actor.same().remote(Small(77)).get()?, Small(77));
        Ok(())
    });
}

#[test]
fn the_options_of_a_call_change_nothing_about_it() {
    both_ways(inline(), |_| {
        for scheduler in [0, 1] {
            let fine = times::options().scheduler(scheduler).remote(1, 1);
            assert!(fine.is_ready(), "done at the call");
            assert_eq!(fine.get()?, Small(1));
            let large = times::options().scheduler(scheduler).remote(10, 10);
            assert_found(large.get(), "times", "the result");
        }
        let large = times::options().num_cpus(2).name("mine").remote(10, 10);
        assert!(large.is_ready());
        assert_found(large.get(), "times", "the result");
        let argument = uneven::options().num_cpus(0.5).remote(1, Uneven(1));
        assert_found(argument.get(), "uneven", "argument `second`");
        Ok(())
    });
}

#[maser::task]
fn nested(n: u64) -> maser::Result<Small> {
    let inner = times::remote(n, n);
    assert!(inner.is_ready());
    inner.get()
}

#[test]
fn calls_of_calls_go_through_bytes_too() {
    both_ways(inline(), |_| {
        assert_eq!(nested::remote(3).get()?, Small(9));
        assert_found(nested::remote(4).get(), "times", "the result");
        Ok(())
    });
}

#[derive(Clone, Debug)]
struct Angry;

impl Serialize for Angry {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("not me");
    }
}

impl<'de> Deserialize<'de> for Angry {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Angry)
    }
}

#[maser::task]
fn calm(_: Vec<Ref<u64>>, _: Angry) {}

#[test]
fn an_encoder_that_panics_is_a_panic_of_the_function() {
    both_ways(inline(), |_| {
        for _ in 0..2 {
            let Err(Error::Task(error)) = calm::remote(vec![maser::put(1)], Angry).get() else {
                panic!("it cannot be encoded");
            };
            assert_eq!(error.function(), "calm");
            assert!(
                matches!(error.cause(), maser::Cause::Panicked { message, .. } if message == "not me")
            );
        }
        assert_eq!(small::remote(Small(1)).get()?, Small(1));
        Ok(())
    });
}

#[test]
fn in_the_other_modes_nothing_is_encoded() {
    for mode in [Mode::Script, Mode::Silent] {
        both_ways(quiet(2).mode(mode), |_| {
            assert_eq!(uneven::remote(1, Uneven(2)).get()?, 3);
            assert_eq!(small::remote(Small(70)).get()?, Small(70));
            assert_eq!(times::remote(10, 10).get()?, Small(100));
            let (a, b) = parts::remote(10, 20);
            assert_eq!((a.get()?, b.get()?), (Small(10), Small(20)));
            assert_eq!(items::remote(30).count(), 30);
            let store = Store::remote(Small(50));
            assert_eq!(store.set().remote(Small(60)).get()?, 50);
            assert_eq!(store.later().remote(Small(7)).get()?, Small(67));
            Ok(())
        });
    }
}
