//! What tasks and actors made by the attribute macros do when they run.

mod actors;
mod tasks;

use std::sync::LazyLock;

use maser::{Config, Maser};

/// One runtime for all tests.
fn start() {
    static RUNTIME: LazyLock<Maser> = LazyLock::new(|| {
        Config::new()
            .num_cpus(2)
            .init()
            .expect("the runtime starts")
    });
    LazyLock::force(&RUNTIME);
}
