//! How an [`RdmaTransport`](super::RdmaTransport) is opened.

use crate::tcp::{TcpError, TcpOptions};
use std::io;
use std::time::Duration;

/// How an [`RdmaTransport`](super::RdmaTransport) is opened.
#[derive(Clone, Debug)]
pub struct RdmaOptions {
    /// The connection beside every queue pair. Its address is the transport's. Its frames are encrypted
    /// if there is a secret.
    pub tcp: TcpOptions,
    /// The device, by its name; else the first one with an active port.
    pub device: Option<String>,
    /// The port of the device, from 1 on; else the first active one.
    pub port: Option<u8>,
    /// Which of the port's addresses (`ibv_devinfo -v` lists them); else the best for RoCE: version 2 before
    /// version 1, and of those IPv4, then IPv6, then link-local.
    pub gid_index: Option<u32>,
    /// Bytes of payload in a packet at most: 256, 512, 1024, 2048 or 4096; else what both ports have.
    pub mtu_bytes: Option<u32>,
    /// Bytes of messages and puts that travel in the request itself, where the device takes as many. They
    /// are copied once; longer ones twice, or not at all if they are of a region.
    pub inline_bytes: u32,
    /// How long the device waits for an answer before it sends again, which it does seven times. Rounded up
    /// to 4.096 us times a power of two, 8.8 s at most.
    pub retry_after: Duration,
}

impl RdmaOptions {
    /// What fits most machines: the first device, messages of three cache lines inline, and a link that may
    /// be silent for eight seconds.
    #[must_use]
    pub fn new(tcp: TcpOptions) -> Self {
        Self {
            tcp,
            device: None,
            port: None,
            gid_index: None,
            mtu_bytes: None,
            inline_bytes: 192,
            retry_after: Duration::from_secs(1),
        }
    }

    /// The exponent that devices take for [`retry_after`](Self::retry_after).
    pub(super) fn retry_exponent(&self) -> u8 {
        let wanted = self.retry_after.as_nanos();
        (1..=21)
            .find(|exponent| 4096 << exponent >= wanted)
            .unwrap_or(21)
    }
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum RdmaError {
    /// The library is missing.
    #[error("no RDMA: {0}")]
    Library(#[from] maser_rdma_sys::LoadError),
    /// The library finds no device.
    #[error(
        "no RDMA: libibverbs lists no device ({problem}), and /sys/class/infiniband {kernel}; load the \
         driver of the device (mlx5_ib, irdma, rdma_rxe) and ib_uverbs, and install its library \
         (ibverbs-providers)"
    )]
    NoDevice {
        /// What the library said.
        problem: String,
        /// What the kernel lists.
        kernel: String,
    },
    /// The device that was asked for is not there.
    #[error("there is no RDMA device '{asked}'; there are {found}")]
    OtherDevice {
        /// What was asked for.
        asked: String,
        /// What there is.
        found: String,
    },
    /// No port that can be used.
    #[error(
        "RDMA device {device} has no active port ({ports}); connect it, or set its link up (`ip link`, \
         `rdma link`)"
    )]
    NoPort {
        /// Which device.
        device: String,
        /// Its ports and their states.
        ports: String,
    },
    /// No address of the port that can be used.
    #[error(
        "port {port} of RDMA device {device} has no address{asked}; give its network interface an address, \
         or choose one of those that `ibv_devinfo -v` lists"
    )]
    NoAddress {
        /// Which device.
        device: String,
        /// Which port.
        port: u8,
        /// Which address was asked for, if one was.
        asked: String,
    },
    /// The device lacks something.
    #[error("RDMA device {device} {lacks}; use another transport")]
    Unfit {
        /// Which.
        device: String,
        /// What it lacks.
        lacks: String,
    },
    /// A size that there is not.
    #[error("packets of {bytes} bytes; there are 256, 512, 1024, 2048 and 4096")]
    Mtu {
        /// What was asked for.
        bytes: u32,
    },
    /// A call of the library failed.
    #[error("{call} failed for RDMA device {device}: {source}")]
    Device {
        /// Which call.
        call: &'static str,
        /// For which device.
        device: String,
        /// What it said.
        source: io::Error,
    },
    /// The connection beside it.
    #[error(transparent)]
    Tcp(#[from] TcpError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Identity, Role};
    use std::net::{Ipv4Addr, SocketAddr};

    #[test]
    fn the_time_between_tries_is_rounded_up() {
        let mut options = RdmaOptions::new(TcpOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            integrity: None,
            identity: Identity {
                job: [0; 16],
                node: 0,
                role: Role::Node,
            },
            epoch: 0,
            secret: None,
            peer_timeout: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(1),
        });
        let mut exponent = |after| {
            options.retry_after = after;
            options.retry_exponent()
        };
        assert_eq!(exponent(Duration::ZERO), 1);
        assert_eq!(exponent(Duration::from_nanos(8192)), 1);
        assert_eq!(exponent(Duration::from_nanos(8193)), 2);
        assert_eq!(exponent(Duration::from_secs(1)), 18);
        assert_eq!(exponent(Duration::MAX), 21);
    }
}
