//! A little of every kind of call, for tests of what happens around them.

use std::time::Duration;

use maser::{Error, Graph, Node, Ref};

use crate::support::{Counted, Gate};

const FOR_EVER: Duration = Duration::from_secs(3600);

#[maser::task]
pub fn double(x: u64) -> u64 {
    2 * x
}

#[maser::task(num_returns = 2)]
pub fn two(x: u64) -> (u64, u64) {
    (x, 2 * x)
}

#[maser::task(stream)]
pub fn count_to(n: u64) -> impl Iterator<Item = u64> {
    0..n
}

#[maser::task(local)]
pub fn sleeps(counted: Counted) {
    maser::sleep(FOR_EVER);
    drop(counted);
}

#[maser::task(local)]
pub fn gets(counted: Counted, never: Ref<Ref<u64>>) -> maser::Result<u64> {
    let value = never.get()?.get()?;
    drop(counted);
    Ok(value)
}

#[maser::task(local)]
pub fn takes(_counted: Counted, x: u64) -> u64 {
    x
}

#[maser::task(local, stream)]
pub fn trickles(gate: Gate) -> maser::Result<std::ops::Range<u64>> {
    drop(gate.lock()?);
    Ok(0..1)
}

pub struct Keeper {
    kept: Vec<Counted>,
}

#[maser::actor(local)]
impl Keeper {
    pub fn new() -> Self {
        Keeper { kept: Vec::new() }
    }
    pub fn keep(&mut self, counted: Counted) -> u64 {
        self.kept.push(counted);
        self.kept.len() as u64
    }
    pub fn wait(&mut self, gate: Gate) -> maser::Result<u64> {
        drop(gate.lock()?);
        Ok(0)
    }
    pub fn echo(&mut self, x: u64) -> u64 {
        x
    }
    #[maser(num_returns = 2)]
    pub fn two(&mut self, x: u64) -> (u64, u64) {
        (x, x)
    }
}

pub struct Echo;

#[maser::actor]
impl Echo {
    pub fn new() -> Self {
        Echo
    }
    pub fn echo(&mut self, x: u64) -> u64 {
        x
    }
}

/// Every kind of call says that there is no runtime.
pub fn everything_is_refused() {
    is_not_running(double::remote(1).get());
    is_not_running(double::options().num_cpus(2).remote(1).get());
    is_not_running(double::remote(double::remote(1)).get());
    let (one, other) = two::remote(1);
    is_not_running(one.get());
    is_not_running(other.get());
    let items: Vec<_> = count_to::remote(3).collect();
    assert_eq!(items.len(), 1);
    is_not_running(items[0].get());
    let keeper = Keeper::remote();
    is_not_running(keeper.echo().remote(1).get());
    let (one, other) = keeper.two().remote(1);
    is_not_running(one.get());
    is_not_running(other.get());
    is_not_running(keeper.echo().remote(double::remote(1)).get());
    maser::kill(&keeper);
    drop(keeper);
    is_not_running(maser::get_actor::<Keeper>("nobody"));
    is_not_running(maser::error_info());
    let graph = Graph::new(|x: Node<u64>| double::bind(x));
    is_not_running(graph.execute(1).and_then(|result| result.get()));
    is_not_running(graph.compile().map(drop));
}

pub fn is_not_running<T: std::fmt::Debug>(result: maser::Result<T>) {
    let error = result.expect_err("there is no runtime");
    assert!(
        matches!(error.root(), Error::NotRunning { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("maser::init()"), "{error}");
}
