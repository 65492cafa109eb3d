//! Every kind of parameter and everything that can be passed for it.

#![deny(warnings)]

use std::borrow::Cow;
use std::collections::HashMap;

use maser::Ref;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

#[maser::task]
fn patterns(
    mut a: i64,
    _: String,
    (b, c): (i64, i64),
    Point { x, y }: Point,
    [d, ..]: [u8; 3],
) -> i64 {
    a += b + c + x as i64 + y as i64 + i64::from(d);
    a
}

#[maser::task]
fn clash(arg1: i64, (a, _b): (i64, i64), arg2: i64, _: i64) -> i64 {
    arg1 + a + arg2
}

#[maser::task]
fn borrows(point: &Point, text: &str, bytes: &[u8], list: &Vec<f32>, array: &[u8; 4]) -> usize {
    point.x as usize + text.len() + bytes.len() + list.len() + array.len()
}

#[maser::task]
fn raw(r#type: i64, r#fn: bool) -> i64 {
    if r#fn { r#type } else { 0 }
}

#[maser::task]
fn r#match(value: i64) -> i64 {
    value
}

#[maser::task]
fn literals(a: u8, b: f32, c: bool, d: char, e: String, f: (), g: (i32, f64), h: [u16; 2]) {
    drop((a, b, c, d, e, g, h));
    f
}

#[maser::task]
fn owned(a: Cow<'static, str>, b: HashMap<String, Vec<Point>>, c: Option<Box<Point>>) -> usize {
    a.len() + b.len() + usize::from(c.is_some())
}

#[maser::task]
fn unresolved(inner: Ref<i64>) -> i64 {
    let _ = inner;
    1
}

#[maser::task]
fn twelve(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
) -> u8 {
    a + b + c + d + e + f + g + h + i + j + k + l
}

#[maser::task]
const fn constant(a: u8) -> u8 {
    a
}

type Callback = fn(&str) -> usize;

#[maser::task(local)]
fn in_process(
    f: Callback,
    g: Box<dyn Fn(&str) -> usize + Send + Sync>,
    name: &'_ str,
) -> &'static str {
    drop((f, g, name.len()));
    "done"
}

fn main() {
    if false {
        let x = raw::remote(1, true);
        patterns::remote(&x, "text", (1, 2), Point { x: 1.0, y: 2.0 }, [1, 2, 3]);
        patterns::remote(
            x,
            String::new(),
            (1, 2),
            Point { x: 1.0, y: 2.0 },
            [1, 2, 3],
        );
        clash::remote(1, (2, 3), 4, 5);
        let text = unresolved_text();
        borrows::remote(
            Point { x: 1.0, y: 2.0 },
            "text",
            vec![1, 2],
            vec![0.5],
            [1, 2, 3, 4],
        );
        borrows::remote(
            Point { x: 1.0, y: 2.0 },
            &text,
            vec![1, 2],
            vec![0.5],
            *b"abcd",
        );
        borrows::remote(
            Point { x: 1.0, y: 2.0 },
            text,
            Vec::new(),
            Vec::new(),
            [0; 4],
        );
        r#match::remote(-1);
        literals::remote(1, 0.5, true, 'c', "text", (), (1, 2.0), [1, 2]);
        owned::remote(Cow::Borrowed("text"), HashMap::new(), None);
        unresolved::remote(maser_ref());
        twelve::remote(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
        constant::remote(1);
        in_process::remote(
            length as Callback,
            Box::new(|text: &str| text.len()) as Box<_>,
            "name",
        );
    }
}

fn length(text: &str) -> usize {
    text.len()
}

#[maser::task]
fn text() -> String {
    String::from("text")
}

fn unresolved_text() -> Ref<String> {
    text::remote()
}

fn maser_ref() -> Ref<i64> {
    r#match::remote(1)
}
