//! The attribute macros of maser.
