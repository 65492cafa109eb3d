//! Competitors with their best known settings, one file each: release build, pinned by the
//! harness, warm, spinning where they can spin. What they cannot do stands in their note.

mod crossbeam_channel;
mod disruptor;
mod epoll_socket;
mod glommio;
mod iceoryx2;
mod iperf3;
mod monoio;
mod program;
pub mod ray;
mod rayon;
mod rtrb;
mod tokio;
mod tokio_socket;
mod ucx_perftest;
mod unix_socket;

pub use self::crossbeam_channel::Crossbeam;
pub use self::disruptor::Disruptor;
pub use self::epoll_socket::EpollSocket;
pub use self::glommio::Glommio;
pub(crate) use self::iceoryx2::Iceoryx2There;
pub use self::iceoryx2::{Iceoryx2, Iceoryx2Loan};
pub use self::iperf3::Iperf3;
pub use self::monoio::Monoio;
pub use self::rayon::{ForkJoin, ScopeSpawn};
pub use self::rtrb::{Rtrb, RtrbChunks};
pub use self::tokio::{
    ActorCallers, ActorCross, ActorLocal, ActorPipelined, SpawnBatch, SpawnJoin,
};
pub use self::tokio_socket::TokioSocket;
pub use self::ucx_perftest::{UcxFigure, UcxPerftest, UcxTest};
pub use self::unix_socket::UnixSocket;
pub(crate) use self::unix_socket::UnixSocketThere;
