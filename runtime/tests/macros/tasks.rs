//! Functions with `#[maser::task]`.

use std::io;
use std::num::ParseIntError;

use maser::{Error, RefStream};

use crate::start;

#[maser::task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[test]
fn a_task_takes_literals_refs_and_refs_to_refs() -> maser::Result<()> {
    start();
    let x = add::remote(1, 2);
    let y = add::remote(&x, 10);
    assert_eq!(add::remote(y, x).get()?, 16);
    assert_eq!(add(1, 2), 3, "the function itself stays");
    Ok(())
}

#[test]
fn options_are_set_one_by_one() -> maser::Result<()> {
    start();
    let sum = add::options()
        .num_cpus(1)
        .num_gpus(0.0)
        .max_retries(3)
        .max_calls(0)
        .name("sum")
        .scheduler(1)
        .remote(1, 2);
    assert_eq!(sum.get()?, 3);
    Ok(())
}

#[test]
fn patterns_get_their_arguments_in_order() -> maser::Result<()> {
    #[maser::task]
    fn patterns(mut a: String, _: u8, (b, c): (u8, u8), [d, .., e]: [u8; 4]) -> String {
        a.push_str(&format!(" {b} {c} {d} {e}"));
        a
    }
    start();
    assert_eq!(
        patterns::remote("a", 0, (1, 2), [3, 4, 5, 6]).get()?,
        "a 1 2 3 6"
    );
    Ok(())
}

#[test]
fn borrowed_parameters_read_the_object_in_place() -> maser::Result<()> {
    /// Cannot be cloned, so a borrow is the only way to reach it through a ref.
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Only(u64);

    #[maser::task]
    fn make(value: u64) -> Only {
        Only(value)
    }
    #[maser::task]
    fn read(only: &Only, text: &str, bytes: &[u8]) -> u64 {
        only.0 + text.len() as u64 + u64::from(bytes[1])
    }
    start();
    let only = make::remote(100);
    assert_eq!(read::remote(&only, "four", vec![1, 2]).get()?, 106);
    assert_eq!(
        read::remote(only, String::from("five"), maser::put(vec![1, 3])).get()?,
        107
    );
    assert_eq!(read::remote(Only(1), "", [7, 8].to_vec()).get()?, 9);
    Ok(())
}

#[maser::task]
fn parse(text: &str) -> Result<i64, ParseIntError> {
    text.parse()
}

#[test]
fn an_error_keeps_its_type_and_its_function() -> maser::Result<()> {
    start();
    assert_eq!(parse::remote("12").get()?, 12);
    let error = parse::remote("twelve")
        .get()
        .expect_err("it is not a number");
    assert_eq!(
        error.downcast_ref::<ParseIntError>(),
        "twelve".parse::<i64>().err().as_ref()
    );
    let Error::Task(task) = error else {
        panic!("{error}")
    };
    assert_eq!(task.function(), "parse");
    assert_eq!(task.actor(), None);
    Ok(())
}

#[test]
fn an_error_names_the_argument_that_brought_it() {
    start();
    let Err(Error::Task(task)) = add::remote(1, parse::remote("two")).get() else {
        panic!("the argument is an error")
    };
    assert_eq!(task.function(), "parse");
    assert_eq!(task.chain()[0].function, "add");
    assert_eq!(task.chain()[0].argument, Some(1));
}

#[test]
fn any_alias_of_result_is_a_result() -> maser::Result<()> {
    mod outcome {
        pub(crate) type Result<T> =
            std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
    }

    #[maser::task]
    fn of_io(fail: bool) -> io::Result<u8> {
        if fail {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(1)
        }
    }
    #[maser::task]
    fn of_boxed(fail: bool) -> outcome::Result<u8> {
        if fail { Err("no".into()) } else { Ok(2) }
    }
    #[maser::task]
    fn of_maser(text: String) -> maser::Result<i64> {
        parse::remote(text).get()
    }
    start();
    assert_eq!(of_io::remote(false).get()?, 1);
    assert_eq!(of_boxed::remote(false).get()?, 2);
    assert_eq!(of_maser::remote("3").get()?, 3);
    let error = of_io::remote(true).get().expect_err("it fails");
    assert_eq!(
        error.downcast_ref::<io::Error>().map(io::Error::kind),
        Some(io::ErrorKind::NotFound)
    );
    let error = of_boxed::remote(true).get().expect_err("it fails");
    assert!(error.to_string().ends_with(": no"), "{error}");
    let error = of_maser::remote("three").get().expect_err("it fails");
    assert!(error.downcast_ref::<ParseIntError>().is_some(), "{error}");
    Ok(())
}

#[maser::task(num_returns = 3)]
fn split(text: &str, at: usize) -> Result<(String, String, usize), io::Error> {
    let (left, right) = text
        .split_at_checked(at)
        .ok_or(io::ErrorKind::InvalidInput)?;
    Ok((left.to_owned(), right.to_owned(), text.len()))
}

#[test]
fn each_part_of_a_tuple_has_a_ref_of_its_own() -> maser::Result<()> {
    start();
    let (left, right, length) = split::remote("abcde", 2);
    assert_eq!(
        (left.get()?, right.get()?, length.get()?),
        ("ab".into(), "cde".into(), 5)
    );
    let (left, right, length) = split::options().name("split").remote("abc", 9);
    assert!(left.get().is_err() && right.get().is_err() && length.get().is_err());
    Ok(())
}

#[maser::task(stream)]
fn count_to(end: u64) -> impl Iterator<Item = u64> {
    0..end
}

#[maser::task(stream)]
fn until(bad: u64) -> io::Result<impl Iterator<Item = io::Result<u64>>> {
    if bad == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((0..).map(move |n| {
        if n < bad {
            Ok(n)
        } else {
            Err(io::ErrorKind::Other.into())
        }
    }))
}

#[test]
fn a_stream_gives_its_items_in_order_and_an_error_as_the_last() -> maser::Result<()> {
    start();
    let items: RefStream<u64> = count_to::remote(100);
    let items = items
        .map(|item| item.get())
        .collect::<maser::Result<Vec<_>>>()?;
    assert_eq!(items, (0..100).collect::<Vec<_>>());

    let mut items = until::options().num_cpus(1).remote(2);
    assert_eq!(items.next().map(|item| item.get()).transpose()?, Some(0));
    assert_eq!(items.next().map(|item| item.get()).transpose()?, Some(1));
    assert!(items.next().is_some_and(|item| item.get().is_err()));
    assert!(items.next().is_none());

    let mut items = until::remote(0);
    assert!(items.next().is_some_and(|item| item.get().is_err()));
    assert!(items.next().is_none());
    Ok(())
}

#[test]
fn local_values_need_no_serde() -> maser::Result<()> {
    #[derive(Clone)]
    struct Plain(u64);

    #[maser::task(local)]
    fn twice(plain: Plain) -> Plain {
        Plain(2 * plain.0)
    }
    #[maser::task(local)]
    fn apply(f: fn(u64) -> u64, plain: &Plain) -> u64 {
        f(plain.0)
    }
    start();
    assert_eq!(
        apply::remote((|x| x + 1) as fn(u64) -> u64, twice::remote(Plain(2))).get()?,
        5
    );
    Ok(())
}

#[test]
fn defaults_of_the_attribute_are_checked_against_the_node() {
    #[maser::task(num_cpus = 64)]
    fn greedy() {}

    start();
    let error = greedy::remote().get().expect_err("there are two CPUs");
    assert!(matches!(error, Error::Infeasible { .. }), "{error}");
}
