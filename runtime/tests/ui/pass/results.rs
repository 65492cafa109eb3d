//! Every kind of result: none, values, results under any alias, tuples, streams.

#![deny(warnings)]

use std::fmt;
use std::io;

use maser::{Ref, RefStream};

type Text<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[maser::task]
fn nothing() {}

#[maser::task]
fn of_std(text: String) -> std::result::Result<i64, std::num::ParseIntError> {
    text.parse()
}

#[maser::task]
fn of_io() -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

#[maser::task]
fn of_fmt() -> fmt::Result {
    Ok(())
}

#[maser::task]
fn of_maser(x: i64) -> maser::Result<i64> {
    nothing::remote().get()?;
    Ok(x)
}

mod alias {
    pub(crate) type Result<T> = super::Text<T>;
}

#[maser::task]
fn of_alias() -> alias::Result<bool> {
    Err("no".into())
}

#[maser::task(num_returns = 2)]
fn pair() -> (i64, String) {
    (1, String::new())
}

#[maser::task(num_returns = 3)]
fn triple() -> Result<(i64, String, ()), io::Error> {
    Ok((1, String::new(), ()))
}

#[maser::task(num_returns = 1, num_cpus = 2, num_gpus = 0.5, max_calls = 3, max_retries = -1)]
fn one() -> (i64, String) {
    (1, String::new())
}

#[maser::task(stream)]
fn items(n: u64) -> impl Iterator<Item = u64> {
    0..n
}

#[maser::task(stream)]
fn fallible_items(n: u64) -> impl Iterator<Item = Result<u64, io::Error>> + Send {
    (0..n).map(Ok)
}

#[maser::task(stream)]
fn listed() -> Vec<String> {
    Vec::new()
}

#[maser::task(stream)]
fn boxed() -> Box<dyn Iterator<Item = u8> + Send> {
    Box::new(std::iter::empty())
}

#[maser::task(stream)]
fn opened(text: String) -> io::Result<std::vec::IntoIter<u8>> {
    Ok(text.into_bytes().into_iter())
}

fn main() {
    if false {
        let _: Ref<()> = nothing::remote();
        let _: Ref<i64> = of_std::remote("1");
        let _: Ref<Vec<u8>> = of_io::remote();
        let _: Ref<()> = of_fmt::remote();
        let _: Ref<i64> = of_maser::remote(1);
        let _: Ref<bool> = of_alias::remote();
        let _: (Ref<i64>, Ref<String>) = pair::remote();
        let (_, _, _): (Ref<i64>, Ref<String>, Ref<()>) = triple::options().num_cpus(1).remote();
        let _: Ref<(i64, String)> = one::remote();
        let _: RefStream<u64> = items::remote(3);
        let _: RefStream<u64> = fallible_items::options().name("items").remote(3);
        let _: RefStream<String> = listed::remote();
        let _: RefStream<u8> = boxed::remote();
        let _: RefStream<u8> = opened::remote("text");
    }
}
