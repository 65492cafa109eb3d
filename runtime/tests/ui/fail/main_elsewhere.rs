#[maser::main]
fn start() {}

fn main() {
    start();
}
