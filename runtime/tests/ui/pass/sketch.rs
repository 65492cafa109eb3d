//! The sketch of the API, as written.

use maser::prelude::*;

#[maser::task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Self {
        Echo
    }
    fn echo(&mut self, msg: String) -> String {
        msg
    }
}

#[maser::main]
fn main() -> maser::Result<()> {
    let _maser = maser::init()?;

    let x = add::remote(1, 2);
    assert_eq!(add::remote(&x, 10).get()?, 13);
    assert_eq!(
        add::options()
            .num_cpus(2)
            .max_retries(3)
            .remote(1, 2)
            .get()?,
        3
    );
    assert_eq!(add(1, 2), 3);

    let a = Echo::remote();
    assert_eq!(a.echo().remote("hi").get()?, "hi");
    let _named = Echo::options()
        .name("a")
        .isolation(maser::Isolation::Thread)
        .remote();

    let graph = Graph::new(|msg: Node<String>| a.echo().bind(msg)).compile()?;
    assert_eq!(graph.execute("hello")?.get()?, "hello");
    graph.teardown()
}
