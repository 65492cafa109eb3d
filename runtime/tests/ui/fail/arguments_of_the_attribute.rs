#[maser::task(num_cpu = 2)]
fn misspelt() {}

#[maser::task(num_cpus = "two")]
fn text() {}

#[maser::task(num_cpus = -1)]
fn negative() {}

#[maser::task(max_retries = -2)]
fn retries() {}

#[maser::task(num_returns = 0)]
fn zero() {}

#[maser::task(stream, stream)]
fn twice() -> Vec<u8> {
    Vec::new()
}

#[maser::task(stream, num_returns = 2)]
fn both() -> Vec<u8> {
    Vec::new()
}

#[maser::task(local = true)]
fn flag() {}

struct Echo;

#[maser::actor(max_concurrency = 0, stream)]
impl Echo {
    fn new() -> Self {
        Echo
    }
    #[maser(skipped)]
    fn echo(&self) {}
    #[maser(stream)]
    fn describe() {}
}

fn main() {}
