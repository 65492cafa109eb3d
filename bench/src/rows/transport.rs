//! What crosses a transport: `transport/NAME/rtt/SIZE`, `stream/SIZE`, `parked`, each also `/mac` where what
//! travels is protected.
//!
//! The floor of a round trip is a bare socket that both sides poll, of one that sleeps a bare socket that
//! blocks; for what goes over memory it is a cache line each way. A stream is compared with the strongest of a
//! bare socket and iperf3. A row with integrity has the transport without it as a peer.

pub(super) mod idle;

use std::rc::Rc;

use crate::ends::{
    Idle, Integrity, Loopback, Net, Open, Pair, PutStream, RoundTrip, SendStream, Tcp, TcpVeth,
};
use crate::floors::{LinePair, SocketRoundTrip, SocketStream, Sockets};
use crate::harness::{BenchError, Contender, Context, Floor, Lineup, Offer, Peer, Row, Unit};
use crate::peers::{EpollSocket, Iperf3, TokioSocket, UcxFigure, UcxPerftest, UcxTest};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Bytes of a burst of a stream, and in its quick form; of small messages a number.
const BURST_BYTES: (usize, usize) = (32 * MIB, 2 * MIB);
const BURST_MESSAGES: (u64, u64) = (20_000, 500);

/// What stands beside a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// Sockets.
    Sockets,
    /// Cache lines.
    Lines,
}

/// A transport with a name in the report.
trait Named: Open {
    const BESIDE: Beside;
}

impl Named for Tcp {
    const BESIDE: Beside = Beside::Sockets;
}

impl Named for TcpVeth {
    const BESIDE: Beside = Beside::Sockets;
}

impl Named for Loopback {
    const BESIDE: Beside = Beside::Lines;
}

/// How many operations of `bytes` make a burst.
fn burst(context: &Context, bytes: usize) -> u64 {
    let quick = context.effort.quick;
    let messages = if quick {
        BURST_MESSAGES.1
    } else {
        BURST_MESSAGES.0
    };
    let most = if quick { BURST_BYTES.1 } else { BURST_BYTES.0 };
    messages.min((most / bytes) as u64)
}

fn cores(context: &Context) -> (usize, usize) {
    (
        context.cores.id(0).unwrap_or(0),
        context.cores.id(1).unwrap_or(0),
    )
}

fn connected<O: Named>(
    name: &'static str,
    net: &Net,
    idle: Idle,
    integrity: Integrity,
) -> Result<Offer<Pair<O::End>>, BenchError> {
    match O::ends(net, integrity)? {
        Ok(ends) => Pair::connect(name, net, idle, ends).map(Ok),
        Err(skip) => Ok(Err(skip)),
    }
}

const fn integrity(is_on: bool) -> Integrity {
    if is_on { Integrity::On } else { Integrity::Off }
}

/// The contender that `make` makes of a pair of `O`, and, for one with integrity, the same without as a peer.
fn lineup<O: Named, C: Contender + 'static>(
    net: &Net,
    idle: Idle,
    is_protected: bool,
    make: impl Fn(Pair<O::End>) -> Result<C, BenchError>,
) -> Result<Offer<Lineup>, BenchError> {
    let pair = match connected::<O>("maser", net, idle, integrity(is_protected))? {
        Ok(pair) => pair,
        Err(skip) => return Ok(Err(skip)),
    };
    let mut lineup = Lineup::of(make(pair)?);
    if is_protected {
        let plain = connected::<O>("without", net, idle, Integrity::Off)?;
        let plain = match plain {
            Ok(pair) => Ok(make(pair)?),
            Err(skip) => Err(skip),
        };
        lineup = lineup.peer(Peer::offered("without", plain));
    }
    Ok(Ok(lineup))
}

/// `lineup` of a transport, if it and its net are there.
fn on<O: Named>(
    build: impl FnOnce(&Rc<Net>) -> Result<Offer<Lineup>, BenchError>,
) -> Result<Offer<Lineup>, BenchError> {
    match O::net() {
        Ok(net) => build(&net),
        Err(skip) => Ok(Err(skip)),
    }
}

/// Round trips of `BYTES`, both sides polling.
fn round_trip<O: Named, const BYTES: usize, const MAC: bool>(
    context: &Context,
) -> Result<Offer<Lineup>, BenchError> {
    on::<O>(|net| {
        let made = lineup::<O, _>(net, Idle::Spin, MAC, |pair| Ok(RoundTrip::new(pair, BYTES)))?;
        let lineup = match made {
            Ok(lineup) => lineup,
            Err(skip) => return Ok(Err(skip)),
        };
        if O::BESIDE == Beside::Lines {
            return Ok(Ok(lineup.floor(LinePair::default())));
        }
        let floor = SocketRoundTrip::new("floor/tcp_polled", net, Sockets::Polled, BYTES)?;
        let ucx = UcxTest {
            name: "ucx_perftest",
            test: "tag_lat",
            tls: "tcp,self",
            figure: UcxFigure::HalfRoundTrip,
            bytes: BYTES,
            count: if context.effort.quick { 200 } else { 4_000 },
        };
        Ok(Ok(lineup
            .floor(floor)
            .peer(Peer::of(TokioSocket::new(net, BYTES)?))
            .peer(Peer::of(EpollSocket::new(net, BYTES)?))
            .peer(Peer::offered(
                ucx.name,
                UcxPerftest::new(ucx, net, cores(context)),
            ))))
    })
}

/// Round trips of 64 B, both sides sleeping.
fn parked<O: Named, const MAC: bool>(_: &Context) -> Result<Offer<Lineup>, BenchError> {
    const BYTES: usize = 64;
    on::<O>(|net| {
        let made = lineup::<O, _>(net, Idle::Park, MAC, |pair| Ok(RoundTrip::new(pair, BYTES)))?;
        let lineup = match made {
            Ok(lineup) => lineup,
            Err(skip) => return Ok(Err(skip)),
        };
        let floor = SocketRoundTrip::new("floor/tcp_blocking", net, Sockets::Blocking, BYTES)?;
        Ok(Ok(lineup
            .floor(floor)
            .peer(Peer::of(TokioSocket::new(net, BYTES)?))
            .peer(Peer::of(EpollSocket::new(net, BYTES)?))))
    })
}

/// Messages of `BYTES` one way.
fn sends<O: Named, const BYTES: usize, const MAC: bool>(
    context: &Context,
) -> Result<Offer<Lineup>, BenchError> {
    on::<O>(|net| {
        let burst = burst(context, BYTES);
        let made = lineup::<O, _>(net, Idle::Spin, MAC, |pair| {
            Ok(SendStream::new(pair, BYTES, burst))
        })?;
        match made {
            Ok(lineup) => beside_stream::<O>(context, net, lineup, BYTES).map(Ok),
            Err(skip) => Ok(Err(skip)),
        }
    })
}

/// Puts of `BYTES` one way, into a region.
fn puts<O: Named, const BYTES: usize, const MAC: bool>(
    context: &Context,
) -> Result<Offer<Lineup>, BenchError> {
    on::<O>(|net| {
        let burst = burst(context, BYTES);
        let made = lineup::<O, _>(net, Idle::Spin, MAC, |pair| {
            PutStream::new(pair, BYTES, burst)
        })?;
        match made {
            Ok(lineup) => beside_stream::<O>(context, net, lineup, BYTES).map(Ok),
            Err(skip) => Ok(Err(skip)),
        }
    })
}

/// What a stream is compared with.
fn beside_stream<O: Named>(
    context: &Context,
    net: &Rc<Net>,
    lineup: Lineup,
    bytes: usize,
) -> Result<Lineup, BenchError> {
    let lineup = Lineup {
        floor: Floor::Guard(Box::new(LinePair::default())),
        ..lineup
    };
    if O::BESIDE == Beside::Lines {
        return Ok(lineup);
    }
    let burst = burst(context, bytes);
    let bare = |name, sockets| SocketStream::new(name, net, sockets, bytes, burst);
    let lineup = lineup
        .peer(Peer::of(bare("socket, polled", Sockets::Polled)?))
        .peer(Peer::of(bare("socket, blocking", Sockets::Blocking)?));
    if bytes < KIB {
        return Ok(lineup);
    }
    let ucx = UcxTest {
        name: "ucx_perftest",
        test: "ucp_put_bw",
        tls: "tcp,self",
        figure: UcxFigure::Rate,
        bytes,
        count: if context.effort.quick { 8 } else { 4 * burst },
    };
    let iperf = Iperf3::new(net, cores(context), bytes, context.effort.quick)?;
    Ok(lineup
        .peer(Peer::offered("iperf3", iperf))
        .peer(Peer::offered(
            ucx.name,
            UcxPerftest::new(ucx, net, cores(context)),
        )))
}

type Build = fn(&Context) -> Result<Offer<Lineup>, BenchError>;

/// The rows of one transport: name of the row, unit, what it measures.
macro_rules! rows_of {
    ($open:ty, $name:literal) => {
        vec![
            latency(
                concat!("transport/", $name, "/rtt/64B"),
                RTT,
                round_trip::<$open, 64, false>,
            ),
            latency(
                concat!("transport/", $name, "/rtt/4KiB"),
                RTT,
                round_trip::<$open, { 4 * KIB }, false>,
            ),
            latency(
                concat!("transport/", $name, "/rtt/64KiB"),
                RTT,
                round_trip::<$open, { 64 * KIB }, false>,
            ),
            latency(
                concat!("transport/", $name, "/parked"),
                PARKED,
                parked::<$open, false>,
            ),
            rate(
                concat!("transport/", $name, "/stream/64B"),
                SENDS,
                sends::<$open, 64, false>,
            ),
            rate(
                concat!("transport/", $name, "/stream/64KiB"),
                PUTS,
                puts::<$open, { 64 * KIB }, false>,
            ),
            rate(
                concat!("transport/", $name, "/stream/1MiB"),
                PUTS,
                puts::<$open, MIB, false>,
            ),
            rate(
                concat!("transport/", $name, "/messages/1MiB"),
                SENDS,
                sends::<$open, MIB, false>,
            ),
        ]
    };
    ($open:ty, $name:literal, mac) => {
        vec![
            latency(
                concat!("transport/", $name, "/rtt/64B/mac"),
                RTT_MAC,
                round_trip::<$open, 64, true>,
            ),
            latency(
                concat!("transport/", $name, "/rtt/4KiB/mac"),
                RTT_MAC,
                round_trip::<$open, { 4 * KIB }, true>,
            ),
            latency(
                concat!("transport/", $name, "/rtt/64KiB/mac"),
                RTT_MAC,
                round_trip::<$open, { 64 * KIB }, true>,
            ),
            latency(
                concat!("transport/", $name, "/parked/mac"),
                PARKED_MAC,
                parked::<$open, true>,
            ),
            rate(
                concat!("transport/", $name, "/stream/64B/mac"),
                SENDS_MAC,
                sends::<$open, 64, true>,
            ),
            rate(
                concat!("transport/", $name, "/stream/64KiB/mac"),
                PUTS_MAC,
                puts::<$open, { 64 * KIB }, true>,
            ),
            rate(
                concat!("transport/", $name, "/stream/1MiB/mac"),
                PUTS_MAC,
                puts::<$open, MIB, true>,
            ),
            rate(
                concat!("transport/", $name, "/messages/1MiB/mac"),
                SENDS_MAC,
                sends::<$open, MIB, true>,
            ),
        ]
    };
}

const RTT: &str = "a message there and back, both sides polling";
const PARKED: &str = "64 B there and back, both sides sleeping until it comes";
const SENDS: &str = "messages one way";
const PUTS: &str = "puts one way, into a region of the peer";
const RTT_MAC: &str = "a message there and back, both sides polling, protected";
const PARKED_MAC: &str = "64 B there and back, both sides sleeping until it comes, protected";
const SENDS_MAC: &str = "messages one way, protected";
const PUTS_MAC: &str = "puts one way, into a region of the peer, protected";

/// Rows that run without being asked for: one for each figure that matters most.
const DEFAULT: &[&str] = &[
    "transport/tcp/rtt/64B",
    "transport/tcp/parked",
    "transport/tcp/stream/1MiB",
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
        rows_of!(Tcp, "tcp"),
        rows_of!(Tcp, "tcp", mac),
        rows_of!(TcpVeth, "tcp_veth"),
        rows_of!(TcpVeth, "tcp_veth", mac),
        vec![latency(
            "transport/loopback/rtt/64B",
            RTT,
            round_trip::<Loopback, 64, false>,
        )],
    ]
    .concat()
}
