struct Missing;

#[maser::actor]
impl Missing {
    fn create() -> Self {
        Missing
    }
}

struct Optional;

#[maser::actor]
impl Optional {
    fn new() -> Option<Self> {
        None
    }
}

struct Nothing;

#[maser::actor]
impl Nothing {
    fn new() {}
}

fn main() {}
