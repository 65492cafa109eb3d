//! Calls above transports: `transport/protocol/NAME/call/64B` beside a bare message there and back, and where
//! copying and lending cross: `transport/protocol/NAME/eager/SIZE`, `.../rendezvous/SIZE`.

use crate::ends::{Calls, Idle, Loopback, Open, Pair, RoundTrip, Sm, Tcp, Way};
use crate::floors::LinePair;
use crate::harness::{BenchError, Context, Lineup, Offer, Peer, Row};
use maser_transport::wire::Integrity;

const KIB: usize = 1 << 10;

/// A call of 64 B, and the message there and back that it is made of.
fn call<O: Open>(_: &Context) -> Result<Offer<Lineup>, BenchError> {
    const BYTES: usize = 64;
    let net = match O::net() {
        Ok(net) => net,
        Err(skip) => return Ok(Err(skip)),
    };
    let calls = match Calls::open::<O>("maser", &net, BYTES, Way::Chosen)? {
        Ok(calls) => calls,
        Err(skip) => return Ok(Err(skip)),
    };
    let ends = match O::ends(&net, Integrity::None)? {
        Ok(ends) => ends,
        Err(skip) => return Ok(Err(skip)),
    };
    let bare = Pair::connect("message", &net, Idle::Spin, ends)?;
    Ok(Ok(Lineup::of(calls)
        .guard(LinePair::default())
        .peer(Peer::of(RoundTrip::new(bare, BYTES)))))
}

/// A payload of `BYTES` there, and a few bytes back: the way `WAY` beside the other.
fn way<O: Open, const BYTES: usize, const LENT: bool>(
    _: &Context,
) -> Result<Offer<Lineup>, BenchError> {
    let net = match O::net() {
        Ok(net) => net,
        Err(skip) => return Ok(Err(skip)),
    };
    let ways = match LENT {
        true => [("maser", Way::Rendezvous), ("eager", Way::Eager)],
        false => [("maser", Way::Eager), ("rendezvous", Way::Rendezvous)],
    };
    let mut found = Vec::new();
    for (name, way) in ways {
        match Calls::open::<O>(name, &net, BYTES, way)? {
            Ok(calls) => found.push(calls),
            Err(skip) => return Ok(Err(skip)),
        }
    }
    let (Some(other), Some(subject)) = (found.pop(), found.pop()) else {
        unreachable!("there are two ways");
    };
    Ok(Ok(Lineup::of(subject)
        .guard(LinePair::default())
        .peer(Peer::of(other))))
}

const CALL: &str = "a call and its reply, both sides polling";
const EAGER: &str = "a call whose payload is copied, beside one whose payload is lent";
const LENT: &str = "a call whose payload is lent and fetched, beside one whose payload is copied";

macro_rules! ways_of {
    ($open:ty, $name:literal, [$(($size:literal, $kib:literal)),*]) => {
        vec![
            Row::latency(concat!("transport/protocol/", $name, "/call/64B"), 2, CALL, call::<$open>),
            $(
                Row::latency(
                    concat!("transport/protocol/", $name, "/eager/", $size),
                    2,
                    EAGER,
                    way::<$open, { $kib * KIB }, false>,
                ),
                Row::latency(
                    concat!("transport/protocol/", $name, "/rendezvous/", $size),
                    2,
                    LENT,
                    way::<$open, { $kib * KIB }, true>,
                ),
            )*
        ]
    };
}

/// Rows of the protocol above all transports.
pub fn rows() -> Vec<Row> {
    let rows = [
        ways_of!(
            Loopback,
            "loopback",
            [
                ("16KiB", 16),
                ("64KiB", 64),
                ("256KiB", 256),
                ("1MiB", 1024)
            ]
        ),
        ways_of!(
            Sm,
            "sm",
            [
                ("16KiB", 16),
                ("64KiB", 64),
                ("256KiB", 256),
                ("1MiB", 1024)
            ]
        ),
        ways_of!(
            Tcp,
            "tcp",
            [
                ("16KiB", 16),
                ("64KiB", 64),
                ("256KiB", 256),
                ("1MiB", 1024)
            ]
        ),
    ];
    let rows = rows.concat().into_iter();
    rows.map(|row| row.in_own_process().on_request()).collect()
}
