//! Everything that rows of transports compare does its work, and its results are right; what cannot run
//! here says why.

use std::rc::Rc;

use maser_bench::ends::{
    Idle, Loopback, Net, Open, Pair, PutStream, RoundTrip, SendStream, Sm, Tcp, TcpVeth,
};
use maser_bench::floors::{SocketRoundTrip, SocketStream, Sockets};
use maser_bench::harness::{BenchError, Context, Effort, Offer, Peer, Shape};
use maser_bench::peers::{EpollSocket, Iperf3, TokioSocket, UcxFigure, UcxPerftest, UcxTest};
use maser_transport::wire::Integrity;

/// Runs one small window of each on a thread of its own (a context pins its thread).
fn run_all(peers: impl FnOnce(&Context) -> Result<Vec<Peer>, BenchError> + Send + 'static) {
    let run = || {
        let context = Context::start(Effort::quick())?;
        let shape = Shape {
            warm: 1,
            batches: 2,
            batch: 3,
        };
        for mut peer in peers(&context)? {
            match &mut peer.contender {
                Ok(contender) => {
                    let samples = context.window(contender.as_mut(), shape)?;
                    let is_time = samples.iter().all(|&ns| ns > 0.0);
                    assert!(is_time && !samples.is_empty(), "{}: {samples:?}", peer.name);
                }
                Err(skip) => println!("skipped: {}", skip.0),
            }
        }
        Ok::<_, BenchError>(())
    };
    let ended = std::thread::spawn(run).join().expect("no panic");
    ended.expect("right answers");
}

/// One of each kind over a pair of `O`.
fn all_of<O: Open>(net: &Net, integrity: Integrity) -> Result<Vec<Peer>, BenchError> {
    if let Err(skip) = O::ends(net, integrity)? {
        println!("skipped: {}", skip.0);
        return Ok(Vec::new());
    }
    let pair = |idle| {
        let ends = O::ends(net, integrity)?.expect("they were there a moment ago");
        Pair::connect("maser", net, idle, ends)
    };
    Ok(vec![
        Peer::of(RoundTrip::new(pair(Idle::Spin)?, 64)),
        Peer::of(RoundTrip::new(pair(Idle::Park)?, 1)),
        Peer::of(RoundTrip::new(pair(Idle::Spin)?, 300_000)),
        Peer::of(SendStream::new(pair(Idle::Spin)?, 64, 200)),
        Peer::of(SendStream::new(pair(Idle::Park)?, 100_000, 40)),
        Peer::of(PutStream::new(pair(Idle::Spin)?, 1 << 20, 20)?),
    ])
}

fn transport<O: Open>(integrity: Integrity) {
    run_all(move |_| match O::net() {
        Ok(net) => all_of::<O>(&net, integrity),
        Err(skip) => {
            println!("skipped: {}", skip.0);
            Ok(Vec::new())
        }
    });
}

#[test]
fn ends_in_one_process_lose_nothing() {
    transport::<Loopback>(Integrity::None);
}

#[test]
fn ends_in_shared_memory_lose_nothing() {
    transport::<Sm>(Integrity::None);
}

#[test]
fn ends_of_tcp_lose_nothing() {
    transport::<Tcp>(Integrity::None);
    transport::<Tcp>(Integrity::Mac);
}

#[test]
fn ends_of_tcp_on_two_sides_of_a_cable_lose_nothing() {
    transport::<TcpVeth>(Integrity::None);
}

/// Everything that goes over sockets without us.
fn others(context: &Context, net: &Rc<Net>) -> Result<Vec<Peer>, BenchError> {
    let cores = (
        context.cores.id(0).unwrap_or(0),
        context.cores.id(1).unwrap_or(0),
    );
    let test = |name, test, figure| UcxTest {
        name,
        test,
        tls: "tcp,self",
        figure,
        bytes: 4_096,
        count: 50,
    };
    let ucx = |test: UcxTest| Peer::offered(test.name, UcxPerftest::new(test, net, cores));
    let iperf: Offer<_> = Iperf3::new(net, cores, 1 << 17, true)?;
    Ok(vec![
        Peer::of(SocketRoundTrip::new("polled", net, Sockets::Polled, 64)?),
        Peer::of(SocketRoundTrip::new(
            "blocking",
            net,
            Sockets::Blocking,
            70_000,
        )?),
        Peer::of(SocketStream::new(
            "polled",
            net,
            Sockets::Polled,
            1 << 20,
            20,
        )?),
        Peer::of(SocketStream::new(
            "blocking",
            net,
            Sockets::Blocking,
            64,
            100,
        )?),
        Peer::of(EpollSocket::new(net, 70_000)?),
        Peer::of(TokioSocket::new(net, 70_000)?),
        Peer::offered("iperf3", iperf),
        ucx(test("ucx, half", "tag_lat", UcxFigure::HalfRoundTrip)),
        ucx(test("ucx, rate", "ucp_put_bw", UcxFigure::Rate)),
    ])
}

#[test]
fn sockets_of_others_lose_nothing() {
    run_all(|context| others(context, &Rc::new(Net::Loopback)));
}

#[test]
fn sockets_of_others_on_two_sides_of_a_cable_lose_nothing() {
    run_all(|context| match Net::veth() {
        Ok(net) => others(context, &net),
        Err(skip) => {
            println!("skipped: {}", skip.0);
            Ok(Vec::new())
        }
    });
}
