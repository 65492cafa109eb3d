//! Waits of every kind that could never end, and waits that only look like it.

use std::sync::Arc;
use std::time::Duration;

use maser::sync::Mutex;
use maser::{Actor, Error, Ref};
use maser_tests::{both_ways, quiet, with_runtime};

const LONG: Duration = Duration::from_secs(3600);

/// Ways to wait for results.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Wait {
    Get,
    /// For all of them.
    All,
    Stream,
    Await,
}

const WAITS: [Wait; 4] = [Wait::Get, Wait::All, Wait::Stream, Wait::Await];

struct Node;

#[maser::actor]
impl Node {
    fn new() -> Self {
        Node
    }
    fn touch(&mut self) -> u64 {
        1
    }
    #[maser(stream)]
    fn items(&mut self) -> impl Iterator<Item = u64> {
        0..3
    }
    /// Waits for the first of `way` in the way that is asked for, and that one for the next.
    fn go(&mut self, how: Wait, way: Vec<Actor<Node>>) -> maser::Result<u64> {
        match how {
            Wait::Stream if way.len() == 1 => {
                way[0].items().remote().next().map_or(Ok(0), |n| n.get())
            }
            Wait::All => {
                let there = maser::put(1);
                let (ready, _) = maser::wait(&[there, call(how, way)], 2, None)?;
                ready[1].get()
            }
            _ => call(how, way).get(),
        }
    }
    async fn go_async(&mut self, how: Wait, way: Vec<Actor<Node>>) -> maser::Result<u64> {
        call(how, way).await
    }
    /// Waits for one of two, of which one comes.
    fn go_for_one(&mut self, me: Actor<Node>, other: Actor<Node>) -> maser::Result<usize> {
        let calls = [me.touch().remote(), other.touch().remote()];
        Ok(maser::wait(&calls, 1, None)?.0.len())
    }
    async fn go_for_one_async(&self, me: Actor<Node>, other: Actor<Node>) -> maser::Result<u64> {
        let (mine, its) = (me.touch().remote(), other.touch().remote());
        either(mine, its).await
    }
    fn go_for_a_while(&mut self, me: Actor<Node>) -> maser::Result<usize> {
        let calls = [me.touch().remote()];
        Ok(maser::wait(&calls, 1, Some(Duration::from_millis(1)))?
            .0
            .len())
    }
}

fn call(how: Wait, mut way: Vec<Actor<Node>>) -> Ref<u64> {
    let next = way.remove(0);
    match (way.is_empty(), how) {
        (true, _) => next.touch().remote(),
        (false, Wait::Await) => next.go_async().remote(how, way),
        (false, _) => next.go().remote(how, way),
    }
}

/// The first of two.
async fn either(one: Ref<u64>, two: Ref<u64>) -> maser::Result<u64> {
    use std::future::{Future, IntoFuture};
    let (mut one, mut two) = (one.into_future(), two.into_future());
    std::future::poll_fn(move |context| {
        let first = std::pin::Pin::new(&mut one).poll(context);
        if first.is_ready() {
            return first;
        }
        std::pin::Pin::new(&mut two).poll(context)
    })
    .await
}

fn is_cycle<T: std::fmt::Debug>(result: maser::Result<T>) {
    let error = result.expect_err("nobody could go on");
    let Error::WaitCycle { path } = error.root() else {
        panic!("{error}")
    };
    let ends: Vec<_> = path.split(" waits for ").collect();
    assert!(
        ends.len() > 1 && ends.first() == ends.last(),
        "it comes round: {path}"
    );
}

fn start(how: Wait, first: &Actor<Node>, way: Vec<Actor<Node>>) -> Ref<u64> {
    match how {
        Wait::Await => first.go_async().remote(how, way),
        _ => first.go().remote(how, way),
    }
}

#[test]
fn actors_that_wait_for_themselves_or_each_other_in_any_way_are_told() {
    for schedulers in [1, 2, 3] {
        both_ways(quiet(schedulers), |_| {
            for how in WAITS {
                for at in 0..schedulers {
                    let a = Node::options().scheduler(at).remote();
                    is_cycle(start(how, &a, vec![a.clone()]).get());
                    for other in 0..schedulers {
                        let b = Node::options().scheduler(other).remote();
                        let round = vec![b.clone(), a.clone()];
                        is_cycle(start(how, &a, round).get());
                        let c = Node::remote();
                        let round = vec![b.clone(), c, b.clone()];
                        is_cycle(start(how, &a, round).get());
                        // An error of a call: everybody lives on.
                        assert_eq!(a.touch().remote().get()? + b.touch().remote().get()?, 2);
                    }
                }
            }
            Ok(())
        });
    }
}

#[test]
fn two_calls_that_start_towards_each_other_at_once_are_told() {
    for how in WAITS {
        with_runtime(quiet(2), |_| {
            for _ in 0..50 {
                let a = Node::options().scheduler(0).remote();
                let b = Node::options().scheduler(1).remote();
                let there = start(how, &a, vec![b.clone(), a.clone()]);
                let back = start(how, &b, vec![a.clone(), b.clone()]);
                // At least one is told, and whoever is not ends.
                let ends = [there.get(), back.get()];
                for end in &ends {
                    if let Err(error) = end {
                        assert!(matches!(error.root(), Error::WaitCycle { .. }), "{error}");
                    }
                }
                assert!(ends.iter().any(Result::is_err));
            }
        });
    }
}

#[test]
fn a_wait_that_something_else_may_end_is_no_cycle() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            for at in 0..schedulers {
                let a = Node::options().scheduler(at).remote();
                let b = Node::remote();
                for _ in 0..20 {
                    assert_eq!(a.go_for_one().remote(a.clone(), b.clone()).get()?, 1);
                    let first = a.go_for_one_async().remote(a.clone(), b.clone());
                    assert_eq!(first.get()?, 1);
                }
                assert_eq!(a.go_for_a_while().remote(a.clone()).get()?, 0);
            }
            Ok(())
        });
    }
}

/// Takes one lock, then the other.
#[maser::task(local)]
fn both_locks(
    one: Arc<Mutex<u64>>,
    two: Arc<Mutex<u64>>,
    first: Arc<Mutex<u64>>,
) -> maser::Result<u64> {
    let mut mine = one.lock()?;
    *first.lock()? += 1;
    // Both have one.
    while *first.lock()? < 2 {
        maser::yield_now();
    }
    let its = two.lock()?;
    *mine += 1;
    Ok(*its)
}

#[test]
fn tasks_that_take_locks_crosswise_are_told() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            for _ in 0..20 {
                let locks: [Arc<Mutex<u64>>; 2] = Default::default();
                let [one, two] = &locks;
                let first = Arc::<Mutex<u64>>::default();
                let there = both_locks::remote(one.clone(), two.clone(), first.clone());
                let back = both_locks::remote(two.clone(), one.clone(), first);
                let ends = [there.get(), back.get()];
                let (told, gone_on): (Vec<_>, Vec<_>) = ends.into_iter().partition(Result::is_err);
                assert_eq!((told.len(), gone_on.len()), (1, 1), "one of them is enough");
                told.into_iter().for_each(is_cycle);
                // Both are open again.
                assert_eq!(*one.lock()? + *two.lock()?, 1);
            }
            Ok(())
        });
    }
}

#[test]
fn a_task_that_takes_its_own_lock_again_is_told() {
    #[maser::task(local)]
    fn twice(lock: Arc<Mutex<u64>>) -> maser::Result<u64> {
        let first = lock.lock()?;
        Ok(*first + *lock.lock()?)
    }
    both_ways(quiet(1), |_| {
        is_cycle(twice::remote(Arc::default()).get());
        Ok(())
    });
}

#[test]
fn locks_that_are_taken_in_one_order_are_no_cycle() {
    #[maser::task(local)]
    fn in_order(one: Arc<Mutex<u64>>, two: Arc<Mutex<u64>>) -> maser::Result<()> {
        let mut one = one.lock()?;
        maser::yield_now();
        let mut two = two.lock()?;
        maser::yield_now();
        *one += 1;
        *two += 1;
        Ok(())
    }
    for schedulers in [1, 2, 3] {
        both_ways(quiet(schedulers), |_| {
            let locks: [Arc<Mutex<u64>>; 2] = Default::default();
            let tasks: Vec<_> = (0..200)
                .map(|_| in_order::remote(locks[0].clone(), locks[1].clone()))
                .collect();
            maser::get(&tasks)?;
            assert_eq!(*locks[1].lock()?, 200);
            Ok(())
        });
    }
}

#[test]
fn a_wait_with_a_limit_holds_up_nobody_for_ever() {
    struct Patient;

    #[maser::actor]
    impl Patient {
        fn new() -> Self {
            Patient
        }
        fn touch(&mut self) -> u64 {
            1
        }
        fn wait_for(&mut self, next: Actor<Asking>, me: Actor<Patient>) -> bool {
            let call = next.ask().remote(me);
            let error = call.get_timeout(Duration::from_millis(20)).unwrap_err();
            matches!(error.root(), Error::Timeout { .. })
        }
    }

    struct Asking;

    #[maser::actor]
    impl Asking {
        fn new() -> Self {
            Asking
        }
        fn ask(&mut self, patient: Actor<Patient>) -> maser::Result<u64> {
            patient.touch().remote().get()
        }
        fn nothing(&mut self) {}
    }
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let patient = Patient::options().scheduler(0).remote();
            let asking = Asking::options().scheduler(schedulers - 1).remote();
            let call = patient.wait_for().remote(asking.clone(), patient.clone());
            assert!(call.get_timeout(LONG)?, "it gave up, and was not refused");
            // Whoever waited for it was let in then.
            asking.nothing().remote().get()
        });
    }
}

/// A graph of one input and one output.
type Through = maser::CompiledGraph<maser::Node<u64>, maser::Node<u64>>;

struct Member;

#[maser::actor(local)]
impl Member {
    fn new() -> Self {
        Member
    }
    fn step(&mut self, x: u64) -> u64 {
        x + 1
    }
    async fn async_step(&mut self, x: u64) -> u64 {
        x + 1
    }
    fn run(&mut self, graph: Arc<Through>) -> maser::Result<u64> {
        graph.execute(1_u64)?.get()
    }
}

#[test]
fn a_method_that_waits_for_a_graph_of_its_own_actor_is_told() {
    let for_ever = || maser::CompileOptions {
        get_timeout: Some(maser::Timeout::Never),
        ..Default::default()
    };
    for schedulers in [1, 2] {
        with_runtime(quiet(schedulers), |_| {
            for at in 0..schedulers {
                let member = Member::options().scheduler(at).remote();
                let other = Member::options().scheduler(at).remote();
                let graphs = [
                    maser::Graph::new(|x| member.step().bind(x)),
                    maser::Graph::new(|x| member.async_step().bind(x)),
                    maser::Graph::new(|x| member.step().bind(member.step().bind(x))),
                ];
                for graph in graphs {
                    let graph = Arc::new(graph.compile_with(for_ever()).expect("it can run"));
                    for _ in 0..3 {
                        is_cycle(member.run().remote(maser::put(graph.clone())).get());
                        // One of another actor may wait for it.
                        let through = other.run().remote(maser::put(graph.clone())).get();
                        assert!(through.expect("nobody is in the way") > 1);
                    }
                }
            }
        });
    }
}
