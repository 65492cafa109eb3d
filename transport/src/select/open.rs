//! Which transports are opened, and how: a line for each.

use super::preference::{BadPreference, Preference};
use super::selection::Opened;
use crate::endpoint::TransportKind;
use crate::rdma::{RdmaOptions, RdmaTransport};
use crate::sm::{SmOptions, SmTransport};
use crate::tcp::{TcpOptions, TcpTransport};
use crate::transport::Transport;
use crate::ucx::{UcxOptions, UcxTransport};
use maser_shm::liveness::LivenessError;
use std::fmt::Display;

/// How [`Transports`](super::Transports) are opened. What has no options is not opened.
#[derive(Clone, Debug, Default)]
pub struct SelectOptions {
    /// Which may be taken, and which of them first.
    pub preference: Preference,
    /// Shared memory.
    pub sm: Option<SmOptions>,
    /// RDMA verbs.
    pub rdma: Option<RdmaOptions>,
    /// UCX.
    pub ucx: Option<UcxOptions>,
    /// TCP.
    pub tcp: Option<TcpOptions>,
}

impl SelectOptions {
    /// All transports, those between hosts by way of the same options of TCP. Those that are opened after
    /// the first of them listen at ports of their own, whichever are free.
    #[must_use]
    pub fn all(preference: Preference, tcp: TcpOptions) -> Self {
        let mut beside = tcp.clone();
        beside.listen.set_port(0);
        Self {
            preference,
            sm: Some(SmOptions::default()),
            rdma: Some(RdmaOptions::new(beside.clone())),
            ucx: Some(UcxOptions::new(beside)),
            tcp: Some(tcp),
        }
    }
}

/// Why there are no transports.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// What was asked for cannot be.
    #[error(transparent)]
    Preference(#[from] BadPreference),
    /// A transport that was asked for by name is not there.
    #[error("{} asks for {kind}, which is not there: {reason}", super::VARIABLE)]
    NotThere {
        /// Which.
        kind: TransportKind,
        /// Why.
        reason: String,
    },
    /// Nothing can be opened.
    #[error("no transport can be opened: {reasons}")]
    None {
        /// Why each of them cannot.
        reasons: String,
    },
    /// It is not known where this process is.
    #[error("cannot tell which host this is: {0}")]
    Host(#[from] LivenessError),
}

type Attempt = Option<Result<Box<dyn Transport>, String>>;

fn boxed<T: Transport + 'static>(
    opened: Result<T, impl Display>,
) -> Result<Box<dyn Transport>, String> {
    match opened {
        Ok(transport) => Ok(Box::new(transport)),
        Err(error) => Err(error.to_string()),
    }
}

/// Opens one; nothing if it has no options.
fn open(kind: TransportKind, options: &SelectOptions) -> Attempt {
    match kind {
        TransportKind::Sm => options.sm.map(|sm| boxed(SmTransport::open(sm))),
        TransportKind::Rdma => options
            .rdma
            .clone()
            .map(|rdma| boxed(RdmaTransport::open(rdma))),
        TransportKind::Ucx => options
            .ucx
            .clone()
            .map(|ucx| boxed(UcxTransport::open(ucx))),
        TransportKind::Tcp => options
            .tcp
            .clone()
            .map(|tcp| boxed(TcpTransport::open(tcp))),
        TransportKind::Loopback => None,
    }
}

/// What was opened, and what became of each that was to be.
pub(super) struct OpenedAll {
    pub(super) ends: Vec<Box<dyn Transport>>,
    pub(super) opened: Vec<Opened>,
}

/// Opens what the preference names, in its order, and says what became of each.
pub(super) fn open_all(options: &SelectOptions) -> Result<OpenedAll, SelectError> {
    let mut ends = Vec::new();
    let mut opened = Vec::new();
    for kind in options.preference.kinds().iter().copied() {
        let outcome = match open(kind, options) {
            None => Err("it was not asked for here".into()),
            Some(Err(reason)) => Err(reason),
            Some(Ok(end)) => {
                let capabilities = end.capabilities();
                ends.push(end);
                Ok(capabilities)
            }
        };
        if let (Err(reason), true) = (&outcome, options.preference.is_forced()) {
            let reason = reason.clone();
            return Err(SelectError::NotThere { kind, reason });
        }
        opened.push(Opened { kind, outcome });
    }
    if ends.is_empty() {
        let reason = |one: &Opened| Some(format!("{}: {}", one.kind, one.outcome.clone().err()?));
        let reasons: Vec<_> = opened.iter().filter_map(reason).collect();
        let reasons = reasons.join("; ");
        return Err(SelectError::None { reasons });
    }
    Ok(OpenedAll { ends, opened })
}
