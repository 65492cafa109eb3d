//! Whether this process may have rings, and why not.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use super::probe::{Probed, Use};

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The machine's administrator switched it off.
    #[error(
        "io_uring is off for this process (kernel.io_uring_disabled = {value}); \
         run `sysctl kernel.io_uring_disabled=0` as root"
    )]
    Disabled {
        /// The setting: 1 for all but members of a group, 2 for all.
        value: u32,
    },
    /// A seccomp filter refuses the system call, as container runtimes do by default.
    #[error(
        "io_uring is refused by a seccomp filter ({source}); allow io_uring_setup, \
         io_uring_enter and io_uring_register in the container's profile, for instance with \
         `docker run --security-opt seccomp=profile.json`"
    )]
    Filtered {
        /// What the filter answers.
        source: io::Error,
    },
    /// The kernel has no such system call.
    #[error(
        "this kernel has no io_uring ({source}); Linux 5.6 or later built with CONFIG_IO_URING has"
    )]
    Missing {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel knows rings but not all operations that are needed.
    #[error("this kernel's io_uring cannot {operation}; Linux {since} or later can")]
    TooOld {
        /// The first operation that is lacking.
        operation: &'static str,
        /// The first version that has it.
        since: &'static str,
    },
    /// A limit is in the way.
    #[error(
        "no resources for an io_uring ring of {depth} entries ({source}); raise `ulimit -n` and, \
         before Linux 5.12, `ulimit -l`"
    )]
    Limit {
        /// Entries asked for.
        depth: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    #[error("the kernel makes no io_uring ring of {depth} entries ({source}); choose 1 to 4096")]
    Refused {
        /// Entries asked for.
        depth: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Whether this process may have rings: asked once, with a small ring that goes at once.
///
/// A filter that is put on later is not seen here; a ring then fails by itself.
///
/// # Errors
/// Why not.
pub fn availability() -> Result<(), &'static Refusal> {
    static ANSWER: OnceLock<Option<Refusal>> = OnceLock::new();
    match ANSWER.get_or_init(|| probe().err()) {
        None => Ok(()),
        Some(refusal) => Err(refusal),
    }
}

fn probe() -> Result<(), Refusal> {
    let operations = super::probe::ask()?;
    let mut needed = operations.iter().filter(|one| one.use_ == Use::Files);
    match needed.find(|one| !one.is_known) {
        Some(Probed { name, since, .. }) => Err(Refusal::TooOld {
            operation: name,
            since,
        }),
        None => Ok(()),
    }
}

/// What an error of the set-up means on the machine below `root`.
pub(super) fn explain(root: &Path, depth: u32, source: io::Error) -> Refusal {
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
    let is_filtered = || {
        let status = read("proc/self/status");
        let mode = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"));
        mode.is_some_and(|mode| mode.trim() != "0")
    };
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let setting = read("proc/sys/kernel/io_uring_disabled");
            match setting.trim().parse() {
                Ok(value) if value != 0 => Refusal::Disabled { value },
                _ => Refusal::Filtered { source },
            }
        }
        Some(libc::ENOSYS) if is_filtered() => Refusal::Filtered { source },
        Some(libc::ENOSYS) => Refusal::Missing { source },
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Refusal::Limit { depth, source },
        _ => Refusal::Refused { depth, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(name: &str, file: &str, text: &str, errno: i32) -> Refusal {
        let unique = format!("maser-refusal-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(unique);
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let refusal = explain(&root, 8, io::Error::from_raw_os_error(errno));
        fs::remove_dir_all(&root).unwrap();
        refusal
    }

    #[test]
    #[cfg_attr(miri, ignore = "writes files")]
    fn the_reason_follows_from_the_error_and_the_machine() {
        let sysctl = "proc/sys/kernel/io_uring_disabled";
        let status = "proc/self/status";
        let off = explained("off", sysctl, "2\n", libc::EPERM);
        assert!(matches!(off, Refusal::Disabled { value: 2 }), "{off}");
        let eperm = explained("eperm", sysctl, "0\n", libc::EPERM);
        assert!(matches!(eperm, Refusal::Filtered { .. }), "{eperm}");
        let enosys = explained("enosys", status, "Seccomp:\t2\n", libc::ENOSYS);
        assert!(matches!(enosys, Refusal::Filtered { .. }), "{enosys}");
        let old = explained("old", status, "Seccomp:\t0\n", libc::ENOSYS);
        assert!(matches!(old, Refusal::Missing { .. }), "{old}");
        let limit = explained("limit", status, "", libc::EMFILE);
        assert!(matches!(limit, Refusal::Limit { depth: 8, .. }), "{limit}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "makes a ring")]
    fn the_answer_is_asked_for_once() {
        let first = availability().err().map(std::ptr::from_ref);
        assert_eq!(first, availability().err().map(std::ptr::from_ref));
    }
}
