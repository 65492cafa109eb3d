use maser::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Only(u64);

#[maser::task]
fn make() -> Only {
    Only(1)
}

fn main() {
    let _ = Graph::new(|(): ()| make::options().num_cpus(1).bind());
    let _ = Graph::new(|only: Node<Only>| only);
}
