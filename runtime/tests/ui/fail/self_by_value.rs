struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Self {
        Echo
    }
    fn consume(self) {}
    fn unbox(self: Box<Self>) {}
}

#[maser::task]
fn method(&self) {}

fn main() {}
