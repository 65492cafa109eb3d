//! The maser command.
fn main() {}
