struct Plain;

impl Plain {
    fn new() -> Self {
        Plain
    }
}

fn keep(plain: maser::Actor<Plain>) {
    drop(plain);
}

fn main() {
    Plain::new();
    keep(maser::get_actor("plain").unwrap());
}
