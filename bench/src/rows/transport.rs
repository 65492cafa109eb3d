//! What crosses a transport: `transport/NAME/rtt/SIZE`, `stream/SIZE`, `messages/SIZE`, `parked`, each also `/mac`
//! where what travels is protected.
//!
//! The floor of a round trip is a bare socket that both sides poll, of one that sleeps a bare socket that
//! blocks; for what goes over memory it is a cache line each way. A stream is compared with the strongest of a
//! bare socket and iperf3. A row with integrity has the transport without it as a peer.

pub(super) mod idle;
mod lineup;

use crate::ends::{Loopback, Sm, Tcp, TcpVeth, UcxShm, UcxTcp};
use crate::harness::{BenchError, Context, Lineup, Offer, Row, Unit};

use lineup::{parked, puts, round_trip, sends};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

type Build = fn(&Context) -> Result<Offer<Lineup>, BenchError>;

/// The rows of one transport, with what travels protected or not.
macro_rules! rows_of {
    ($open:ty, $name:literal, $suffix:literal, $is_protected:literal) => {
        vec![
            latency(
                concat!("transport/", $name, "/rtt/64B", $suffix),
                RTT,
                round_trip::<$open, 64, $is_protected>,
            ),
            latency(
                concat!("transport/", $name, "/rtt/4KiB", $suffix),
                RTT,
                round_trip::<$open, { 4 * KIB }, $is_protected>,
            ),
            latency(
                concat!("transport/", $name, "/rtt/64KiB", $suffix),
                RTT,
                round_trip::<$open, { 64 * KIB }, $is_protected>,
            ),
            latency(
                concat!("transport/", $name, "/parked", $suffix),
                PARKED,
                parked::<$open, $is_protected>,
            ),
            rate(
                concat!("transport/", $name, "/stream/64B", $suffix),
                SENDS,
                sends::<$open, 64, $is_protected>,
            ),
            rate(
                concat!("transport/", $name, "/stream/64KiB", $suffix),
                PUTS,
                puts::<$open, { 64 * KIB }, $is_protected>,
            ),
            rate(
                concat!("transport/", $name, "/stream/1MiB", $suffix),
                PUTS,
                puts::<$open, MIB, $is_protected>,
            ),
            rate(
                concat!("transport/", $name, "/messages/1MiB", $suffix),
                SENDS,
                sends::<$open, MIB, $is_protected>,
            ),
        ]
    };
}

const RTT: &str = "a message there and back, both sides polling";
const PARKED: &str = "64 B there and back, both sides sleeping until it comes";
const SENDS: &str = "messages one way";
const PUTS: &str = "puts one way, into a region of the peer";

/// Rows that run without being asked for: one for each figure that matters most.
const DEFAULT: &[&str] = &[
    "transport/tcp/rtt/64B",
    "transport/tcp/parked",
    "transport/tcp/stream/1MiB",
    "transport/sm/rtt/48B",
];

fn asked_for(row: Row) -> Row {
    match DEFAULT.contains(&row.name) {
        true => row,
        false => row.on_request(),
    }
}

fn latency(name: &'static str, about: &'static str, build: Build) -> Row {
    asked_for(Row::latency(name, 2, about, build).in_own_process())
}

fn rate(name: &'static str, about: &'static str, build: Build) -> Row {
    Row {
        unit: Unit::PerS,
        ..latency(name, about, build)
    }
}

/// Rows of all transports.
pub fn rows() -> Vec<Row> {
    [
        rows_of!(Tcp, "tcp", "", false),
        rows_of!(Tcp, "tcp", "/mac", true),
        rows_of!(TcpVeth, "tcp_veth", "", false),
        rows_of!(TcpVeth, "tcp_veth", "/mac", true),
        rows_of!(Sm, "sm", "", false),
        rows_of!(UcxShm, "ucx_shm", "", false),
        rows_of!(UcxTcp, "ucx_tcp", "", false),
        vec![
            latency("transport/sm/rtt/48B", RTT, round_trip::<Sm, 48, false>),
            latency(
                "transport/loopback/rtt/64B",
                RTT,
                round_trip::<Loopback, 64, false>,
            ),
        ],
    ]
    .concat()
}
