//! What peers of a scheduler that is stuck in user code notice: `transport/stuck_core`; and what a scheduler
//! pays for a helper that could stand in: `transport/turn`.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use maser_shm::sync::atomic::{AtomicU32, Ordering};
use maser_shm::sync::hint::spin_loop;
use maser_transport::driver::{Helper, Queued, Shared};
use maser_transport::loopback::{LoopbackTransport, Network};
use maser_transport::tcp::TcpTransport;
use maser_transport::wire::Integrity;
use maser_transport::{
    Access, Address, Endpoint, Event, HeapMemory, MemoryRegion, RemoteRegion, Transport,
    WorkRequest,
};

use crate::ends::{At, Net, tcp_options};
use crate::harness::{
    BenchError, Contender, Context, Lineup, Offer, Peer, Process, Row, RowResult, Unit, Window,
    check,
};

/// Gets of each kind, and in the quick form.
const GETS: (usize, usize) = (400, 10);
const BYTES: usize = 64;
/// After so much silence a peer is taken for dead.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);
/// What everything together needs at most.
const LIMIT: Duration = Duration::from_secs(60);

/// Its scheduler turns its transport.
const TURNS: u32 = 0;
/// It computes, and turns nothing.
const STUCK: u32 = 1;
const OVER: u32 = 2;

fn of_tcp(error: impl ToString) -> BenchError {
    BenchError::contender("tcp", error)
}

fn open(at: At) -> Result<TcpTransport, BenchError> {
    let options = tcp_options(&Net::Loopback, at, Integrity::None, PEER_TIMEOUT);
    TcpTransport::open(options).map_err(of_tcp)
}

/// The scheduler whose core will be stuck: its address and its region go to `tell`.
fn scheduler(
    helper: &Helper,
    mode: &AtomicU32,
    began: Instant,
    tell: &Sender<(Address, RemoteRegion)>,
) -> Result<(), BenchError> {
    let shared: Arc<Shared<Queued<TcpTransport>>> = helper
        .share(Queued::new(open(At::There)?))
        .map_err(of_tcp)?;
    let region: MemoryRegion = {
        let mut turn = shared.turn();
        let memory = Arc::new(HeapMemory::new(BYTES));
        let region = turn.transport().register(memory, Access::READ);
        let region = region.map_err(of_tcp)?;
        let told = (turn.transport().address(), region.remote());
        // Nobody who listens any more is somebody who failed, and says why.
        let _outcome = tell.send(told);
        region
    };
    let mut looks = 0_u32;
    loop {
        match mode.load(Ordering::Acquire) {
            OVER => break,
            STUCK => spin_loop(),
            _ => {
                let mut turn = shared.turn();
                looks = looks.wrapping_add(1);
                if looks.is_multiple_of(1024) {
                    maser_transport::driver::Drive::advance(
                        &mut *turn,
                        began.elapsed().as_nanos() as u64,
                    );
                }
                turn.poll();
            }
        }
    }
    drop(region);
    Ok(())
}

/// Gets the region `count` times; ns of each.
fn gets(
    client: &mut TcpTransport,
    to: Endpoint,
    region: &RemoteRegion,
    began: Instant,
    count: usize,
) -> Result<Vec<f64>, BenchError> {
    let memory = Arc::new(HeapMemory::new(BYTES));
    let here = client.register(memory, Access::empty()).map_err(of_tcp)?;
    let mut samples = Vec::with_capacity(count);
    for token in 0..count as u64 {
        let asked = Instant::now();
        let request = WorkRequest::Get {
            from: region.whole(),
            to: here.whole(),
        };
        client.post(to, request, Some(token)).map_err(of_tcp)?;
        loop {
            match client.poll() {
                Some(Event::Completed(done)) => {
                    check("the outcome of a get", Ok(0), done.outcome)?;
                    break;
                }
                Some(Event::Ended { reason, .. }) => return Err(of_tcp(reason)),
                _ if began.elapsed() > LIMIT => {
                    return Err(of_tcp(format!("no answer after {LIMIT:?}")));
                }
                _ => spin_loop(),
            }
        }
        samples.push(asked.elapsed().as_nanos() as f64);
        client.advance(began.elapsed().as_nanos() as u64);
    }
    Ok(samples)
}

fn median_of(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Gets from an end whose scheduler is stuck; the note has those from one that is not, and the first.
fn stuck_core(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let count = if context.effort.quick { GETS.1 } else { GETS.0 };
    let began = Instant::now();
    let cpus: Vec<usize> = (0..context.cores.count())
        .filter_map(|index| context.cores.id(index))
        .collect();
    let helper = Helper::new(move || began.elapsed().as_nanos() as u64, &cpus);
    let mode = AtomicU32::new(TURNS);
    let (tell, told) = channel();
    let (turned, stuck) = std::thread::scope(|scope| {
        let (helper, mode) = (&helper, &mode);
        let thread = scope.spawn(move || {
            context.cores.pin(1)?;
            scheduler(helper, mode, began, &tell)
        });
        let measure = || {
            let (address, region) = told.recv().map_err(of_tcp)?;
            let mut client = open(At::Here)?;
            let to = client.connect(&address).map_err(of_tcp)?;
            let turned = gets(&mut client, to, &region, began, count)?;
            mode.store(STUCK, Ordering::Release);
            let stuck = gets(&mut client, to, &region, began, count)?;
            Ok((turned, stuck))
        };
        let measured = measure();
        mode.store(OVER, Ordering::Release);
        let ended = thread
            .join()
            .map_err(|_| of_tcp("the scheduler panicked"))?;
        ended.and(measured)
    })?;
    let (first, later) = stuck
        .split_first()
        .map_or((f64::NAN, &[][..]), |(first, later)| (*first, later));
    let result = RowResult {
        windows: 1,
        note: Some(format!(
            "the first get after it got stuck {:.1} ms; {:.1} us while its scheduler turns it",
            first / 1e6,
            median_of(&turned) / 1e3
        )),
        ..RowResult::empty(row)
    };
    Ok(Ok(result.with_samples(later, later.len() as u64)))
}

/// A poll that finds nothing, in a turn that a helper could have, or bare.
struct Poll {
    name: &'static str,
    shared: Option<(Helper, Arc<Shared<Queued<LoopbackTransport>>>)>,
    bare: Queued<LoopbackTransport>,
}

impl Contender for Poll {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let mut found = 0_u64;
        match &self.shared {
            Some((_, shared)) => {
                window.time(|| found += u64::from(shared.turn().poll().is_some()));
            }
            None => window.time(|| found += u64::from(self.bare.poll().is_some())),
        }
        check("events of an end without peers", 0, found)
    }
}

fn turn(_: &Context) -> Result<Offer<Lineup>, BenchError> {
    let network = Network::new();
    let open = || Queued::new(LoopbackTransport::open(&network));
    let helper = Helper::new(|| 0, &[]);
    let shared = helper.share(open());
    let shared = shared.map_err(|error| BenchError::contender("maser", error))?;
    let subject = Poll {
        name: "maser",
        shared: Some((helper, shared)),
        bare: open(),
    };
    let bare = Poll {
        name: "bare",
        shared: None,
        bare: open(),
    };
    Ok(Ok(Lineup::of(subject).peer(Peer::of(bare))))
}

/// Rows of the helper.
pub const ROWS: &[Row] = &[
    Row::whole(
        "transport/stuck_core",
        Unit::Ns,
        Process::Own,
        "a get of 64 B from an end whose scheduler is stuck in user code",
        stuck_core,
    )
    .on_cores(2)
    .on_request(),
    Row::latency(
        "transport/turn",
        1,
        "a poll that finds nothing, in a turn that a helper could have",
        turn,
    )
    .in_own_process()
    .on_request(),
];
