//! The line-up of a row of a transport: its floor, and its peers.

use std::rc::Rc;

use maser_transport::wire::Integrity;

use crate::ends::{Beside, Idle, Net, Open, Pair, PutStream, RoundTrip, SendStream};
use crate::floors::{LinePair, SocketRoundTrip, SocketStream, Sockets};
use crate::harness::{BenchError, Contender, Context, Lineup, Offer, Peer};
use crate::peers::{EpollSocket, Iperf3, TokioSocket, UcxFigure, UcxPerftest, UcxTest};

use super::{KIB, MIB};

/// Bytes of a burst of a stream, and in its quick form; of small messages a number.
const BURST_BYTES: (usize, usize) = (32 * MIB, 2 * MIB);
const BURST_MESSAGES: (u64, u64) = (20_000, 500);

/// What UCX may use where it is to go over TCP.
const UCX_TCP: &str = "tcp,self";
/// The same over shared memory.
const UCX_SHM: &str = "shm,self";

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

fn connected<O: Open>(
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
    if is_on {
        Integrity::Mac
    } else {
        Integrity::None
    }
}

/// The contender that `make` makes of a pair of `O`, and, for one with integrity, the same without as a peer.
fn lineup<O: Open, C: Contender + 'static>(
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
        let plain = connected::<O>("without", net, idle, Integrity::None)?;
        let plain = match plain {
            Ok(pair) => Ok(make(pair)?),
            Err(skip) => Err(skip),
        };
        lineup = lineup.peer(Peer::offered("without", plain));
    }
    Ok(Ok(lineup))
}

/// `lineup` of a transport, if it and its net are there.
fn on<O: Open>(
    build: impl FnOnce(&Rc<Net>) -> Result<Offer<Lineup>, BenchError>,
) -> Result<Offer<Lineup>, BenchError> {
    match O::net() {
        Ok(net) => build(&net),
        Err(skip) => Ok(Err(skip)),
    }
}

/// Round trips of `BYTES`, both sides polling.
pub(super) fn round_trip<O: Open, const BYTES: usize, const MAC: bool>(
    context: &Context,
) -> Result<Offer<Lineup>, BenchError> {
    on::<O>(|net| {
        let made = lineup::<O, _>(net, Idle::Spin, MAC, |pair| Ok(RoundTrip::new(pair, BYTES)))?;
        let lineup = match made {
            Ok(lineup) => lineup,
            Err(skip) => return Ok(Err(skip)),
        };
        let ucx = |name, test, tls| {
            let test = UcxTest {
                name,
                test,
                tls,
                figure: UcxFigure::HalfRoundTrip,
                bytes: BYTES,
                count: if context.effort.quick { 200 } else { 4_000 },
            };
            Peer::offered(name, UcxPerftest::new(test, net, cores(context)))
        };
        Ok(Ok(match O::BESIDE {
            Beside::Lines => lineup.floor(LinePair::default()),
            Beside::Memory => lineup
                .floor(LinePair::default())
                .peer(ucx("ucx_perftest, put", "ucp_put_lat", UCX_SHM))
                .peer(ucx("ucx_perftest, tag", "tag_lat", UCX_SHM)),
            Beside::Ucx { tls } => lineup
                .guard(LinePair::default())
                .peer(ucx("ucx_perftest, tag", "tag_lat", tls))
                .peer(ucx("ucx_perftest, am", "ucp_am_lat", tls)),
            Beside::Sockets => lineup
                .floor(SocketRoundTrip::new(
                    "floor/tcp_polled",
                    net,
                    Sockets::Polled,
                    BYTES,
                )?)
                .peer(Peer::of(TokioSocket::new(net, BYTES)?))
                .peer(Peer::of(EpollSocket::new(net, BYTES)?))
                .peer(ucx("ucx_perftest", "tag_lat", UCX_TCP)),
        }))
    })
}

/// Round trips of 64 B, both sides sleeping.
pub(super) fn parked<O: Open, const MAC: bool>(_: &Context) -> Result<Offer<Lineup>, BenchError> {
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
pub(super) fn sends<O: Open, const BYTES: usize, const MAC: bool>(
    context: &Context,
) -> Result<Offer<Lineup>, BenchError> {
    on::<O>(|net| {
        let burst = burst(context, BYTES);
        let made = lineup::<O, _>(net, Idle::Spin, MAC, |pair| {
            Ok(SendStream::new(pair, BYTES, burst))
        })?;
        match made {
            Ok(lineup) => beside_stream::<O>(context, net, lineup, BYTES, "ucp_am_bw").map(Ok),
            Err(skip) => Ok(Err(skip)),
        }
    })
}

/// Puts of `BYTES` one way, into a region.
pub(super) fn puts<O: Open, const BYTES: usize, const MAC: bool>(
    context: &Context,
) -> Result<Offer<Lineup>, BenchError> {
    on::<O>(|net| {
        let burst = burst(context, BYTES);
        let made = lineup::<O, _>(net, Idle::Spin, MAC, |pair| {
            PutStream::new(pair, BYTES, burst)
        })?;
        match made {
            Ok(lineup) => beside_stream::<O>(context, net, lineup, BYTES, "ucp_put_bw").map(Ok),
            Err(skip) => Ok(Err(skip)),
        }
    })
}

/// What a stream is compared with.
fn beside_stream<O: Open>(
    context: &Context,
    net: &Rc<Net>,
    lineup: Lineup,
    bytes: usize,
    ucx_test: &'static str,
) -> Result<Lineup, BenchError> {
    let burst = burst(context, bytes);
    let ucx = |name, test, tls| {
        let test = UcxTest {
            name,
            test,
            tls,
            figure: UcxFigure::Rate,
            bytes,
            count: if context.effort.quick { 8 } else { 4 * burst },
        };
        Peer::offered(name, UcxPerftest::new(test, net, cores(context)))
    };
    let lineup = lineup.guard(LinePair::default());
    let bare = |name, sockets| SocketStream::new(name, net, sockets, bytes, burst);
    let lineup = match O::BESIDE {
        Beside::Lines => return Ok(lineup),
        Beside::Memory => return Ok(lineup.peer(ucx("ucx_perftest", ucx_test, UCX_SHM))),
        Beside::Ucx { tls } => return Ok(lineup.peer(ucx("ucx_perftest", ucx_test, tls))),
        Beside::Sockets => lineup
            .peer(Peer::of(bare("socket, polled", Sockets::Polled)?))
            .peer(Peer::of(bare("socket, blocking", Sockets::Blocking)?)),
    };
    if bytes < KIB {
        return Ok(lineup);
    }
    let iperf = Iperf3::new(net, cores(context), bytes, context.effort.quick)?;
    Ok(lineup
        .peer(Peer::offered("iperf3", iperf))
        .peer(ucx("ucx_perftest", ucx_test, UCX_TCP)))
}
