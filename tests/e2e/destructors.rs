//! Destructors, `Clone` and `Display` of users that panic or use the runtime where maser runs them:
//! schedulers go on, and nothing of maser is held meanwhile. [`graphs`] has those that look at a graph.

mod graphs;

use std::error::Error as StdError;
use std::fmt;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser::prelude::*;
use maser::{Cause, CompileOptions, Error};
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};

/// What the destructors of one test do, and how often they did.
#[derive(Clone, Default)]
struct Drops {
    count: Arc<AtomicUsize>,
    errand: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Drops {
    /// They do this.
    fn run(errand: impl Fn() + Send + Sync + 'static) -> Self {
        Drops {
            count: Arc::default(),
            errand: Some(Arc::new(errand)),
        }
    }

    /// They panic.
    fn panic() -> Self {
        Drops::run(|| panic!("a destructor panics"))
    }

    /// One more value.
    fn value(&self) -> Value {
        Value(self.clone())
    }

    /// Values dropped so far.
    fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until this many values were dropped.
    fn wait_for(&self, count: usize) {
        while self.count() < count {
            maser::yield_now();
        }
        assert_eq!(self.count(), count);
    }
}

/// A value whose destructor is heard of.
#[derive(Clone)]
struct Value(Drops);

impl Value {
    /// Drops it without its destructor.
    fn defuse(mut self) {
        self.0.errand = None;
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        if let Some(errand) = &self.0.errand {
            errand();
        }
    }
}

#[maser::task]
fn same(x: u64) -> u64 {
    x
}

#[maser::task(local)]
fn value_of(drops: Drops) -> Value {
    drops.value()
}

#[maser::task(local)]
fn values_of(drops: Drops) -> Vec<Value> {
    vec![drops.value()]
}

#[maser::task(local)]
fn takes(value: Value) -> u64 {
    value.defuse();
    1
}

#[maser::task(local, stream)]
fn stream_of(drops: Drops) -> impl Iterator<Item = Value> {
    (0..40).map(move |_| drops.value())
}

#[maser::task(local)]
fn panics_with(drops: Drops) {
    panic_any(drops.value());
}

#[maser::task(local)]
fn drops_a_put(drops: Drops) -> u64 {
    drop(maser::put(drops.value()));
    1
}

/// An error that cannot say what it is, and whose destructor panics.
#[derive(Debug)]
struct Speechless;

impl fmt::Display for Speechless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("it has no words")
    }
}

impl StdError for Speechless {}

impl Drop for Speechless {
    fn drop(&mut self) {
        panic!("nor an end");
    }
}

#[maser::task(local)]
fn fails() -> Result<u64, Speechless> {
    Err(Speechless)
}

struct Holder {
    _state: Option<Value>,
}

#[maser::actor(local)]
impl Holder {
    fn new(state: Option<Drops>) -> Self {
        Holder {
            _state: state.map(|drops| drops.value()),
        }
    }
    fn pass(&mut self, value: Value) -> Value {
        value
    }
    fn take(&mut self, value: Value) -> u64 {
        value.defuse();
        1
    }
    fn both(&mut self, value: Value, number: u64) -> u64 {
        value.defuse();
        number
    }
    fn fail(&mut self, value: Value) -> Result<u64, std::io::Error> {
        value.defuse();
        Err(std::io::Error::other("refused"))
    }
    fn give(&mut self, drops: Drops) -> Value {
        maser::yield_now();
        drops.value()
    }
}

struct NeverMade;

#[maser::actor(local)]
impl NeverMade {
    fn new() -> Result<Self, Speechless> {
        Err(Speechless)
    }
    fn number(&mut self) -> u64 {
        1
    }
}

/// Every scheduler still runs tasks.
fn all_go_on(maser: &maser::Maser) -> maser::Result<()> {
    for scheduler in 0..maser.num_cpus() {
        let x = same::options().scheduler(scheduler).remote(3).get()?;
        assert_eq!(x, 3);
    }
    Ok(())
}

/// Waits until the node's list has a panic of a destructor of this type.
fn is_listed(of: &str) -> maser::Result<()> {
    let tells = |message: &str| message.contains(of) && message.contains("destructors.rs");
    while !maser::error_info()?
        .iter()
        .any(|event| event.message.starts_with("Drop of") && tells(&event.message))
    {
        maser::yield_now();
    }
    Ok(())
}

#[test]
fn a_result_that_nobody_wants_may_panic_when_it_is_dropped() {
    both_ways(quiet(2), |maser| {
        let drops = Drops::panic();
        for _ in 0..20 {
            drop(value_of::remote(drops.clone()));
        }
        drops.wait_for(20);
        for _ in 0..20 {
            drop(values_of::remote(drops.clone()));
        }
        drops.wait_for(40);
        is_listed("Value")?;
        all_go_on(maser)
    });
}

#[test]
fn a_result_that_was_there_may_panic_when_its_ref_is_dropped() {
    both_ways(quiet(2), |maser| {
        let drops = Drops::panic();
        for _ in 0..20 {
            let result = value_of::remote(drops.clone());
            maser::wait(std::slice::from_ref(&result), 1, None)?;
            drop(result);
        }
        assert_eq!(drops.count(), 20);
        drop(maser::put(drops.value()));
        assert_eq!(drops.count(), 21);
        assert_eq!(drops_a_put::remote(drops.clone()).get()?, 1);
        assert_eq!(drops.count(), 22);
        all_go_on(maser)
    });
}

#[test]
fn results_of_calls_may_panic_when_they_are_dropped() {
    both_ways(quiet(2), |maser| {
        let drops = Drops::panic();
        for scheduler in 0..2 {
            let actor = Holder::options().scheduler(scheduler).remote(None);
            for _ in 0..20 {
                drop(actor.give().remote(drops.clone()));
            }
        }
        drops.wait_for(40);
        all_go_on(maser)
    });
}

#[test]
fn arguments_of_calls_that_never_run_may_panic_when_they_are_dropped() {
    both_ways(quiet(2), |maser| {
        let drops = Drops::panic();
        for scheduler in 0..2 {
            let actor = Holder::options().scheduler(scheduler).remote(None);
            maser::kill(&actor);
            for _ in 0..10 {
                let refused = actor.take().remote(drops.value()).get();
                assert!(
                    matches!(refused, Err(Error::ActorDied { .. })),
                    "{refused:?}"
                );
            }
            let unstarted = takes::remote(drops.value());
            let _had_begun = unstarted.cancel();
            drop(unstarted.get());
        }
        drops.wait_for(22);
        all_go_on(maser)
    });
}

#[test]
fn the_state_of_an_actor_may_panic_with_what_panics_again() {
    both_ways(quiet(2), |maser| {
        let last = Drops::panic();
        let payload = last.clone();
        let drops = Drops::run(move || panic_any(payload.value()));
        let actor = Holder::remote(Some(drops.clone()));
        assert_eq!(actor.both().remote(Drops::default().value(), 7).get()?, 7);
        drop(actor);
        drops.wait_for(1);
        last.wait_for(1);
        all_go_on(maser)
    });
}

#[test]
fn a_panic_may_carry_what_panics_when_it_is_dropped() {
    both_ways(quiet(2), |maser| {
        let drops = Drops::panic();
        for _ in 0..5 {
            match panics_with::remote(drops.clone()).get() {
                Err(Error::Task(task)) => {
                    assert_eq!(task.function(), "panics_with");
                    assert!(matches!(task.cause(), Cause::Panicked { .. }), "{task:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(drops.count(), 5);
        all_go_on(maser)
    });
}

#[test]
fn an_error_may_panic_when_it_is_shown_and_when_it_is_dropped() {
    let shown = |maser: &maser::Maser| {
        let error = fails::remote().get().expect_err("it fails");
        assert!(error.to_string().contains("Display panics"), "{error}");
        assert!(error.downcast_ref::<Speechless>().is_some());
        // What a user drops is the user's: this one is left alone.
        std::mem::forget(error);
        for _ in 0..5 {
            drop(fails::remote());
        }
        let died = NeverMade::remote().number().remote().get();
        assert!(matches!(died, Err(Error::ActorDied { .. })));
        let messages = maser::error_info()?;
        let panics = messages
            .iter()
            .filter(|event| event.message.contains("Display panics"));
        assert!(panics.count() > 0, "{messages:?}");
        all_go_on(maser)
    };
    both_ways(quiet(2), shown);
    // Where the errors are printed too.
    both_ways(quiet(2).mode(maser::Mode::Script), shown);
}

#[test]
fn values_of_a_stream_that_was_left_may_panic_when_they_are_dropped() {
    both_ways(quiet(2), |maser| {
        for taken in [0, 1, 20] {
            let drops = Drops::panic();
            let mut stream = stream_of::remote(drops.clone());
            for value in stream.by_ref().take(taken) {
                value.take()?.defuse();
            }
            drop(stream);
        }
        all_go_on(maser)
    });
}

#[test]
fn values_that_are_left_in_a_graph_may_panic_when_they_are_dropped() {
    both_ways(quiet(2), |maser| {
        let drops = Drops::panic();
        let here = Holder::options().scheduler(0).remote(None);
        let there = Holder::options().scheduler(1).remote(None);
        for ends_at in 0..8 {
            // One segment, then two that hand values on and share an input.
            let one = Graph::new(|value: Node<Value>| here.pass().bind(value)).compile()?;
            let two = Graph::new(|value: Node<Value>| {
                let passed = here.pass().bind(value);
                (
                    there.pass().bind(passed),
                    here.take().bind(value),
                    there.both().bind(passed, 4_u64),
                )
            });
            let two = two.compile()?;
            let mut left = Vec::new();
            for run in 0..8 {
                let (a, b) = (one.execute(drops.value())?, two.execute(drops.value())?);
                if run % 2 == 0 {
                    drop((a, b));
                } else {
                    left.push((a, b));
                }
                if run == ends_at {
                    break;
                }
            }
            one.teardown()?;
            two.teardown()?;
            drop((one, two));
            drop(left);
        }
        is_listed("Value")?;
        all_go_on(maser)
    });
}

#[test]
fn values_beside_an_error_may_panic_when_they_are_dropped() {
    both_ways(quiet(2), |maser| {
        let drops = Drops::panic();
        let actor = Holder::options().scheduler(1).remote(None);
        let graph = Graph::new(|value: Node<Value>| {
            let error = actor.fail().bind(value);
            actor.both().bind(value, error)
        });
        let graph = graph.compile()?;
        for run in 1..=10 {
            graph
                .execute(drops.value())?
                .take()
                .expect_err("a step fails");
            // The one that failed was defused and counts as well.
            drops.wait_for(2 * run);
        }
        // A constant goes with the graph.
        let constant = Drops::panic();
        let kept = constant.value();
        let with_constant = Graph::new(|_: ()| actor.take().bind(kept.clone()));
        let with_constant = with_constant.compile()?;
        assert_eq!(with_constant.execute(())?.take()?, 1);
        with_constant.teardown()?;
        std::mem::forget((with_constant, kept));
        all_go_on(maser)
    });
}

#[test]
fn what_is_under_way_at_shutdown_may_panic_when_it_is_dropped() {
    for schedulers in [1, 2] {
        let drops = Drops::panic();
        let theirs = drops.clone();
        let starts = move |_: &maser::Maser| {
            let actor = Holder::remote(Some(theirs.clone()));
            for _ in 0..10 {
                drop(value_of::remote(theirs.clone()));
                drop(actor.give().remote(theirs.clone()));
                drop(takes::remote(value_of::remote(theirs.clone())));
                drop(takes::remote(theirs.value()));
                std::mem::forget(stream_of::remote(theirs.clone()));
            }
        };
        with_runtime(quiet(schedulers), &starts);
        beside_runtime(quiet(schedulers), &starts);
        // At least the arguments, started or not.
        assert!(drops.count() >= 20);
    }
}
