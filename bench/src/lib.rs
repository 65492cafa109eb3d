//! Microbenchmarks of maser.
