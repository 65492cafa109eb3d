//! Several tensors in one operation: what each comes to, and all of them together.
//!
//! - GP-8 each tensor of a list is combined as if it were alone, in the order of the list (GP-5). What is
//!   large of them is left over and done in pieces, those of the first before those of the next; whoever
//!   does the last piece of all has the result.

use super::combine::{Naming, Shared, combine};
use super::error::CollectiveError;
use super::make::Made;
use super::operation::{Contribution, Operation};
use super::tensors::Tensors;
use super::work::{Step, Work};
use maser_shm::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What came of one member of a list, or will.
struct Part {
    shared: OnceLock<Shared>,
    work: Option<Arc<dyn Work>>,
}

/// Large members of a list (GP-8).
struct Several {
    parts: Vec<Part>,
    /// Parts that are not done. AcqRel: whoever brings it to zero sees all results.
    left: AtomicUsize,
    /// All pieces of the parts before this one are claimed. Relaxed: a hint where to look.
    first: AtomicUsize,
}

impl Several {
    fn shared(&self) -> Shared {
        let parts = self.parts.iter().map(|part| match part.shared.get() {
            Some(shared) => shared.clone(),
            None => unreachable!("GP-8: all of them are done"),
        });
        Shared::Many(parts.collect())
    }
}

impl Work for Several {
    fn step(&self) -> Step {
        let first = self.first.load(Ordering::Relaxed);
        for (at, part) in self.parts.iter().enumerate().skip(first) {
            match part.work.as_ref().map(|work| work.step()) {
                None | Some(Step::Nothing) => {
                    self.first.fetch_max(at + 1, Ordering::Relaxed);
                }
                Some(Step::Done) => return Step::Done,
                Some(Step::Last(shared)) => {
                    let _first = part.shared.set(shared);
                    return match self.left.fetch_sub(1, Ordering::AcqRel) {
                        1 => Step::Last(self.shared()),
                        _ => Step::Done,
                    };
                }
            }
        }
        Step::Nothing
    }
}

/// The list of so many members that `given`, by rank, comes to: all that give anything give as many.
pub(super) fn combine_each(
    given: &[Contribution],
    operation: Operation,
    count: usize,
    naming: &Naming<'_>,
) -> std::result::Result<Made, Arc<CollectiveError>> {
    let mut parts = Vec::with_capacity(count);
    let mut left = 0;
    for at in 0..count {
        let members = given.iter().map(|part| member(part, operation, at));
        let made = combine(members.collect(), naming);
        let made = made.map_err(|error| Arc::new(error.of_member(at, count)))?;
        parts.push(match made {
            Made::Done(shared) => Part {
                shared: OnceLock::from(shared),
                work: None,
            },
            Made::Left(work) => {
                left += 1;
                Part {
                    shared: OnceLock::new(),
                    work: Some(work),
                }
            }
        });
    }
    let several = Several {
        parts,
        left: AtomicUsize::new(left),
        first: AtomicUsize::new(0),
    };
    Ok(match left {
        0 => Made::Done(several.shared()),
        _ => Made::Left(Arc::new(several)),
    })
}

/// What a rank gives to the operation on the member `at` of a list.
fn member(part: &Contribution, operation: Operation, at: usize) -> Contribution {
    let given = match part {
        Contribution::Part(_, Some(Tensors::Many(members))) => members.get(at).cloned(),
        _ => None,
    };
    Contribution::Part(operation, given)
}
