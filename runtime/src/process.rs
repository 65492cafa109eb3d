//! What the runtime asks of the process it runs in, behind a trait.
//!
//! The real one is [`OsProcess`]; a simulation puts its own in its place. Worker processes are
//! started, watched and ended by the keeper alone (`worker/keeper.rs`).

/// Identity and end of the own process.
pub trait ProcessControl: Send + Sync {
    /// The process's number.
    fn id(&self) -> u32;

    /// The number of the process that started this one, or of the one that adopted it since.
    fn parent_id(&self) -> u32;

    /// Ends the process as if it had been killed: nothing more of it runs.
    fn exit_now(&self) -> !;

    /// Ends the process with `code`; only its low 8 bits reach the parent.
    fn exit(&self, code: i32) -> !;
}

/// The process as the operating system sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsProcess;

impl ProcessControl for OsProcess {
    fn id(&self) -> u32 {
        std::process::id()
    }

    fn parent_id(&self) -> u32 {
        std::os::unix::process::parent_id()
    }

    fn exit_now(&self) -> ! {
        let _killed =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort()
    }

    fn exit(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Set in the copy of the test binary that is to end.
    const ROLE: &str = "PROCESS_TEST_EXIT_CODE";

    #[test]
    fn exit_ends_the_process_with_its_code() {
        if let Ok(code) = std::env::var(ROLE) {
            OsProcess.exit(code.parse().expect("a number"));
        }
        let status = Command::new(std::env::current_exe().expect("the test binary"))
            .args([
                "--exact",
                "process::tests::exit_ends_the_process_with_its_code",
            ])
            .env(ROLE, "37")
            .status()
            .expect("the test binary starts");
        assert_eq!(status.code(), Some(37));
    }

    #[test]
    fn a_process_knows_itself_and_its_parent() {
        let control: &dyn ProcessControl = &OsProcess;
        let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
        let (before, after) = stat.rsplit_once(')').expect("the name in parentheses");
        let id: u32 = before
            .split_once(' ')
            .expect("pid first")
            .0
            .parse()
            .expect("a number");
        let parent: u32 = after
            .split_whitespace()
            .nth(1)
            .expect("ppid second")
            .parse()
            .expect("a number");
        assert_eq!((control.id(), control.parent_id()), (id, parent));
    }
}
