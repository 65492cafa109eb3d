struct Oops;

#[maser::task]
fn fail() -> Result<u64, Oops> {
    Err(Oops)
}

fn main() {}
