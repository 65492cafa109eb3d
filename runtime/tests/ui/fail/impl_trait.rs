#[maser::task]
fn show(value: impl std::fmt::Display) -> String {
    value.to_string()
}

#[maser::task]
fn show_borrowed(value: &impl std::fmt::Display) -> String {
    value.to_string()
}

#[maser::task]
fn show_any(value: &dyn std::fmt::Display) -> String {
    value.to_string()
}

#[maser::task]
fn count() -> impl Iterator<Item = u64> {
    0..3
}

fn main() {}
