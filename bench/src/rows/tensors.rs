//! Rows of Ray's benchmark of graphs with tensors (`compiled_graph_gpu_microbenchmark.py`), those that
//! need no GPU, under their names and run on request (`maser bench exec_`), with Ray itself beside them
//! under `--peers ray`.
//!
//! - EXR-1 the tensor is that script's: 100,000 bytes of f16, all 1. Sender and receiver are in processes
//!   of their own; the receiver looks at shape and values of what it gets and answers `x`.
//! - EXR-2 `exec_ray_put_cpu` copies into memory that other processes could read and out of it again, as
//!   Ray does with a tensor; `exec_ray_put_np_zero_copy` copies in only. `exec_torch_cpu_cpu` is a copy
//!   within the process, which brackets the others.
//! - EXR-3 Ray's side has arrays of numpy, so that it does not take PyTorch. The rows of that script that
//!   need GPUs (`exec_*_gpu*`, `exec_nccl_gpu`) have no counterpart, for maser has no memory on GPUs.

use maser::{Actor, Array, Bytes, Graph, Isolation, Node};
use maser_shm::tensor::dtype::f16;

use crate::harness::{BenchError, Context, Lineup, Offer, Row};

use super::experimental::lineup;

/// Elements of the tensor.
const ELEMENTS: usize = 50_000;

/// Makes tensors.
struct Sender;

#[maser::actor]
impl Sender {
    fn new() -> Self {
        Self
    }

    fn send(&mut self, _go: Bytes) -> maser::Result<Array<f16>> {
        let mut tensor = Array::in_store(ELEMENTS)?;
        tensor.fill(f16::ONE);
        Ok(tensor.seal())
    }
}

/// Looks at them.
struct Receiver;

#[maser::actor]
impl Receiver {
    fn new() -> Self {
        Self
    }

    fn recv(&mut self, tensor: Array<f16>) -> Bytes {
        Bytes::from(if is_ones(&tensor) { "x" } else { "" })
    }
}

/// By its ends (EXR-1).
fn is_ones(tensor: &[f16]) -> bool {
    let ends = (tensor.first(), tensor.last());
    tensor.len() == ELEMENTS && ends == (Some(&f16::ONE), Some(&f16::ONE))
}

fn is_x(answer: &Bytes) -> bool {
    answer.len() == 1 && answer[0] == b'x'
}

fn failed(error: impl ToString) -> BenchError {
    BenchError::contender("maser", error)
}

/// Both, wherever there is room.
fn both(context: &Context) -> Result<(Actor<Sender>, Actor<Receiver>), BenchError> {
    context.cores.unpin()?;
    let sender = Sender::options().isolation(Isolation::Process).remote();
    let receiver = Receiver::options().isolation(Isolation::Process).remote();
    let tensor = sender.send().remote(Bytes::from("x"));
    let first = receiver.recv().remote(tensor).get();
    context.cores.pin(0)?;
    first.map_err(failed)?;
    Ok((sender, receiver))
}

fn copy() -> Result<Offer<Lineup>, BenchError> {
    let ones = vec![f16::ONE; ELEMENTS];
    lineup(move || Ok(is_ones(&std::hint::black_box(&ones).clone())))
}

/// EXR-2.
fn put(copies_out: bool) -> Result<Offer<Lineup>, BenchError> {
    let ones = vec![f16::ONE; ELEMENTS];
    lineup(move || {
        let mut tensor = Array::in_store(ELEMENTS)?;
        tensor.copy_from_slice(&ones);
        let found = maser::put(tensor.seal()).get()?;
        Ok(match copies_out {
            true => is_ones(&std::hint::black_box(found.to_vec())),
            false => is_ones(&found),
        })
    })
}

fn by_calls(context: &Context) -> Result<Offer<Lineup>, BenchError> {
    let (sender, receiver) = both(context)?;
    lineup(move || {
        let tensor = sender.send().remote(Bytes::from("x"));
        Ok(is_x(&receiver.recv().remote(tensor).get()?))
    })
}

fn by_graph(context: &Context) -> Result<Offer<Lineup>, BenchError> {
    let (sender, receiver) = both(context)?;
    let graph = Graph::new(|go: Node<Bytes>| receiver.recv().bind(sender.send().bind(go)));
    let graph = graph.compile().map_err(failed)?;
    lineup(move || Ok(is_x(&graph.execute(Bytes::from("x"))?.get()?)))
}

const ABOUT: &str = "100 KB of f16, as in Ray's own benchmark";

/// See the module's page.
pub const ROWS: &[Row] = &[
    Row::rate("exec_torch_cpu_cpu", 1, ABOUT, |_| copy()).on_request(),
    Row::rate("exec_ray_put_cpu", 1, ABOUT, |_| put(true))
        .in_runtime(1)
        .on_request(),
    Row::rate("exec_ray_put_np_zero_copy", 1, ABOUT, |_| put(false))
        .in_runtime(1)
        .on_request(),
    Row::rate("exec_ray_core_cpu", 2, ABOUT, by_calls)
        .in_runtime(1)
        .on_request(),
    Row::rate("exec_ray_dag_cpu", 2, ABOUT, by_graph)
        .in_runtime(1)
        .on_request(),
];
