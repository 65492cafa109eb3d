//! Constructors, methods of every kind, and what stays as it is.

#![deny(warnings)]

use std::io;

use maser::{Actor, Ref, RefStream};

/// Keeps rows.
pub struct Table {
    rows: Vec<String>,
}

#[maser::actor(max_concurrency = 4, num_cpus = 0.5)]
impl Table {
    /// A constant stays.
    pub const ROWS_MAX: usize = 1024;

    /// Fails without a name.
    pub fn new(name: &str, rows: [u8; Self::SIZE]) -> Result<Self, io::Error> {
        if name.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self {
            rows: rows.iter().map(|row| format!("{name} {row}")).collect(),
        })
    }

    const SIZE: usize = 2;

    /// A function without `self` stays.
    pub fn describe() -> &'static str {
        "a table"
    }

    /// A generic one too.
    pub fn with<T>(value: T) -> T {
        value
    }

    pub fn push(&mut self, mut row: String, _: u8) {
        row.make_ascii_uppercase();
        self.rows.push(row);
    }

    pub fn count(&self) -> usize {
        self.rows.len()
    }

    pub fn find(&self, row: &str, default: Option<usize>) -> io::Result<usize> {
        self.rows
            .iter()
            .position(|r| r == row)
            .or(default)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub async fn slow(&self, row: &str) -> io::Result<usize> {
        self.find(row, None)
    }

    async fn change(&mut self, at: usize, row: String) {
        self.rows[at] = row;
    }

    pub fn with_array(&self, numbers: [u64; Self::SIZE]) -> [u64; Self::SIZE] {
        numbers
    }

    #[maser(num_returns = 2)]
    pub fn split(&mut self, at: usize) -> (Vec<String>, usize) {
        (self.rows.split_off(at), self.rows.len())
    }

    #[maser(num_returns = 2)]
    pub fn sizes(&self) -> maser::Result<(usize, usize)> {
        Ok((self.rows.len(), self.rows.capacity()))
    }

    #[maser(stream)]
    pub fn rows(&self) -> impl Iterator<Item = String> {
        self.rows.iter().cloned()
    }

    #[maser(stream)]
    pub fn drain(&mut self, prefix: &str) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        Ok(self
            .rows
            .drain(..)
            .filter(move |row| row.starts_with(prefix))
            .map(Ok))
    }

    #[cfg(not(target_os = "linux"))]
    pub fn gone(&self, missing: Missing) -> Missing {
        missing
    }

    #[cfg(target_os = "linux")]
    pub fn kept(&self) -> bool {
        true
    }

    #[maser(skip)]
    pub fn into_rows(self) -> Vec<String> {
        self.rows
    }

    #[maser(skip)]
    pub fn generic<T: AsRef<str>>(&mut self, row: T) -> &mut Self {
        self.rows.push(row.as_ref().to_owned());
        self
    }

    // The names of the handle's functions and of generated locals.
    pub fn kill(&self) {}
    pub fn id(&self) -> u64 {
        1
    }
    pub fn this(&self, this: u8, options: u8, item: u8, emit: u8) -> u8 {
        this + options + item + emit
    }
    pub fn r#loop(&self) {}
}

/// Not serialisable.
pub struct Handle(std::sync::Mutex<u8>);

struct Local {
    #[allow(dead_code)]
    pointer: *const u8,
}

#[maser::actor(local)]
impl Local {
    fn new() -> Local {
        Local {
            pointer: std::ptr::null(),
        }
    }
    fn lock(&mut self, handle: &Handle) -> Handle {
        Handle(std::sync::Mutex::new(*handle.0.lock().unwrap()))
    }
}

enum Kind {
    A,
}

#[maser::actor]
impl self::Kind {
    fn new() -> Self {
        Self::A
    }
}

fn main() {
    if false {
        let table: Actor<Table> = Table::remote("name", [1, 2]);
        let other = Table::options()
            .name("b")
            .max_concurrency(2)
            .num_cpus(1)
            .remote("name", [1, 2]);
        let _: Ref<()> = table.push().remote("text", 1);
        let length: Ref<usize> = other.clone().count().remote();
        let _: Ref<usize> = table.find().remote("text", Some(1));
        let _: Ref<usize> = table.slow().remote("text");
        let _: Ref<()> = table.change().remote(&length, "text");
        let _: Ref<[u64; 2]> = table.with_array().remote([1, 2]);
        let _: (Ref<Vec<String>>, Ref<usize>) = table.split().remote(length);
        let (_, _) = table.sizes().remote();
        let _: RefStream<String> = table.rows().remote();
        let _: RefStream<String> = table.drain().remote("text");
        let _: Ref<bool> = table.kept().remote();
        let _: Ref<()> = table.kill().with(maser::CallOptions::default()).remote();
        let _: Ref<u64> = table.id().remote();
        let _: Ref<u8> = table.this().remote(1, 2, 3, 4);
        let _: Ref<()> = table.r#loop().remote();
        let local = Local::options().remote();
        local.lock().remote(Handle(std::sync::Mutex::new(1)));
        let _: Actor<Kind> = Kind::remote();
        let _ = (Table::describe(), Table::with(Table::ROWS_MAX));
        let mut table = Table::new("a", [1, 2]).unwrap();
        table.generic("b");
        let _ = table.into_rows();
    }
}
