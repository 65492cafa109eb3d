struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Self {
        Echo
    }
    fn fill(&self, buffer: &mut Vec<u8>) {
        buffer.push(1);
    }
}

#[maser::task]
fn increment(count: &mut u64) {
    *count += 1;
}

fn main() {}
