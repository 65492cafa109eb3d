//! Hello world three ways: an actor call, a graph as it was written, and the same graph compiled.
//!
//! ```console
//! $ cargo run --release --example quickstart
//! ```
//!
//! Each way sends "hello" to an actor on the neighbouring core and waits for it to come back. The
//! last column is the latency in multiples of the machine's own floor, which `floor` measures on
//! the same two cores right before and right after.

mod floor;
mod latency;

use latency::{Latency, measure};
use maser::prelude::*;
use maser::topology::Topology;

struct SimpleActor;

#[maser::actor]
impl SimpleActor {
    fn new() -> Self {
        SimpleActor
    }

    fn echo(&mut self, msg: String) -> String {
        msg
    }
}

/// The three ways, each measured.
fn three_ways() -> maser::Result<Vec<(&'static str, Latency)>> {
    // 1. An actor call: a result to wait for, now or later.
    let a = SimpleActor::remote();
    let call = measure(|| a.echo().remote("hello").get())?;

    // 2. A graph: the calls are written down with `bind`, and made at `execute`.
    let graph = Graph::new(|msg: Node<String>| a.echo().bind(msg));
    let written = measure(|| graph.execute("hello")?.get())?;

    // 3. The same graph compiled: its channels and buffers are laid out once.
    let graph = graph.compile()?;
    let compiled = measure(|| graph.execute("hello")?.get())?;

    graph.teardown()?;
    Ok(vec![
        ("actor call", call),
        ("graph, not compiled", written),
        ("compiled graph", compiled),
    ])
}

#[maser::main]
fn main() -> maser::Result<()> {
    let topology = Topology::detect();
    let cores = topology.placement(topology.usable_parallelism().min(2));

    let before = floor::measure(&cores);
    let maser = Config::new().num_cpus(cores.len()).init()?;
    let ways = three_ways()?;
    drop(maser);
    let after = floor::measure(&cores);

    println!(
        "{:24}{:>10}{:>10}{:>10}{:>10}",
        "", "p50", "p99", "p99.9", "x floor"
    );
    let floor_ns = match (&before, &after) {
        (Some(before), Some(after)) => {
            println!("{:24}{before}", "floor, before");
            println!("{:24}{after}", "floor, after");
            Some((before.p50_ns() + after.p50_ns()) / 2.0)
        }
        _ => None,
    };
    for (way, latency) in &ways {
        let ratio = floor_ns.map(|floor_ns| format!("{:.2}", latency.p50_ns() / floor_ns));
        println!("{way:24}{latency}{:>10}", ratio.as_deref().unwrap_or("-"));
    }
    println!(
        "\n{}",
        floor::explain(&cores, before.as_ref(), after.as_ref())
    );
    Ok(())
}
