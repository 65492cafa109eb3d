#[maser::task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[maser::task]
fn length(text: &str) -> usize {
    text.len()
}

fn main() {
    add::remote(1, "two");
    let text = String::from("text");
    length::remote(&text);
}
