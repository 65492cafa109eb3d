//! The four stages as actors. What passes between them is cloned by count, never copied.

use crate::latency::{Latencies, Quantiles};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// zstd's own default.
const LEVEL: i32 = 3;

/// A file's content, or its compressed form.
pub type Bytes = Arc<Vec<u8>>;

/// What is left of a file at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub bytes: u64,
    pub packed_bytes: u64,
    pub digest: blake3::Hash,
}

/// Reads files.
pub struct Reader {
    latencies: Latencies,
}

#[maser::actor(local)]
impl Reader {
    pub fn new() -> Self {
        Self {
            latencies: Latencies::new(),
        }
    }

    pub fn read(&mut self, path: Arc<Path>) -> io::Result<Bytes> {
        self.latencies.of(|| std::fs::read(&path)).map(Arc::new)
    }

    pub fn latency(&self) -> Quantiles {
        self.latencies.quantiles()
    }
}

/// Hashes with BLAKE3.
pub struct Hasher {
    latencies: Latencies,
}

#[maser::actor(local)]
impl Hasher {
    pub fn new() -> Self {
        Self {
            latencies: Latencies::new(),
        }
    }

    pub fn hash(&mut self, bytes: Bytes) -> blake3::Hash {
        self.latencies.of(|| blake3::hash(&bytes))
    }

    pub fn latency(&self) -> Quantiles {
        self.latencies.quantiles()
    }
}

/// Compresses with zstd.
pub struct Compressor {
    latencies: Latencies,
    zstd: zstd::bulk::Compressor<'static>,
}

#[maser::actor(local)]
impl Compressor {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            latencies: Latencies::new(),
            zstd: compressor()?,
        })
    }

    pub fn compress(&mut self, bytes: Bytes) -> io::Result<Bytes> {
        self.latencies
            .of(|| self.zstd.compress(&bytes))
            .map(Arc::new)
    }

    pub fn latency(&self) -> Quantiles {
        self.latencies.quantiles()
    }
}

/// Checks what the others made of a file.
pub struct Collector {
    latencies: Latencies,
    zstd: zstd::bulk::Decompressor<'static>,
}

#[maser::actor(local)]
impl Collector {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            latencies: Latencies::new(),
            zstd: zstd::bulk::Decompressor::new()?,
        })
    }

    pub fn collect(
        &mut self,
        bytes: Bytes,
        digest: blake3::Hash,
        packed: Bytes,
    ) -> io::Result<Outcome> {
        self.latencies
            .of(|| check(&mut self.zstd, &bytes, digest, &packed))
    }

    pub fn latency(&self) -> Quantiles {
        self.latencies.quantiles()
    }
}

/// Decompresses `packed` and compares its hash with `digest`.
///
/// # Errors
/// What zstd refuses, and a hash that is another.
pub fn check(
    zstd: &mut zstd::bulk::Decompressor<'_>,
    bytes: &[u8],
    digest: blake3::Hash,
    packed: &[u8],
) -> io::Result<Outcome> {
    let unpacked = zstd.decompress(packed, bytes.len())?;
    if blake3::hash(&unpacked) != digest {
        return Err(io::Error::other(
            "what was decompressed is not what was compressed",
        ));
    }
    Ok(Outcome {
        bytes: bytes.len() as u64,
        packed_bytes: packed.len() as u64,
        digest,
    })
}

/// The compressor that the plain loop uses too.
///
/// # Errors
/// zstd's.
pub fn compressor() -> io::Result<zstd::bulk::Compressor<'static>> {
    zstd::bulk::Compressor::new(LEVEL)
}
