//! A task may take what cannot be cloned; only `bind` demands more (MAC-8).

use maser::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Only(u64);

#[maser::task]
fn unwrap(only: Only) -> u64 {
    only.0
}

fn main() {
    unwrap::remote(Only(1));
    let _ = Graph::new(|_: Node<u64>| unwrap::bind(Only(1)));
}
