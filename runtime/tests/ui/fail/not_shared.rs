use std::cell::Cell;
use std::rc::Rc;

#[maser::task]
fn get(value: Cell<u64>) -> u64 {
    value.get()
}

#[maser::task]
fn wrap(values: Vec<u64>) -> Vec<Rc<u64>> {
    values.into_iter().map(Rc::new).collect()
}

struct Holder;

#[maser::actor(local)]
impl Holder {
    fn new(value: Rc<u64>) -> Self {
        let _ = value;
        Holder
    }
    fn hold(&mut self, value: &Cell<u64>) {
        let _ = value;
    }
}

fn main() {}
