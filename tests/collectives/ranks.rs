//! Actors that are members of a group.

use maser::collective::{self, CollectiveError, Group, Member, ReduceOp};
use maser::{Actor, Array, Error, Isolation, Ref, Tensor};
use std::time::Duration;

/// Sure to be over before all have come.
pub const SHORT: Duration = Duration::from_millis(20);
/// Never over in a test.
pub const LONG: Duration = Duration::from_secs(3600);

/// One rank.
pub struct Rank {
    member: Option<Member>,
}

#[maser::actor]
impl Rank {
    pub fn new() -> Self {
        Rank { member: None }
    }

    pub fn join(&mut self, member: Member) {
        self.member = Some(member);
    }

    pub fn place(&self) -> (usize, usize) {
        let member = self.member.as_ref().unwrap();
        (member.rank(), member.world_size())
    }

    pub fn limit(&mut self, limit: Duration) {
        self.member = self.member.take().map(|member| member.with_timeout(limit));
    }

    pub fn allreduce(&mut self, tensor: Tensor, op: ReduceOp) -> maser::Result<Tensor> {
        self.member.as_ref().unwrap().allreduce(&tensor, op)
    }

    pub fn allgather(&mut self, tensor: Tensor) -> maser::Result<Tensor> {
        self.member.as_ref().unwrap().allgather(&tensor)
    }

    pub fn reduce_scatter(&mut self, tensor: Tensor, op: ReduceOp) -> maser::Result<Tensor> {
        self.member.as_ref().unwrap().reduce_scatter(&tensor, op)
    }

    pub fn broadcast(&mut self, root: usize, tensor: Option<Tensor>) -> maser::Result<Tensor> {
        let member = self.member.as_ref().unwrap();
        member.broadcast(root, tensor.as_ref())
    }

    pub fn barrier(&mut self) -> maser::Result<()> {
        self.member.as_ref().unwrap().barrier()
    }

    pub fn send(&mut self, tensor: Tensor, peer: usize) -> maser::Result<()> {
        self.member.as_ref().unwrap().send(&tensor, peer)
    }

    pub fn recv(&mut self, peer: usize) -> maser::Result<Tensor> {
        self.member.as_ref().unwrap().recv(peer)
    }

    /// Sums of `count` operations in a row, as numbers.
    pub fn sums(&mut self, first: u64, count: u64) -> maser::Result<Vec<u64>> {
        let member = self.member.as_ref().unwrap();
        let sums = (first..first + count).map(|number| {
            let tensor = Tensor::from_vec(vec![number], &[1])?;
            let sum = member.allreduce(&tensor, ReduceOp::Sum)?;
            Ok(*sum.view::<u64>()?.get(&[0]).unwrap())
        });
        sums.collect()
    }

    /// The sum of `len` times one, made in the store, and whether it lies there, and elsewhere.
    pub fn shared_sum(&mut self, len: usize) -> maser::Result<(u64, bool, bool)> {
        let mut ones = Array::in_store(len)?;
        ones.fill(1_u64);
        let ones = Tensor::new(&ones.seal(), &[len])?;
        let member = self.member.as_ref().unwrap();
        let sum = member.allreduce(&ones, ReduceOp::Sum)?;
        let sum = sum.to_array::<u64>()?;
        Ok((sum.iter().sum(), sum.is_in_store(), sum.is_foreign()))
    }

    pub fn leave(&mut self) {
        self.member = None;
    }

    pub fn alive(&self) -> bool {
        true
    }

    pub fn abort(&self) {
        std::process::abort();
    }

    /// Objects in the store of its process.
    pub fn objects(&self) -> u64 {
        maser::store_usage().map_or(0, |usage| usage.objects)
    }
}

/// Actors that are processes of their own, but for the first `here`.
pub fn processes(count: usize, here: usize) -> Vec<Actor<Rank>> {
    let place = |at: usize| match at < here {
        true => Rank::remote(),
        false => Rank::options().isolation(Isolation::Process).remote(),
    };
    (0..count).map(place).collect()
}

/// Actors on schedulers `0..schedulers` in turn.
pub fn actors(count: usize, schedulers: usize) -> Vec<Actor<Rank>> {
    let place = |at: usize| Rank::options().scheduler(at % schedulers).remote();
    (0..count).map(place).collect()
}

/// A group of them, which they have joined.
pub fn group(actors: &[Actor<Rank>]) -> maser::Result<Group> {
    let group = collective::create_group(actors, "gloo")?;
    for (actor, member) in actors.iter().zip(group.members()) {
        actor.join().remote(member).get()?;
    }
    Ok(group)
}

/// What all refs have.
pub fn all<T: Clone>(refs: Vec<Ref<T>>) -> maser::Result<Vec<T>> {
    refs.iter().map(Ref::get).collect()
}

/// Numbers in a row.
pub fn row<T: maser::Element>(elements: impl IntoIterator<Item = T>) -> Tensor {
    let elements: Vec<T> = elements.into_iter().collect();
    let len = elements.len();
    Tensor::from_vec(elements, &[len]).unwrap()
}

/// The group's error in an error of a call.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: maser::Result<T>) -> CollectiveError {
    let error = match outcome {
        Err(error) => error,
        Ok(value) => panic!("no error, but {value:?}"),
    };
    let ours = error.downcast_ref::<Error>().unwrap_or(error.root());
    match ours {
        Error::Collective(inner) => (**inner).clone(),
        other => panic!("no error of a group: {other:?}"),
    }
}

/// They still work together.
#[track_caller]
pub fn assert_usable(actors: &[Actor<Rank>]) {
    let ranks = actors.len() as u64;
    let sums = actors.iter().map(|actor| actor.sums().remote(1_u64, 3_u64));
    let sums = all(sums.collect()).unwrap();
    assert_eq!(sums, vec![vec![ranks, 2 * ranks, 3 * ranks]; actors.len()]);
}

/// Who has not come, as a rank is told that has a limit.
pub fn missing(actor: &Actor<Rank>) -> Vec<usize> {
    let sum = actor.allreduce().remote(row([1_u8]), ReduceOp::Sum);
    let CollectiveError::Timeout { missing, .. } = refused(sum.get()) else {
        panic!("no timeout");
    };
    missing.iter().map(|one| one.who.rank).collect()
}
