//! Warm paths allocate nothing: neither the caller nor the callee, whichever core it is on.
//!
//! - ZA-1 every allocation of every thread counts while a window is open; the tests of this
//!   program run one at a time, so nothing but the measured calls is under way then.
//! - ZA-2 pools and tables grow to their high-water mark when the machine first delays somebody
//!   for long enough, which may be at any time: of several windows the emptiest counts. What a call
//!   allocates is in all of them.
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use maser::{Actor, Graph, Node};
use maser_tests::{both_ways, quiet, with_runtime};

struct Counting;

static OPEN: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count() {
    if OPEN.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, bytes) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: u64 = 500;
const ROUNDS: u64 = 1_000;
const WINDOWS: u32 = 5;

/// Allocations of all threads while `round` runs often, after it has run often.
fn allocations(mut round: impl FnMut(u64)) -> u64 {
    (0..WARM_UP).for_each(&mut round);
    let mut window = || {
        ALLOCATIONS.store(0, Ordering::SeqCst);
        OPEN.store(true, Ordering::SeqCst);
        (0..ROUNDS).for_each(&mut round);
        OPEN.store(false, Ordering::SeqCst);
        ALLOCATIONS.load(Ordering::SeqCst)
    };
    let mut fewest = window();
    for _ in 1..WINDOWS {
        if fewest == 0 {
            break;
        }
        fewest = fewest.min(window());
    }
    fewest
}

struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Self {
        Echo
    }
    fn echo(&mut self, x: u64) -> u64 {
        x
    }
}

#[maser::task]
fn same(x: u64) -> u64 {
    x
}

fn call(echo: &Actor<Echo>) -> u64 {
    allocations(|x| assert_eq!(echo.echo().remote(x).get().ok(), Some(x)))
}

#[test]
fn the_counter_counts() {
    with_runtime(quiet(1), |_| {
        let boxes = allocations(|x| drop(std::hint::black_box(Box::new(x))));
        assert_eq!(boxes, ROUNDS);
    });
}

#[test]
fn a_call_of_an_actor_on_the_same_core_allocates_nothing() {
    with_runtime(quiet(1), |_| assert_eq!(call(&Echo::remote()), 0));
}

#[test]
fn a_call_of_an_actor_on_another_core_allocates_nothing() {
    with_runtime(quiet(2), |_| {
        let echo = Echo::options().scheduler(1).remote();
        assert_eq!(call(&echo), 0);
    });
}

#[test]
fn a_call_between_two_cores_that_no_main_thread_takes_part_in_allocates_nothing() {
    #[maser::task]
    fn caller(echo: Actor<Echo>) -> u64 {
        call(&echo)
    }
    both_ways(quiet(2), |_| {
        for (from, to) in [(0, 1), (1, 0), (1, 1)] {
            let echo = Echo::options().scheduler(to).remote();
            let counted = caller::options().scheduler(from).remote(echo);
            assert_eq!(counted.get()?, 0, "from {from} to {to}");
        }
        Ok(())
    });
}

#[test]
fn a_run_of_a_compiled_graph_allocates_nothing() {
    both_ways(quiet(2), |_| {
        let echoes = [0, 1].map(|home| Echo::options().scheduler(home).remote());
        let [here, there] = &echoes;
        let graphs = [
            Graph::new(|x: Node<u64>| here.echo().bind(x)).compile()?,
            Graph::new(|x: Node<u64>| there.echo().bind(x)).compile()?,
            Graph::new(|x: Node<u64>| here.echo().bind(there.echo().bind(x))).compile()?,
        ];
        for (at, graph) in graphs.iter().enumerate() {
            let counted = allocations(|x| {
                let result = graph.execute(x).and_then(|result| result.take());
                assert_eq!(result.ok(), Some(x));
            });
            assert_eq!(counted, 0, "graph {at}");
        }
        Ok(())
    });
}

#[test]
fn starting_a_task_and_taking_its_value_allocates_nothing() {
    with_runtime(quiet(1), |_| {
        let counted = allocations(|x| assert_eq!(same::remote(x).take().ok(), Some(x)));
        assert_eq!(counted, 0);
        let put = allocations(|x| assert_eq!(maser::put(x).take().ok(), Some(x)));
        assert_eq!(put, 0);
    });
}
