//! Why there is no control memory, and what to do about it.

use std::io;

use super::REGION_ALIGN;

/// What is wrong with control memory or a part of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No control memory has this size.
    #[error("control memory of {bytes} bytes cannot be; ask for 1 byte to {max} bytes")]
    Size {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes of the largest one.
        max: usize,
    },
    /// There is not enough memory.
    #[error(
        "{asked} bytes of control memory are needed and {available} bytes can be had; end other \
         programs, or raise the cgroup's memory.max"
    )]
    MemoryShort {
        /// Bytes asked for.
        asked: usize,
        /// Bytes that can be had.
        available: u64,
    },
    /// The process may not make files as large as this, and memory without a name is a file too.
    #[error(
        "{asked} bytes of control memory are needed and this process may make files of {limit} \
         bytes; raise `ulimit -f`"
    )]
    FileSize {
        /// Bytes asked for.
        asked: usize,
        /// Most bytes of a file.
        limit: u64,
    },
    /// The kernel refused for another reason.
    #[error(
        "cannot {what} control memory of {bytes} bytes: {source}; check `ulimit -n`, `ulimit -v`, \
         `sysctl vm.max_map_count`, and that the sandbox passes memfd_create"
    )]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// Bytes of the memory.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// What arrived can change its size.
    #[error(
        "the control memory of {from} is not sealed, so it could go away under its users; both \
         processes must be of the same build"
    )]
    NotSealed {
        /// The process that sent it.
        from: String,
    },
    /// What arrived has another size.
    #[error("the control memory of {from} has {found} bytes and not {claimed}; it is not used")]
    OtherSize {
        /// The process that sent it.
        from: String,
        /// Bytes it is said to have.
        claimed: u64,
        /// Bytes it has.
        found: u64,
    },
    /// No such part.
    #[error(
        "{bytes} bytes at {offset} are no region of {available} bytes of control memory; a region \
         is not empty, lies inside, and begins at a multiple of {REGION_ALIGN}"
    )]
    Region {
        /// First byte asked for.
        offset: usize,
        /// Bytes asked for.
        bytes: usize,
        /// Bytes there are.
        available: usize,
    },
}
