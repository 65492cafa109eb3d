struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Self {
        Echo
    }
    fn clone(&self) {}
    fn remote(&self) {}
    fn options() {}
}

fn main() {}
