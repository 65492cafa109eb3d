//! Which CPUs this thread may use, and pinning it to one of them.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::OsError;

/// The CPUs the calling thread may run on, ascending.
///
/// # Errors
/// [`OsError::AffinityUnreadable`].
pub fn current() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None).map_err(|errno| OsError::AffinityUnreadable {
        source: errno.into(),
    })?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// Pins the calling thread to `cpu`.
///
/// # Errors
/// [`OsError::CpuNotAllowed`] when `cpu` does not exist or lies outside the process's cpuset.
pub fn pin(cpu: usize) -> io::Result<()> {
    set(&[cpu])
}

/// Lets the calling thread run on `cpus`.
///
/// # Errors
/// [`OsError::CpuNotAllowed`] names the last of them when none may be used or one does not exist.
pub fn set(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    let known = cpus.iter().all(|&cpu| cpu < CpuSet::MAX_CPU);
    let done = if known && !cpus.is_empty() {
        cpus.iter().for_each(|&cpu| set.set(cpu));
        sched_setaffinity(None, &set)
    } else {
        Err(rustix::io::Errno::INVAL)
    };
    done.map_err(|errno| {
        let allowed = current().unwrap_or_default();
        OsError::CpuNotAllowed {
            cpu: cpus.last().copied().unwrap_or_default(),
            allowed,
            source: errno.into(),
        }
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "sets the affinity")]
    fn a_pinned_thread_may_use_one_cpu() {
        let last = *current().unwrap().last().unwrap();
        let pinned = std::thread::spawn(move || {
            pin(last).unwrap();
            current().unwrap()
        });
        assert_eq!(pinned.join().unwrap(), [last]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "sets the affinity")]
    fn a_pinned_thread_can_be_let_go() {
        let before = current().unwrap();
        let after = std::thread::spawn(move || {
            pin(before[0]).unwrap();
            set(&before).unwrap();
            (before, current().unwrap())
        });
        let (before, after) = after.join().unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn a_cpu_that_is_not_there_is_refused_by_name() {
        let error = pin(100_000).unwrap_err();
        assert!(error.to_string().contains("CPU 100000"), "{error}");
    }
}
