//! Names of transports, and which of them a name chooses.

use crate::error::{Error, Result};

/// What tensors travel over between the members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Host memory that all processes of the node share: `gloo`, `shm` and `auto`.
    SharedMemory,
}

impl Transport {
    /// What it is called where a name is asked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SharedMemory => "gloo",
        }
    }

    /// The transport of this name: `gloo` and `shm` are host memory, and so is what `auto` picks, as
    /// all tensors lie there.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for `nccl`, which needs GPUs, and for names that nothing has.
    pub fn of_name(name: &str) -> Result<Self> {
        let refuse = |problem: String, remedy: &str| {
            Err(Error::InvalidArgument {
                argument: "transport",
                problem,
                remedy: remedy.to_owned(),
            })
        };
        match name {
            "auto" | "gloo" | "shm" => Ok(Self::SharedMemory),
            "nccl" | "accelerator" => refuse(
                format!("{name:?} moves tensors between GPUs, and maser has no GPU support yet"),
                "use \"gloo\", which moves tensors in host memory",
            ),
            other => refuse(
                format!("there is no transport {other:?}"),
                "use \"auto\", \"gloo\", \"shm\" or \"nccl\"",
            ),
        }
    }
}
