//! `impl` blocks with `#[maser::actor]`, and steps of graphs.

use std::io;

use maser::prelude::*;
use maser::{Cause, Error};

use crate::start;

struct Table {
    rows: Vec<String>,
}

#[maser::actor(max_concurrency = 2)]
impl Table {
    const ROWS_MAX: usize = 4;

    fn new(first: &str, copies: usize) -> Result<Self, io::Error> {
        if copies > Self::ROWS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self {
            rows: vec![first.to_owned(); copies],
        })
    }

    fn push(&mut self, mut row: String) -> usize {
        row.make_ascii_uppercase();
        self.rows.push(row);
        self.rows.len()
    }

    fn get(&self, index: usize) -> io::Result<String> {
        self.rows
            .get(index)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn later(&self, index: usize) -> io::Result<String> {
        self.get(index)
    }

    async fn replace(&mut self, index: usize, row: &str) -> String {
        std::mem::replace(&mut self.rows[index], row.to_owned())
    }

    #[maser(num_returns = 2)]
    fn ends(&self) -> (String, String) {
        (self.rows[0].clone(), self.rows[self.rows.len() - 1].clone())
    }

    #[maser(num_returns = 2)]
    fn pop(&mut self, expected: &str) -> io::Result<(String, usize)> {
        match self.rows.pop() {
            Some(row) if row == expected => Ok((row, self.rows.len())),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    #[maser(stream)]
    fn all(&self) -> impl Iterator<Item = String> {
        self.rows.iter().cloned()
    }

    #[maser(stream)]
    fn drain(&mut self, until: &str) -> impl Iterator<Item = io::Result<String>> {
        let rows = self.rows.drain(..);
        rows.map(move |row| {
            if row == until {
                Err(io::ErrorKind::Other.into())
            } else {
                Ok(row)
            }
        })
    }

    fn nothing(&self) {}

    // Free functions of maser have these names too; the handle has no functions of its own.
    fn kill(&self) -> usize {
        self.rows.len()
    }
    fn id(&self) -> usize {
        1
    }

    #[maser(skip)]
    fn last_mut(&mut self) -> Option<&mut String> {
        self.rows.last_mut()
    }
}

#[test]
fn an_actor_keeps_its_state_between_calls() -> maser::Result<()> {
    start();
    let table: Actor<Table> = Table::remote("a", 1);
    let length = table.push().remote("b");
    assert_eq!(length.get()?, 2);
    assert_eq!(table.get().remote(1).get()?, "B");
    assert_eq!(table.clone().push().remote(table.get().remote(0)).get()?, 3);
    assert_eq!(table.kill().remote().get()?, 3);
    assert_eq!(
        table
            .id()
            .with(maser::CallOptions::default())
            .remote()
            .get()?,
        1
    );
    table.nothing().remote().get()
}

#[test]
fn the_block_itself_works_as_before() -> io::Result<()> {
    let mut table = Table::new("a", 1)?;
    assert_eq!(table.push("b".into()), 2);
    assert_eq!(table.last_mut().map(|row| row.as_str()), Some("B"));
    Ok(())
}

#[test]
fn a_method_that_fails_names_its_actor_and_keeps_the_state() -> maser::Result<()> {
    start();
    let table = Table::remote("a", maser::put(2_usize));
    let Err(Error::Task(task)) = table.get().remote(7).get() else {
        panic!("there is no row 7")
    };
    assert_eq!(task.function(), "Table::get");
    assert!(
        task.actor().is_some_and(|actor| actor.contains("Table")),
        "{task}"
    );
    assert!(matches!(task.cause(), Cause::Returned(_)), "{task}");
    assert_eq!(table.kill().remote().get()?, 2);
    Ok(())
}

#[test]
fn a_constructor_that_fails_shows_at_the_first_call() {
    start();
    let table = Table::options().name("never").num_cpus(0).remote("a", 5);
    let error = table
        .kill()
        .remote()
        .get()
        .expect_err("the constructor failed");
    assert!(error.to_string().contains("Table"), "{error}");
}

#[test]
fn async_methods_run_on_both_kinds_of_borrow() -> maser::Result<()> {
    start();
    let table = Table::remote("a", 2);
    assert_eq!(table.replace().remote(1, "z").get()?, "a");
    assert_eq!(table.later().remote(1).get()?, "z");
    let error = table
        .later()
        .remote(2)
        .get()
        .expect_err("there is no row 2");
    assert_eq!(
        error.downcast_ref::<io::Error>().map(io::Error::kind),
        Some(io::ErrorKind::NotFound)
    );
    Ok(())
}

#[test]
fn methods_give_tuples_of_refs_and_streams() -> maser::Result<()> {
    start();
    let table = Table::remote("a", 3);
    table.replace().remote(2, "c").get()?;
    let (first, last) = table.ends().remote();
    assert_eq!((first.get()?, last.get()?), ("a".into(), "c".into()));
    let (row, left) = table.pop().remote("c");
    assert_eq!((row.get()?, left.get()?), ("c".into(), 2));
    let (row, left) = table.pop().remote("c");
    assert!(row.get().is_err() && left.get().is_err());

    table.push().remote("b").get()?;
    let all = table
        .all()
        .remote()
        .map(|row| row.get())
        .collect::<maser::Result<Vec<_>>>()?;
    assert_eq!(all, ["a", "B"]);
    let drained = table
        .drain()
        .remote("B")
        .map(|row| row.get())
        .collect::<Vec<_>>();
    assert_eq!(drained.len(), 2);
    assert_eq!(drained[0].as_deref().ok(), Some("a"));
    assert!(drained[1].is_err());
    assert_eq!(table.kill().remote().get()?, 0);
    Ok(())
}

#[test]
fn a_local_actor_takes_and_gives_what_serde_cannot() -> maser::Result<()> {
    struct Keeper {
        // Neither Send nor Sync: the state never leaves its scheduler.
        kept: std::rc::Rc<std::cell::Cell<u64>>,
    }
    struct Plain(u64);

    #[maser::actor(local)]
    impl Keeper {
        fn new() -> Self {
            Keeper {
                kept: std::rc::Rc::default(),
            }
        }
        fn keep(&self, plain: &Plain) -> Plain {
            Plain(self.kept.replace(plain.0))
        }
    }
    start();
    let keeper = Keeper::options().scheduler(0).remote();
    assert_eq!(keeper.keep().remote(Plain(3)).read()?.0, 0);
    let plain = keeper.keep().remote(Plain(4));
    assert_eq!(keeper.keep().remote(plain).take()?.0, 4);
    Ok(())
}

#[test]
fn tasks_and_methods_are_steps_of_a_graph() -> maser::Result<()> {
    #[maser::task]
    fn length(text: &str, more: u64) -> u64 {
        text.len() as u64 + more
    }

    struct Echo;

    #[maser::actor]
    impl Echo {
        fn new() -> Self {
            Echo
        }
        fn echo(&mut self, text: String) -> String {
            text + "!"
        }
        fn both(&self, left: &str, right: u64) -> Result<String, io::Error> {
            Ok(format!("{left}{right}"))
        }
    }
    start();
    let echo = Echo::remote();
    let graph = Graph::new(|text: Node<String>| {
        let longer = echo.echo().bind(text);
        echo.both().bind(longer, length::bind(longer, 10))
    })
    .compile()?;
    assert_eq!(graph.execute("abc")?.get()?, "abc!14");
    assert_eq!(graph.execute("")?.get()?, "!11");
    graph.teardown()
}
