//! Several tensors in one operation: vectors, arrays and tuples of them, nested, each worked on as if it
//! were alone; ranks that give other lists are told, all of them.

use crate::ranks::{all, refused, row};
use maser::collective::{self, CollectiveError, Group, Member, ReduceOp};
use maser::{Actor, Array, Isolation, Tensor};
use maser_tests::{quiet, with_runtime};

/// What a model has: layers of weights and biases, and how often each was seen.
type Model = (Vec<(Tensor, Array<f32>)>, [Array<u64>; 2]);

struct Rank {
    member: Option<Member>,
}

#[maser::actor]
impl Rank {
    fn new() -> Self {
        Rank { member: None }
    }

    fn join(&mut self, member: Member) {
        self.member = Some(member);
    }

    fn allreduce(&mut self, model: Model, op: ReduceOp) -> maser::Result<Model> {
        self.member().allreduce_all(&model, op)
    }

    fn allgather(&mut self, model: Model) -> maser::Result<Model> {
        self.member().allgather_all(&model)
    }

    fn reduce_scatter(&mut self, model: Model) -> maser::Result<Model> {
        self.member().reduce_scatter_all(&model, ReduceOp::Sum)
    }

    fn broadcast(&mut self, root: usize, model: Option<Model>) -> maser::Result<Model> {
        self.member().broadcast_all(root, model.as_ref())
    }

    fn sum(&mut self, tensors: Vec<Tensor>) -> maser::Result<Vec<Tensor>> {
        self.member().allreduce_all(&tensors, ReduceOp::Sum)
    }

    /// One tensor, where the others may give lists.
    fn one(&mut self, tensor: Tensor) -> maser::Result<Tensor> {
        self.member().allreduce(&tensor, ReduceOp::Sum)
    }
}

impl Rank {
    fn member(&self) -> &Member {
        self.member.as_ref().expect("it has joined")
    }
}

/// Ranks in this process, but for those above `here`.
fn ranks(count: usize, here: usize) -> (Vec<Actor<Rank>>, Group) {
    let place = |at: usize| match at < here {
        true => Rank::options().scheduler(at % 2).remote(),
        false => Rank::options().isolation(Isolation::Process).remote(),
    };
    let actors: Vec<_> = (0..count).map(place).collect();
    let group = collective::create_group(&actors, "gloo").unwrap();
    for (actor, member) in actors.iter().zip(group.members()) {
        actor.join().remote(member).get().unwrap();
    }
    (actors, group)
}

/// Elements of the large tensors: more than one piece of work each.
const LARGE: usize = 100_000;

fn model(by: u64) -> Model {
    let layer = |len: usize| {
        let weights = row((0..len).map(|at| (at as u64 * by) as f64));
        let biases = Array::from_vec(vec![by as f32; 2]);
        (weights, biases)
    };
    let layers = vec![layer(4), layer(LARGE), layer(2 * LARGE), layer(6)];
    let seen = [2_u64, 4].map(|len| (0..len).map(|at| at + by).collect());
    (layers, seen)
}

fn assert_same(one: &Model, other: &Model) {
    assert_eq!(one.0.len(), other.0.len());
    for ((weights, biases), (others, other)) in one.0.iter().zip(&other.0) {
        assert_eq!(weights, others);
        assert_eq!(biases, other);
    }
    assert_eq!(one.1, other.1);
}

#[test]
fn each_tensor_of_a_nested_value_is_reduced_as_if_it_were_alone() {
    with_runtime(quiet(2), |_| {
        for here in [3, 1] {
            let (actors, _group) = ranks(3, here);
            for _ in 0..3 {
                let sums = (1..).zip(&actors);
                let sums = sums.map(|(by, rank)| rank.allreduce().remote(model(by), ReduceOp::Sum));
                let mut expected = model(6);
                // Not multiplied by the rank alone: 3 times the place as well.
                expected.1 = [2_u64, 4].map(|len| (0..len).map(|at| 3 * at + 6).collect());
                for sum in all(sums.collect()).unwrap() {
                    assert_same(&sum, &expected);
                }
            }
        }
    });
}

#[test]
fn the_other_operations_take_nested_values_too() {
    with_runtime(quiet(2), |_| {
        for here in [2, 1] {
            let (actors, _group) = ranks(2, here);
            let both = (1..).zip(&actors);
            let both = both.map(|(by, rank)| rank.allgather().remote(model(by)));
            for whole in all(both.collect()).unwrap() {
                assert_eq!(whole.0[2].0.shape(), [4 * LARGE]);
                assert_eq!(&*whole.0[0].1, [1.0, 1.0, 2.0, 2.0]);
                assert_eq!(&*whole.1[0], [1, 2, 2, 3]);
            }
            let both = (1..).zip(&actors);
            let both = both.map(|(by, rank)| rank.reduce_scatter().remote(model(by)));
            for (at, part) in all(both.collect()).unwrap().iter().enumerate() {
                assert_eq!(part.0[2].0.shape(), [LARGE]);
                assert_eq!(&*part.0[0].1, [3.0]);
                assert_eq!(&*part.1[0], [3 + 2 * at as u64]);
            }
            let from_one = [
                actors[0].broadcast().remote(1_usize, None),
                actors[1].broadcast().remote(1_usize, Some(model(7))),
            ];
            for same in all(from_one.into()).unwrap() {
                assert_same(&same, &model(7));
            }
        }
    });
}

#[test]
fn lists_of_no_tensors_and_of_one_are_lists() {
    with_runtime(quiet(1), |_| {
        let (actors, _group) = ranks(2, 1);
        let sum = |tensors: Vec<Tensor>| {
            let sums = actors.iter().map(|rank| rank.sum().remote(tensors.clone()));
            all(sums.collect()).unwrap()
        };
        assert_eq!(sum(vec![]), [vec![], vec![]]);
        assert_eq!(sum(vec![row([1_u8])]), [[row([2_u8])], [row([2_u8])]]);
    });
}

#[test]
fn lists_that_do_not_fit_together_are_told_to_all_and_the_group_goes_on() {
    let (short, long) = (vec![row([1_u8])], vec![row([1_u8]), row([2_u8, 3])]);
    let other_shape = vec![row([1_u8]), row([2_u8])];
    let sum_of = "allreduce (sum) of";
    with_runtime(quiet(2), |_| {
        for here in [2, 1] {
            let (actors, _group) = ranks(2, here);
            let cases = [
                (&short, "a list of 2", "a list of 1"),
                (
                    &other_shape,
                    "uint8 [2], number 2 of a list of 2",
                    "uint8 [1], number 2 of a list of 2",
                ),
            ];
            for (other, one_text, other_text) in cases {
                let refs = [
                    actors[0].sum().remote(long.clone()),
                    actors[1].sum().remote(other.clone()),
                ];
                for outcome in refs {
                    let CollectiveError::Mismatch {
                        one_gave,
                        other_gave,
                        ..
                    } = refused(outcome.get())
                    else {
                        panic!("no mismatch");
                    };
                    assert_eq!(one_gave, format!("{sum_of} {one_text}"));
                    assert_eq!(other_gave, format!("{sum_of} {other_text}"));
                }
            }
            // A list and a tensor.
            let list = actors[0].sum().remote(short.clone());
            let one = actors[1].one().remote(row([1_u8]));
            for error in [refused(list.get()), refused(one.get())] {
                let text = error.to_string();
                assert!(text.contains("a list of 1"), "{text}");
                assert!(text.contains("uint8 [1]"), "{text}");
            }
            let sums = actors.iter().map(|rank| rank.sum().remote(short.clone()));
            assert_eq!(all(sums.collect()).unwrap(), [[row([2_u8])], [row([2_u8])]]);
        }
    });
}
