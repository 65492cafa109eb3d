#[maser::task]
struct Task;

#[maser::actor]
fn actor() {}

#[maser::actor]
struct Actor;

trait Named {
    #[maser::task]
    fn name();
}

struct Echo;

#[maser::actor]
impl Named for Echo {
    fn name() {}
}

fn main() {}
