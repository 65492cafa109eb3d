#[maser::task(stream)]
fn one() -> u64 {
    1
}

fn main() {}
