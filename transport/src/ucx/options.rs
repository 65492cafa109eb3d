//! How a [`UcxTransport`](super::UcxTransport) is opened.

use crate::tcp::{TcpError, TcpOptions};
use maser_ucx_sys::LoadError;

/// How a [`UcxTransport`](super::UcxTransport) is opened.
#[derive(Clone, Debug)]
pub struct UcxOptions {
    /// The connections beside UCX: who is admitted, and who is dead. Its port is what peers connect to.
    pub control: TcpOptions,
    /// The transports that UCX may choose from, as in `UCX_TLS`: `rc,self`, `shm,self`, `tcp,self`. It
    /// chooses from all of them if nothing is said.
    pub tls: Option<String>,
    /// The devices, as in `UCX_NET_DEVICES`.
    pub net_devices: Option<String>,
}

impl UcxOptions {
    /// What UCX would choose, beside these connections.
    #[must_use]
    pub fn new(control: TcpOptions) -> Self {
        Self {
            control,
            tls: None,
            net_devices: None,
        }
    }
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum UcxError {
    /// UCX is not installed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its data was to be protected.
    #[error(
        "ucx does not protect data, and integrity {integrity} is asked for; ask for none where only the job's \
         hosts are on the network, or take tcp"
    )]
    Integrity {
        /// What was asked for.
        integrity: &'static str,
    },
    /// The connections beside it.
    #[error(transparent)]
    Control(#[from] TcpError),
    /// UCX refused.
    #[error(
        "UCX refused {step} with the transports {tls}: {says}; `ucx_info -d` lists those of this machine, and \
         UCX_LOG_LEVEL=info says more"
    )]
    Open {
        /// Which call.
        step: &'static str,
        /// What it said.
        says: String,
        /// What it was to choose from.
        tls: String,
    },
}
