use maser::prelude::*;

struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Self {
        Echo
    }
    fn echo(&mut self, text: String) -> String {
        text
    }
    async fn later(&self, count: u64) -> u64 {
        count
    }
}

#[maser::task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

fn main() {
    let echo = Echo::remote();
    let _ = Graph::new(|text: String| echo.echo().bind(text));
    let _ = Graph::new(|text: Node<String>| {
        let (once, twice) = (echo.echo().bind(text), echo.echo().bind(text));
        (once, (twice, once))
    });
    let _ = Graph::new(|_: Node<String>| echo.echo().remote("not bound"));
    let graph = Graph::new(|a: Node<u64>| add::options().num_cpus(1).bind(a, "two"));
    let _ = graph.execute("one");
    let _ = Graph::new(|text: Node<String>| echo.later().bind(text));
}
