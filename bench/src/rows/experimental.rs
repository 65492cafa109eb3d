//! The rows of Ray's own benchmark of compiled graphs (`ray_experimental_perf.py`), one to one and
//! under their names, run on request (`maser bench "[unstable]"`), with Ray itself beside them under
//! `--peers ray`.
//!
//! - EP-1 what is timed is what that script times, with the same payloads, made anew for each call; all
//!   actors are in processes of their own, as Ray's are. Answers are checked, which Ray's are not.
//! - EP-2 that script takes half the cores for `n`, and refuses to run where that is not above 8. Here
//!   `n` is at least 2, and the rows of 8 actors run on any machine; Ray runs with the same numbers.
//! - EP-3 two rows of that script have one name; the compiled one has `compiled` in it here.

use std::sync::OnceLock;

use maser::{Actor, Bytes, Graph, Isolation, Maser, Node};
use maser_shm::channel::spsc::channel;

use crate::harness::{BenchError, Context, Lineup, Offer, Process, Row, Summed};
use crate::process::{MESSAGE, Message, ToReaders};

use super::SETTLE_NS;

/// Actors of the rows with several payloads.
const ARGS: usize = 8;
const MIB: usize = 1 << 20;

/// `n` of the row names (EP-2).
fn width() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    (cores / 2).max(2)
}

/// Gives back what it is told.
struct DagActor;

#[maser::actor]
impl DagActor {
    fn new() -> Self {
        Self
    }

    fn echo(&mut self, x: Bytes) -> Bytes {
        x
    }

    #[allow(clippy::too_many_arguments, reason = "the row is about their number")]
    fn echo_multiple(
        &mut self,
        a: Bytes,
        b: Bytes,
        c: Bytes,
        d: Bytes,
        e: Bytes,
        f: Bytes,
        g: Bytes,
        h: Bytes,
    ) -> Vec<Bytes> {
        vec![a, b, c, d, e, f, g, h]
    }
}

fn failed(error: impl ToString) -> BenchError {
    BenchError::contender("maser", error)
}

/// `count` actors in processes of their own, awake: one on core 1, several wherever there is room.
fn actors(context: &Context, count: usize) -> Result<Vec<Actor<DagActor>>, BenchError> {
    // Workers may use the cores of the thread that needed the first one.
    match count {
        1 => context.cores.pin(1)?,
        _ => context.cores.unpin()?,
    }
    let new = || DagActor::options().isolation(Isolation::Process).remote();
    let made: Vec<_> = (0..count).map(|_| new()).collect();
    let first = made.iter().try_for_each(|actor| {
        let answer = actor.echo().remote(Bytes::from("x")).get();
        answer.map(|_| ())
    });
    context.cores.pin(0)?;
    first.map_err(failed)?;
    Ok(made)
}

/// `bytes` times `x`, made anew (EP-1).
fn payload(bytes: usize) -> maser::Result<Bytes> {
    if bytes < 4_096 {
        return Ok(Bytes::from_vec(vec![b'x'; bytes]));
    }
    let mut array = Bytes::in_store(bytes)?;
    array.fill(b'x');
    Ok(array.seal())
}

/// Whether it is such a payload, by its ends.
fn is_payload(found: &Bytes, bytes: usize) -> bool {
    found.len() == bytes && found.first() == Some(&b'x') && found.last() == Some(&b'x')
}

/// A graph, as it is written or compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Written,
    Compiled,
}

fn chain(actors: &[Actor<DagActor>]) -> Graph<Node<Bytes>, Node<Bytes>> {
    Graph::new(|input: Node<Bytes>| {
        let each = actors.iter();
        each.fold(input, |value, actor| actor.echo().bind(value))
    })
}

fn scatter(actors: &[Actor<DagActor>]) -> Graph<Node<Bytes>, Vec<Node<Bytes>>> {
    Graph::new(|input: Node<Bytes>| {
        let each = actors.iter().map(|actor| actor.echo().bind(input));
        each.collect()
    })
}

type Eight<T> = (T, T, T, T, T, T, T, T);

fn eight(bytes: usize) -> maser::Result<Eight<Bytes>> {
    let one = || payload(bytes);
    Ok((
        one()?,
        one()?,
        one()?,
        one()?,
        one()?,
        one()?,
        one()?,
        one()?,
    ))
}

fn one_each(actors: &[Actor<DagActor>]) -> Graph<Eight<Node<Bytes>>, Vec<Node<Bytes>>> {
    Graph::new(|(a, b, c, d, e, f, g, h): Eight<Node<Bytes>>| {
        let inputs = [a, b, c, d, e, f, g, h].into_iter();
        let each = inputs
            .zip(actors)
            .map(|(input, actor)| actor.echo().bind(input));
        each.collect()
    })
}

fn all_to_one(actor: &Actor<DagActor>) -> Graph<Eight<Node<Bytes>>, Node<Vec<Bytes>>> {
    Graph::new(|(a, b, c, d, e, f, g, h): Eight<Node<Bytes>>| {
        actor.echo_multiple().bind(a, b, c, d, e, f, g, h)
    })
}

/// A line-up of one operation a call.
pub(super) fn lineup(
    operation: impl FnMut() -> maser::Result<bool> + 'static,
) -> Result<Offer<Lineup>, BenchError> {
    let mut operation = operation;
    let counted = move || operation().map(u64::from);
    let subject = Summed::new("maser", counted).wake().settle(SETTLE_NS);
    Ok(Ok(Lineup::of(subject)))
}

fn put_get_here() -> Result<Offer<Lineup>, BenchError> {
    let (mut sender, mut receiver) = channel::<Message>(1).map_err(failed)?;
    lineup(move || {
        let sent = sender.try_send(MESSAGE).is_ok();
        Ok(sent && receiver.try_recv().is_ok_and(|found| found[0] == b'0'))
    })
}

fn put_there(made: Offer<ToReaders>) -> Result<Offer<Lineup>, BenchError> {
    Ok(made.map(Lineup::of))
}

fn run_chain(context: &Context, count: usize, how: How) -> Result<Offer<Lineup>, BenchError> {
    let actors = actors(context, count)?;
    let graph = chain(&actors);
    if how == How::Written {
        return lineup(move || Ok(is_payload(&graph.execute(payload(1)?)?.get()?, 1)));
    }
    let graph = graph.compile().map_err(failed)?;
    lineup(move || Ok(is_payload(&graph.execute(payload(1)?)?.get()?, 1)))
}

fn run_scatter(context: &Context, count: usize, how: How) -> Result<Offer<Lineup>, BenchError> {
    let actors = actors(context, count)?;
    let graph = scatter(&actors);
    let right = move |found: Vec<Bytes>| {
        found.len() == count && found.iter().all(|found| is_payload(found, 1))
    };
    if how == How::Written {
        return lineup(move || {
            let refs = graph.execute(payload(1)?)?;
            let found = refs.iter().map(|one| one.get());
            Ok(right(found.collect::<maser::Result<_>>()?))
        });
    }
    let graph = graph.compile().map_err(failed)?;
    lineup(move || {
        let refs = graph.execute(payload(1)?)?.into_iter();
        Ok(right(
            refs.map(|one| one.get()).collect::<maser::Result<_>>()?,
        ))
    })
}

fn run_args(context: &Context, bytes: usize, how: How) -> Result<Offer<Lineup>, BenchError> {
    let actors = actors(context, ARGS)?;
    let graph = one_each(&actors);
    let right = move |found: Vec<Bytes>| {
        found.len() == ARGS && found.iter().all(|found| is_payload(found, bytes))
    };
    if how == How::Written {
        return lineup(move || {
            let refs = graph.execute(eight(bytes)?)?;
            let found = refs.iter().map(|one| one.get());
            Ok(right(found.collect::<maser::Result<_>>()?))
        });
    }
    let graph = graph.compile().map_err(failed)?;
    lineup(move || {
        let refs = graph.execute(eight(bytes)?)?.into_iter();
        Ok(right(
            refs.map(|one| one.get()).collect::<maser::Result<_>>()?,
        ))
    })
}

fn run_all_args(context: &Context, how: How) -> Result<Offer<Lineup>, BenchError> {
    let actors = actors(context, 1)?;
    let graph = all_to_one(&actors[0]);
    let right =
        |found: &Vec<Bytes>| found.len() == ARGS && found.iter().all(|found| is_payload(found, 1));
    if how == How::Written {
        return lineup(move || Ok(right(&graph.execute(eight(1)?)?.get()?)));
    }
    let graph = graph.compile().map_err(failed)?;
    lineup(move || Ok(right(&graph.execute(eight(1)?)?.get()?)))
}

/// A runtime beside a thread that drives it from a tokio of its own.
struct Beside {
    tokio: tokio::runtime::Runtime,
    _maser: Maser,
}

impl Beside {
    fn start(context: &Context) -> Result<Self, BenchError> {
        context.cores.unpin()?;
        let maser = maser::Config::new().num_cpus(1).init().map_err(failed);
        context.cores.pin(0)?;
        let tokio = tokio::runtime::Builder::new_current_thread().build();
        Ok(Self {
            tokio: tokio.map_err(failed)?,
            _maser: maser?,
        })
    }

    fn block_on<T>(&self, operation: impl Future<Output = T>) -> T {
        self.tokio.block_on(operation)
    }
}

fn await_chain(context: &Context, count: usize) -> Result<Offer<Lineup>, BenchError> {
    let beside = Beside::start(context)?;
    let graph = chain(&actors(context, count)?).compile().map_err(failed)?;
    lineup(move || {
        beside.block_on(async {
            let found = graph.execute_async(payload(1)?).await?.await?;
            Ok(is_payload(&found, 1))
        })
    })
}

fn await_scatter(context: &Context, count: usize) -> Result<Offer<Lineup>, BenchError> {
    let beside = Beside::start(context)?;
    let graph = scatter(&actors(context, count)?)
        .compile()
        .map_err(failed)?;
    lineup(move || {
        beside.block_on(async {
            let mut right = true;
            for one in graph.execute_async(payload(1)?).await? {
                right &= is_payload(&one.await?, 1);
            }
            Ok(right)
        })
    })
}

type Build = fn(&Context) -> Result<Offer<Lineup>, BenchError>;

const DRIVEN: Process = Process::Runtime { schedulers: 1 };

/// Rows under Ray's names (EP-2), made once.
pub fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let n = width();
        let rows: Vec<(String, Process, Build)> = vec![
            (
                "local put:local get, single channel calls".into(),
                Process::Own,
                |_| put_get_here(),
            ),
            (
                "local put:1 remote get, single channel calls".into(),
                Process::Own,
                |context| put_there(ToReaders::rings(context, 1, true)?),
            ),
            (
                "local put:n remote get, single channel calls".into(),
                Process::Own,
                |context| put_there(ToReaders::broadcast(context, width())?),
            ),
            (
                "local put:1 remote get, n channels calls".into(),
                Process::Own,
                |context| put_there(ToReaders::rings(context, width(), true)?),
            ),
            (
                "local put:n remote get, n channels calls".into(),
                Process::Own,
                |context| put_there(ToReaders::rings(context, width(), false)?),
            ),
            ("single-actor DAG calls".into(), DRIVEN, |context| {
                run_chain(context, 1, How::Written)
            }),
            (
                "compiled single-actor DAG calls".into(),
                DRIVEN,
                |context| run_chain(context, 1, How::Compiled),
            ),
            (
                "compiled single-actor asyncio DAG calls".into(),
                Process::Own,
                |context| await_chain(context, 1),
            ),
            (
                format!("scatter-gather DAG calls, n={n} actors"),
                DRIVEN,
                |context| run_scatter(context, width(), How::Written),
            ),
            (
                format!("compiled scatter-gather DAG calls, n={n} actors"),
                DRIVEN,
                |context| run_scatter(context, width(), How::Compiled),
            ),
            (
                format!("compiled scatter-gather asyncio DAG calls, n={n} actors"),
                Process::Own,
                |context| await_scatter(context, width()),
            ),
            (
                format!("chain DAG calls, n={n} actors"),
                DRIVEN,
                |context| run_chain(context, width(), How::Written),
            ),
            (
                format!("compiled chain DAG calls, n={n} actors"),
                DRIVEN,
                |context| run_chain(context, width(), How::Compiled),
            ),
            (
                format!("compiled chain asyncio DAG calls, n={n} actors"),
                Process::Own,
                |context| await_chain(context, width()),
            ),
            (
                "multiple args with small payloads DAG calls, n=8 actors".into(),
                DRIVEN,
                |context| run_args(context, 1, How::Written),
            ),
            (
                "compiled multiple args with small payloads DAG calls, n=8 actors".into(),
                DRIVEN,
                |context| run_args(context, 1, How::Compiled),
            ),
            (
                "multiple args with medium payloads DAG calls, n=8 actors".into(),
                DRIVEN,
                |context| run_args(context, MIB, How::Written),
            ),
            (
                "compiled multiple args with medium payloads DAG calls, n=8 actors".into(),
                DRIVEN,
                |context| run_args(context, MIB, How::Compiled),
            ),
            (
                "multiple args with large payloads DAG calls, n=8 actors".into(),
                DRIVEN,
                |context| run_args(context, 10 * MIB, How::Written),
            ),
            (
                "compiled multiple args with large payloads DAG calls, n=8 actors".into(),
                DRIVEN,
                |context| run_args(context, 10 * MIB, How::Compiled),
            ),
            (
                "single-actor with all args with small payloads DAG calls, n=1 actors".into(),
                DRIVEN,
                |context| run_all_args(context, How::Written),
            ),
            (
                "compiled single-actor with all args with small payloads DAG calls, n=1 actors"
                    .into(),
                DRIVEN,
                |context| run_all_args(context, How::Compiled),
            ),
        ];
        let row = |(name, process, build): (String, Process, Build)| {
            let name: &'static str = Box::leak(format!("[unstable] {name}").into_boxed_str());
            let row = Row::rate(name, 2, "as in Ray's own benchmark", build).on_request();
            Row { process, ..row }
        };
        rows.into_iter().map(row).collect()
    })
}
