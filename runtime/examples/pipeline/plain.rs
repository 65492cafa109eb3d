//! The same work without actors: one file after the other, on one thread.

use crate::files::Found;
use crate::stages::{self, Outcome};
use indicatif::ProgressBar;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The loop and what it uses again for every file, as the actors do.
pub struct Loop {
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl Loop {
    /// # Errors
    /// zstd's.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            compressor: stages::compressor()?,
            decompressor: zstd::bulk::Decompressor::new()?,
        })
    }

    /// One pass.
    pub fn pass(&mut self, files: &[Arc<Path>], bar: &ProgressBar) -> Vec<Found> {
        let each = files.iter().map(|file| {
            bar.inc(1);
            self.file(file).map_err(|error| error.to_string())
        });
        each.collect()
    }

    fn file(&mut self, path: &Path) -> io::Result<Outcome> {
        let bytes = std::fs::read(path)?;
        let digest = blake3::hash(&bytes);
        let packed = self.compressor.compress(&bytes)?;
        stages::check(&mut self.decompressor, &bytes, digest, &packed)
    }
}
