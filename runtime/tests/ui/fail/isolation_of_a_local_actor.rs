struct Local;

#[maser::actor(local)]
impl Local {
    fn new() -> Self {
        Local
    }
}

fn main() {
    Local::options()
        .isolation(maser::Isolation::Thread)
        .remote();
}
