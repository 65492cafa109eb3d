//! Why there is no figure.

use super::dialogue::BadSaying;
use super::spec::BadSpec;
use maser_transport::rdma::RdmaError;
use maser_transport::sm::SmError;
use maser_transport::tcp::TcpError;
use maser_transport::transport::{ConnectError, RegisterError};
use maser_transport::ucx::UcxError;
use maser_transport::{EndReason, Refusal, TransportKind, WorkError};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// See the module's page.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    #[error(
        "measure with whom? Give the address of a server, or --listen to be one, or --local for both ends \
         in this process"
    )]
    NoEnd,
    #[error(
        "`{text}` is no address: {problem}; give it as `maser perf --listen` printed it, for instance \
         tcp:10.0.0.1:7471"
    )]
    Address { text: String, problem: String },
    #[error(
        "an address of {found} and --transport {wanted}; leave --transport out, or start the server with \
         --transport {wanted} as well"
    )]
    OtherTransport {
        found: TransportKind,
        wanted: TransportKind,
    },
    #[error("{kind} joins ends of one process alone; measure it with `maser perf --local`")]
    OneProcess { kind: TransportKind },
    #[error("cannot read the secret of {path}: {source}")]
    SecretFile { path: PathBuf, source: io::Error },
    #[error(
        "{path} has {bytes} bytes, and a secret is 32 bytes or 64 hexadecimal digits; make one with \
         `head -c 32 /dev/urandom > {path}` and give it to both ends"
    )]
    Secret { path: PathBuf, bytes: usize },
    #[error(
        "--integrity {asked} needs a secret that both ends have, or everybody could change what travels; \
         give --secret-file FILE at both ends"
    )]
    NoSecret { asked: &'static str },
    #[error("{0}")]
    Tcp(#[from] TcpError),
    #[error("{0}")]
    Sm(#[from] SmError),
    #[error("{0}")]
    Rdma(#[from] RdmaError),
    #[error("{0}")]
    Ucx(#[from] UcxError),
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Register(#[from] RegisterError),
    #[error(
        "nobody answers at {address}: {problem}; start `maser perf --listen` there and give the address \
         that it prints"
    )]
    NobodyThere { address: String, problem: String },
    #[error(
        "{address} takes no connection from here: {problem}; start both ends with the same version, \
         --transport and --secret-file"
    )]
    NotAdmitted { address: String, problem: String },
    #[error("the connection ended: {0}")]
    Lost(EndReason),
    #[error(
        "the peer has been silent for {waited:?} where it was to say `{wanted}`; is it `maser perf`, and \
         not stopped?"
    )]
    NoAnswer {
        wanted: &'static str,
        waited: Duration,
    },
    #[error("the server says: {0}")]
    RefusedThere(String),
    #[error("{0}")]
    Spec(#[from] BadSpec),
    #[error("the peer says what makes no sense: {0}; use the same version at both ends")]
    Saying(#[from] BadSaying),
    #[error(
        "the peer said `{found}` where `{wanted}` was to come; use the same version at both ends"
    )]
    OutOfTurn {
        wanted: &'static str,
        found: &'static str,
    },
    #[error("a request was not taken: {0}")]
    Refused(Refusal),
    #[error("a request failed: {0}")]
    Work(#[from] WorkError),
    #[error("the result is wrong, so there is no figure: {0}")]
    Wrong(String),
    #[error("cannot wait for the transport: {0}")]
    Wait(io::Error),
    #[error("cannot run on CPU {cpu}: {problem}")]
    Cpu { cpu: usize, problem: String },
}

impl PerfError {
    /// Whether another command line is what helps, whatever the machine and the peer do.
    pub fn is_of_the_arguments(&self) -> bool {
        matches!(
            self,
            Self::NoEnd
                | Self::Address { .. }
                | Self::OtherTransport { .. }
                | Self::OneProcess { .. }
                | Self::SecretFile { .. }
                | Self::Secret { .. }
                | Self::NoSecret { .. }
                | Self::Spec(_)
                | Self::Tcp(TcpError::NoSecret { .. })
        )
    }
}
