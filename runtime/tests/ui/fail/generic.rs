#[maser::task]
fn identity<T: Clone>(value: T) -> T {
    value
}

#[maser::task]
fn sum<const N: usize>(values: [u64; N]) -> u64 {
    values.iter().sum()
}

struct Stack<T>(Vec<T>);

#[maser::actor]
impl<T> Stack<T> {
    fn new() -> Self {
        Stack(Vec::new())
    }
}

struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Self {
        Echo
    }
    fn echo<T>(&self, value: T) -> T {
        value
    }
}

fn main() {}
