//! Where tests record runs of graphs.

use std::io::Write;
use std::sync::{Arc, Mutex};

use maser::Recording;

/// What was written, also after its writer is gone.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// As one that can be replayed.
    ///
    /// # Panics
    /// If it is none.
    pub fn recording(&self) -> Recording {
        Recording::from_bytes("memory", &self.bytes()).expect("a recording")
    }

    /// All of it.
    ///
    /// # Panics
    /// If a writer panicked.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no writer panics").clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
