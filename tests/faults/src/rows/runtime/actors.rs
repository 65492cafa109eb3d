//! What runs in the worker processes: answers that can be foretold, and arrays that show whether
//! they are whole.

use maser::collective::{Member, ReduceOp};
use maser::{Actor, Array, Graph, GraphHandle, Isolation, Node, Tensor};

use super::scribbles::{self, Scribbles};

/// An actor that does what it is told.
pub struct Busy {
    kept: Vec<Array<u64>>,
    /// An actor of this process that a graph of it goes through.
    near: Option<Actor<Busy>>,
}

/// A graph of one number.
pub type Shared = GraphHandle<Node<u64>, Node<u64>>;

#[maser::actor]
impl Busy {
    pub fn new() -> Self {
        Busy {
            kept: Vec::new(),
            near: None,
        }
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn echo(&self, number: u64, text: String) -> (u64, String) {
        (number, text)
    }

    pub fn sum(&self, array: Array<u64>) -> u64 {
        sum_of(&array)
    }

    pub fn make(&self, number: u64, len: u64) -> Array<u64> {
        array(number, len)
    }

    /// Holds some of what it was given, for the case that it dies.
    pub fn keep(&mut self, array: Array<u64>) -> u64 {
        if self.kept.len() == 4 {
            self.kept.remove(0);
        }
        let sum = sum_of(&array);
        self.kept.push(array);
        sum
    }

    #[maser(stream)]
    pub fn count(&self, from: u64) -> impl Iterator<Item = u64> {
        (0..).map(move |at| element(from, at))
    }

    /// A step of a graph. Whoever is to halt stops itself as `SIGSTOP` does.
    pub fn step(&mut self, value: u64, halts: u32) -> u64 {
        if halts == std::process::id() {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::STOP).expect("stops");
        }
        value + 1
    }

    /// A graph of this process, for others.
    pub fn graph(&mut self) -> maser::Result<Shared> {
        let near = busy_here();
        let graph = Graph::new(|value: Node<u64>| near.step().bind(value, 0)).compile()?;
        self.near = Some(near);
        Ok(graph.into_handle())
    }

    /// Executes a graph without end; some results are never fetched, and some are held.
    pub fn drive(&self, graph: Shared) -> maser::Result<()> {
        let mut held = Vec::new();
        for value in 0.. {
            let result = graph.execute(value)?;
            match value % 4 {
                0 => drop(result),
                1 if held.len() < 4 => held.push((value, result)),
                _ => assert_eq!(result.get()?, value + 1),
            }
            if value % 64 == 63 {
                for (value, result) in held.drain(..) {
                    assert_eq!(result.get()?, value + 1);
                }
            }
        }
        Ok(())
    }

    /// So many allreduces as a member, small and large ones in turn.
    pub fn reduce(&self, member: Member, times: u64) -> maser::Result<()> {
        for at in 0..times {
            let ones = self.ones(1 + 40_000 * (at % 2))?;
            let sum = self.first(member.allreduce(&ones, ReduceOp::Sum)?);
            assert_eq!(sum, member.world_size() as f32);
        }
        Ok(())
    }

    /// A member's part.
    pub fn ones(&self, len: u64) -> maser::Result<Tensor> {
        Tensor::from_vec(vec![1_f32; len as usize], &[len as usize])
    }

    /// The first element of what came of all.
    pub fn first(&self, tensor: Tensor) -> f32 {
        let view = tensor.view::<f32>().expect("its type");
        *view.get(&[0]).expect("an element")
    }

    /// A step of a graph that large values go through.
    pub fn pass(&self, array: Array<u64>) -> Array<u64> {
        array
    }

    /// Writes nonsense over all that its process shares, some times at once and then, if it is to,
    /// until it ends. Only a planted bug names `another` process.
    pub fn scribble(&self, seed: u64, times: u64, forever: bool, another: u32) {
        let mut scribbles = Scribbles::new(seed).expect("its own memory");
        if another != 0 {
            scribbles::over_another(another, seed).expect("another's memory");
        }
        (0..times).for_each(|_| scribbles.once());
        if forever {
            std::thread::spawn(move || {
                loop {
                    scribbles.once();
                }
            });
        }
    }

    /// Leaves a name behind, as only a planted bug does.
    pub fn litter(&self, path: String) {
        std::fs::write(path, b"left").expect("a file");
    }
}

/// One in a process of its own.
pub fn busy() -> Actor<Busy> {
    Busy::options().isolation(Isolation::Process).remote()
}

/// One in the driver.
pub fn busy_here() -> Actor<Busy> {
    Busy::options().isolation(Isolation::Thread).remote()
}

#[maser::task(max_retries = 1000)]
pub fn task_sum(array: Array<u64>) -> u64 {
    sum_of(&array)
}

#[maser::task(max_retries = 1000)]
pub fn task_make(number: u64, len: u64) -> Array<u64> {
    array(number, len)
}

/// Ends by itself, so that it does not keep a place of the pool from others.
#[maser::task(stream)]
pub fn task_count(from: u64, to: u64) -> impl Iterator<Item = u64> {
    (0..to).map(move |at| element(from, at))
}

/// Element `at` of array or stream `number`.
pub fn element(number: u64, at: u64) -> u64 {
    (number ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The array of this number, in the store of the calling process.
pub fn array(number: u64, len: u64) -> Array<u64> {
    let mut array = Array::in_store(len as usize).expect("room in the store");
    for (at, to) in array.iter_mut().enumerate() {
        *to = element(number, at as u64);
    }
    array.seal()
}

/// Whether these are all the bytes of the array of this number.
pub fn is_whole(array: &Array<u64>, number: u64, len: u64) -> bool {
    let right = |(at, &found): (usize, &u64)| found == element(number, at as u64);
    array.len() as u64 == len && array.iter().enumerate().all(right)
}

/// The sum that says which elements there are, and in which order.
pub fn sum_of(array: &Array<u64>) -> u64 {
    array.iter().fold(0, |sum, &element| mixed(sum, element))
}

/// [`sum_of`] the array of this number.
pub fn sum(number: u64, len: u64) -> u64 {
    (0..len).fold(0, |sum, at| mixed(sum, element(number, at)))
}

fn mixed(sum: u64, element: u64) -> u64 {
    sum.rotate_left(5).wrapping_add(element)
}
