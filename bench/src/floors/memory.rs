//! Copies between two buffers that stay where they are, and memory that nobody has touched.

use std::hint::black_box;
use std::os::fd::AsFd;
use std::sync::Arc;

use maser_shm::os::shared_memory::{self, PageKind, View};

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

/// One more handle of a value that is there, and its end: the least that a counted `get` is.
#[derive(Debug)]
pub struct ArcClone(Arc<[u8; 1_024]>);

impl Default for ArcClone {
    fn default() -> Self {
        Self(Arc::new([7; 1_024]))
    }
}

impl Contender for ArcClone {
    fn name(&self) -> &'static str {
        "floor/arc_clone"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let mut sum = 0;
        window.time(|| {
            let handle = black_box(Arc::clone(black_box(&self.0)));
            sum += u64::from(handle[0]);
        });
        check(self.name(), 7 * window.calls(), sum)
    }
}

/// A copy into memory that the allocator has just fetched from the system: pages are faulted in by
/// the copy.
#[derive(Debug)]
pub struct FreshCopy {
    from: Arc<[u8]>,
}

impl FreshCopy {
    /// Copies of `from`.
    pub fn new(from: &Arc<[u8]>) -> Self {
        let from = Arc::clone(from);
        Self { from }
    }
}

impl Contender for FreshCopy {
    fn name(&self) -> &'static str {
        "fresh memory"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let mut bytes = 0;
        window.time(|| bytes += black_box(self.from.to_vec()).len() as u64);
        check(self.name(), window.calls() * self.from.len() as u64, bytes)
    }
}

/// First touch of memory fresh from the system, a byte a page.
#[derive(Debug, Default)]
pub struct FirstTouch;

impl FirstTouch {
    /// Bytes touched a call.
    pub const BYTES: usize = 4 << 20;
    const PAGE_BYTES: usize = 4_096;
}

impl Contender for FirstTouch {
    fn name(&self) -> &'static str {
        "floor/first_touch"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let pages = (Self::BYTES / Self::PAGE_BYTES) as u64;
        let (mut touched, mut failed) = (0, None);
        window.time_many(pages, || {
            let file = shared_memory::create("maser-bench", PageKind::Plain, Self::BYTES);
            let view = file.and_then(|file| View::map(file.as_fd(), Self::BYTES, true));
            match view.and_then(|view| view.populate(0, Self::BYTES)) {
                Ok(()) => touched += pages,
                Err(error) => failed = Some(error),
            }
        });
        match failed {
            Some(error) => Err(BenchError::contender(self.name(), error)),
            None => check(self.name(), window.calls() * pages, touched),
        }
    }
}
