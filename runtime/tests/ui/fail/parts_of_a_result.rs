#[maser::task(num_returns = 2)]
fn triple() -> (u8, u8, u8) {
    (1, 2, 3)
}

#[maser::task(num_returns = 2)]
fn list() -> maser::Result<Vec<u8>> {
    Ok(vec![1, 2])
}

#[maser::task(num_returns = 2)]
fn nothing() {}

fn main() {}
