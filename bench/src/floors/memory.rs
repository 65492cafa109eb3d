//! Copies between two buffers that stay where they are.

use std::hint::black_box;

use crate::harness::{BenchError, Contender, Window, check};

/// `copy_from_slice` of a fixed size, both buffers warm.
#[derive(Debug)]
pub struct Memcpy {
    name: &'static str,
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Memcpy {
    /// Copies of `bytes`.
    pub fn new(name: &'static str, bytes: usize) -> Self {
        let from = (0..bytes).map(|index| (index % 251) as u8).collect();
        Self {
            name,
            from,
            to: vec![0; bytes],
        }
    }
}

impl Contender for Memcpy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        self.to.fill(0);
        window.time(|| black_box(&mut self.to).copy_from_slice(black_box(&self.from)));
        check(self.name, true, self.from == self.to)
    }
}
