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
}

fn main() {
    let echo = Echo::remote();
    let _ = Graph::new(|count: Node<u64>| echo.echo().bind(count));
}
