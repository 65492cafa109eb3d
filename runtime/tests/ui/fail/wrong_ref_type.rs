#[maser::task]
fn count(n: u32) -> u32 {
    n
}

#[maser::task]
fn text() -> String {
    String::new()
}

fn main() {
    count::remote(text::remote());
}
