//! A second process of a test, over the same control memory.
//!
//! - SE-1 it is this test program again with one test and the part it is to play there; the test
//!   begins with [`part`], which is `None` in the first process.
//! - SE-2 the memory's descriptor travels over a socket that is its standard input, as it does
//!   between a keeper and its workers.
//! - SE-3 a process whose handle is dropped is killed and waited for, so that none is left over.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};

use maser_shm::control::ControlMemory;
use maser_shm::os::shared_memory;

const VARIABLE: &str = "MASER_TEST_PART";

/// The other process.
pub struct Process(Child);

impl Process {
    /// Starts `part` of `test` over `memory`.
    pub fn start(test: &str, part: &str, memory: &ControlMemory) -> Self {
        let (here, there) = UnixStream::pair().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(VARIABLE, part)
            .stdin(Stdio::from(OwnedFd::from(there)))
            .stdout(Stdio::null())
            .spawn();
        let bytes = (memory.bytes() as u64).to_ne_bytes();
        let sent = shared_memory::send(&here, &bytes, &[memory.file()]);
        assert_eq!(sent.unwrap(), bytes.len());
        Self(child.unwrap())
    }

    /// Kills it at whatever instruction it is.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits for its end.
    pub fn join(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// In the other process: its part, and the memory as it sees it.
pub fn part() -> Option<(String, ControlMemory)> {
    let part = std::env::var(VARIABLE).ok()?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut bytes = [0; 8];
    let (count, mut files) = shared_memory::receive(&UnixStream::from(socket), &mut bytes).unwrap();
    assert_eq!((count, files.len()), (8, 1));
    let claimed = u64::from_ne_bytes(bytes);
    let memory = ControlMemory::attach(files.remove(0), claimed, "the first process");
    Some((part, memory.unwrap()))
}

/// Looks until there is an answer.
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::thread::yield_now();
    }
}
