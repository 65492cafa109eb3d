//! The cores a run may use, and pinning to them.
//!
//! The affinity mask counts, not the machine: core 0 of a run is the first core of the mask and
//! core 1 the second.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::BenchError;

/// The cores of the affinity mask in force when the run began.
#[derive(Clone, Debug)]
pub struct Cores {
    usable: Vec<usize>,
    mask: CpuSet,
}

impl Cores {
    /// Reads the calling thread's affinity mask.
    ///
    /// # Errors
    /// The system call's own error.
    pub fn usable() -> Result<Self, BenchError> {
        let mask = sched_getaffinity(None).map_err(|errno| BenchError::Affinity { errno })?;
        let usable = (0..CpuSet::MAX_CPU)
            .filter(|&core| mask.is_set(core))
            .collect();
        Ok(Self { usable, mask })
    }

    /// How many cores there are.
    pub fn count(&self) -> usize {
        self.usable.len()
    }

    /// The machine's number of the run's core `index`.
    pub fn id(&self, index: usize) -> Option<usize> {
        self.usable.get(index).copied()
    }

    /// Pins the calling thread to the run's core `index`; no effect where there is none.
    ///
    /// # Errors
    /// The system call's own error.
    pub fn pin(&self, index: usize) -> Result<(), BenchError> {
        let Some(core) = self.id(index) else {
            return Ok(());
        };
        let mut one = CpuSet::new();
        one.set(core);
        sched_setaffinity(None, &one).map_err(|errno| BenchError::Affinity { errno })
    }

    /// Gives the calling thread all cores of the run back.
    ///
    /// # Errors
    /// The system call's own error.
    pub fn unpin(&self) -> Result<(), BenchError> {
        sched_setaffinity(None, &self.mask).map_err(|errno| BenchError::Affinity { errno })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_sees_one_core_and_an_unpinned_one_sees_all() {
        std::thread::spawn(|| {
            let cores = Cores::usable().unwrap();
            cores.pin(0).unwrap();
            assert_eq!(Cores::usable().unwrap().usable, [cores.id(0).unwrap()]);
            cores.unpin().unwrap();
            assert_eq!(Cores::usable().unwrap().usable, cores.usable);
        })
        .join()
        .unwrap();
    }
}
