use std::borrow::Cow;

#[maser::task]
fn first<'a>(text: &'a str) -> String {
    text.to_owned()
}

#[maser::task]
fn constant(text: &'static str) -> String {
    text.to_owned()
}

#[maser::task]
fn inside(text: Cow<'_, str>) -> String {
    text.into_owned()
}

#[maser::task]
fn nested(text: Option<&str>) -> bool {
    text.is_some()
}

fn main() {}
