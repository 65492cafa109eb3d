//! Hello world three ways: an actor call, a graph as it was written, and the same graph compiled.
//!
//! ```console
//! $ cargo run --release --example quickstart
//! ```
//!
//! Each way sends "hello" to an actor on the neighbouring core and waits for it to come back. The
//! last column is the latency in multiples of the machine's own floor, which `floor` measures on
//! the same two cores right before and right after each of them.

mod floor;
mod latency;

use floor::Floors;
use latency::measure;
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

#[maser::main]
fn main() -> maser::Result<()> {
    let topology = Topology::detect();
    let cores = topology.placement(topology.usable_parallelism().min(2));
    let _maser = Config::new().num_cpus(cores.len()).init()?;
    let mut floors = Floors::on(&cores);

    // 1. An actor call: a result to wait for, now or later.
    let a = SimpleActor::remote();
    let call = measure(|| a.echo().remote("hello").get())?;
    floors.print_beside("actor call", &call);

    // 2. A graph: the calls are written down with `bind`, and made at `execute`.
    let graph = Graph::new(|msg: Node<String>| a.echo().bind(msg));
    let written = measure(|| graph.execute("hello")?.get())?;
    floors.print_beside("graph, not compiled", &written);

    // 3. The same graph compiled: its channels and buffers are laid out once.
    let graph = graph.compile()?;
    let compiled = measure(|| graph.execute("hello")?.get())?;
    floors.print_beside("compiled graph", &compiled);

    floors.explain();
    graph.teardown()
}
