#[maser::task(stream)]
fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .map(String::from)
        .collect::<Vec<_>>()
        .into_iter()
}

fn main() {}
