//! A parameter that owns its value gets a clone of what is behind a ref.

#[derive(serde::Serialize, serde::Deserialize)]
struct Only(u64);

#[maser::task]
fn make() -> Only {
    Only(1)
}

#[maser::task]
fn own(only: Only) -> u64 {
    only.0
}

#[maser::task]
fn borrow(only: &Only) -> u64 {
    only.0
}

fn main() {
    let only = make::remote();
    borrow::remote(&only);
    own::remote(&only);
    only.get();
}
