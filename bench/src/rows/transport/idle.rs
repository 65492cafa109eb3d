//! What endpoints that nobody uses cost.

use std::time::{Duration, Instant};

use maser_transport::tcp::TcpTransport;
use maser_transport::wire::Integrity;
use maser_transport::{Event, Transport, Waker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::ends::{At, Net, tcp_options};
use crate::harness::{BenchError, Context, Offer, Process, Row, RowResult, Skip, Unit, check};
use maser_shm::sync::atomic::{AtomicBool, Ordering};

use super::super::graph_idle::spent_ns;

/// Endpoints of each end.
const ENDPOINTS: (usize, usize) = (1_000, 20);
/// How long one sample takes, and in its quick form.
const IDLE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(20));
/// Samples: each is as long as the time between two pings, so that there is one of every endpoint in it.
const SAMPLES: usize = 3;
/// After so much silence a peer is taken for dead: pings are sent three times in it.
const PEER_TIMEOUT: Duration = Duration::from_secs(6);
/// What all connections together need at most.
const CONNECT: Duration = Duration::from_secs(20);

fn of_tcp(error: impl ToString) -> BenchError {
    BenchError::contender("tcp", error)
}

/// Two ends with so many connections between them, each at home on a thread of its own.
struct Idlers {
    ends: [TcpTransport; 2],
    began: Instant,
}

impl Idlers {
    fn open() -> Result<Self, BenchError> {
        let net = Net::Loopback;
        let open = |at| {
            TcpTransport::open(tcp_options(&net, at, Integrity::None, PEER_TIMEOUT)).map_err(of_tcp)
        };
        Ok(Self {
            ends: [open(At::Here)?, open(At::There)?],
            began: Instant::now(),
        })
    }

    fn connect(&mut self, endpoints: usize) -> Result<(), BenchError> {
        let address = self.ends[1].address();
        let (mut asked, mut connected, mut accepted) = (0, 0, 0);
        let limit = self.began.elapsed() + CONNECT;
        while connected < endpoints || accepted < endpoints {
            // As many at once as a listener keeps.
            if asked < endpoints && asked < connected.min(accepted) + 64 {
                self.ends[0].connect(&address).map_err(of_tcp)?;
                asked += 1;
            }
            let now_ns = self.began.elapsed().as_nanos() as u64;
            for end in &mut self.ends {
                end.advance(now_ns);
                match end.poll() {
                    Some(Event::Connected { .. }) => connected += 1,
                    Some(Event::Accepted { .. }) => accepted += 1,
                    Some(Event::Ended { reason, .. }) => return Err(of_tcp(reason)),
                    _ => {}
                }
            }
            if self.began.elapsed() > limit {
                return Err(of_tcp(format!(
                    "{connected} of {endpoints} connected in {CONNECT:?}"
                )));
            }
        }
        Ok(())
    }

    /// Both ends sleep, each on a thread of its own, as their schedulers would, while `look` is done.
    fn asleep<R>(&mut self, look: impl FnOnce() -> Result<R, BenchError>) -> Result<R, BenchError> {
        let (over, began) = (AtomicBool::new(false), self.began);
        let wakers: Vec<Waker> = self.ends.iter().map(Transport::waker).collect();
        std::thread::scope(|scope| {
            let idle = |end| scope.spawn(|| idle(end, &over, began));
            let threads: Vec<_> = self.ends.iter_mut().map(idle).collect();
            let seen = look();
            over.store(true, Ordering::Release);
            wakers.iter().for_each(Waker::wake);
            for thread in threads {
                let ended = thread.join().map_err(|_| of_tcp("an idle end panicked"))?;
                check("endpoints that ended", 0, ended.map_err(of_tcp)?)?;
            }
            seen
        })
    }
}

/// The life of an end that has nothing to do; how many of its endpoints ended.
fn idle(end: &mut TcpTransport, over: &AtomicBool, began: Instant) -> std::io::Result<usize> {
    let mut ended = 0;
    while !over.load(Ordering::Acquire) {
        let now_ns = began.elapsed().as_nanos() as u64;
        end.advance(now_ns);
        while let Some(event) = end.poll() {
            ended += usize::from(matches!(event, Event::Ended { .. }));
        }
        let until_ns = end.next_deadline_ns();
        let limit = until_ns.map(|until| Duration::from_nanos(until.saturating_sub(now_ns)));
        end.wait(limit)?;
    }
    Ok(ended)
}

/// Room for the descriptors of both ends of `endpoints` connections.
fn room_for(endpoints: usize) -> Offer<()> {
    let needed = 2 * endpoints as u64 + 64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(limit.maximum.map_or(needed, |most| most.min(needed))),
        ..limit
    };
    match raised.current == Some(needed) && setrlimit(Resource::Nofile, raised).is_ok() {
        true => Ok(()),
        false => Err(Skip(format!(
            "needs {needed} descriptors, and {:?} are allowed; raise the limit (`ulimit -n`)",
            limit.maximum
        ))),
    }
}

/// Bytes of this process in memory.
fn resident_bytes() -> Result<f64, BenchError> {
    let path = "/proc/self/statm";
    let text = std::fs::read_to_string(path).map_err(|source| BenchError::Io {
        path: path.to_owned(),
        source,
    })?;
    let pages = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    let pages = pages.ok_or_else(|| of_tcp(format!("no number of pages in {path}")))?;
    Ok(pages * rustix::param::page_size() as f64)
}

/// Processor time of the endpoints of one end, ns a second.
fn time(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let quick = context.effort.quick;
    let endpoints = if quick { ENDPOINTS.1 } else { ENDPOINTS.0 };
    let length = if quick { IDLE.1 } else { IDLE.0 };
    if let Err(skip) = room_for(endpoints) {
        return Ok(Err(skip));
    }
    let mut idlers = Idlers::open()?;
    idlers.connect(endpoints)?;
    context.cores.unpin()?;
    let samples = idlers.asleep(|| {
        let spent = || spent_ns(std::process::id());
        let mut samples = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            let began = spent()?;
            std::thread::sleep(length);
            // Both ends are here, and the row is about one.
            samples.push((spent()? - began) / 2.0 / length.as_secs_f64());
        }
        Ok(samples)
    })?;
    context.cores.pin(0)?;
    let result = RowResult {
        windows: SAMPLES,
        note: Some(format!(
            "1e7 ns are 1 % of a core; pings three times in {PEER_TIMEOUT:?}"
        )),
        ..RowResult::empty(row)
    };
    Ok(Ok(result.with_samples(&samples, SAMPLES as u64)))
}

/// Memory of an endpoint.
fn memory(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let endpoints = if context.effort.quick {
        ENDPOINTS.1
    } else {
        ENDPOINTS.0
    };
    if let Err(skip) = room_for(endpoints) {
        return Ok(Err(skip));
    }
    let mut idlers = Idlers::open()?;
    // What an end has once, however many endpoints it has, is there after the first.
    idlers.connect(1)?;
    let before = resident_bytes()?;
    idlers.connect(endpoints)?;
    let grown = (resident_bytes()? - before).max(0.0);
    let each = grown / (2 * endpoints) as f64;
    let result = RowResult {
        windows: 1,
        note: Some("of the process; the kernel's buffers are not in it".to_owned()),
        ..RowResult::empty(row)
    };
    Ok(Ok(result.with_samples(&[each], endpoints as u64)))
}

/// Rows of endpoints that nobody uses.
pub const ROWS: &[Row] = &[
    Row::whole(
        "transport/tcp/idle",
        Unit::Ns,
        Process::Own,
        "processor time of an end with 1,000 idle endpoints, per second",
        time,
    )
    .on_request(),
    Row::whole(
        "transport/tcp/idle_bytes",
        Unit::Bytes,
        Process::Own,
        "memory of each of 1,000 idle endpoints",
        memory,
    )
    .on_request(),
];
