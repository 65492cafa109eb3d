use std::rc::Rc;

struct Plain(u64);

#[maser::task]
fn unwrap(plain: Plain) -> u64 {
    plain.0
}

#[maser::task]
fn wrap(value: u64) -> Result<Plain, std::io::Error> {
    Ok(Plain(value))
}

#[maser::task(local)]
fn shared(value: Rc<u64>) -> u64 {
    *value
}

fn main() {}
