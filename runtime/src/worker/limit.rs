//! The memory limit of a worker: the kernel refuses it more, and its death says that.
//!
//! - LM-1 what counts is what a process allocates: private memory that it may write (`RLIMIT_DATA`).
//!   The object store does not, which is shared and has a budget of its own (`store_bytes`); nor do
//!   programs and files that are mapped.
//! - LM-2 an allocation that the kernel refuses is null, after which most programs abort. The handler
//!   of SIGABRT leaves last words: how much memory there is, and whether the last thing that
//!   failed was for want of memory. It makes system calls that are allowed in a handler and nothing
//!   else, and the abort goes on.
//! - LM-3 last words are a number in an event that the keeper made for this one worker. They are input:
//!   whatever is in there, it ends up in a sentence.
//!
//! ```text
//! bit 63       set if the last error of the thread was that there is no memory
//! bits 0..63   KiB of data, and one more
//! ```
#![allow(
    unsafe_code,
    reason = "a signal handler, and the system calls that install it"
)]

use maser_shm::sync::atomic::{AtomicU32, Ordering};
use rustix::event::EventfdFlags;
use rustix::process::{Resource, Rlimit};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};

/// Less is too little for a worker itself, with the stacks of a few tasks.
pub(crate) const LEAST_BYTES: usize = 16 << 20;

const WANTED_MEMORY: u64 = 1 << 63;

/// Where the handler writes: a descriptor. Written once, before the handler is there; Relaxed.
static WORDS: AtomicU32 = AtomicU32::new(u32::MAX);

/// The limit of a worker, as the keeper knows it.
pub(super) struct Limit {
    bytes: u64,
    words: OwnedFd,
}

impl Limit {
    /// Of a worker that is to be started.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn of(bytes: u64) -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let words = rustix::event::eventfd(0, flags)?;
        Ok(Self { bytes, words })
    }

    /// What the worker writes its last words to.
    pub(super) fn words(&self) -> BorrowedFd<'_> {
        self.words.as_fd()
    }

    /// What the worker that died of `how` said, if that was about its limit (LM-3).
    pub(super) fn explains(&self, how: String) -> String {
        let mut words = [0; 8];
        let is_there = rustix::io::read(&self.words, &mut words).is_ok_and(|bytes| bytes == 8);
        let words = u64::from_ne_bytes(words);
        let used = (words & !WANTED_MEMORY).saturating_sub(1) << 10;
        // Most allocators ask for more than is left long before the last byte is used.
        let is_near = used >= self.bytes / 10 * 9;
        if !is_there || words & WANTED_MEMORY == 0 && !is_near {
            return how;
        }
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        format!(
            "{how}: it ran into its memory limit, with {} in use of at most {}; raise \
             worker_memory_bytes, or the actor's option memory",
            mib(used),
            mib(self.bytes)
        )
    }
}

/// Limits this process, which leaves its last words in `words`. While there is one thread.
///
/// # Errors
/// What stands in the way, in words.
pub(super) fn hold(bytes: u64, words: OwnedFd) -> Result<(), String> {
    let now = rustix::process::getrlimit(Resource::Data);
    let limit = Rlimit {
        current: Some(now.maximum.map_or(bytes, |most| most.min(bytes))),
        maximum: now.maximum,
    };
    rustix::process::setrlimit(Resource::Data, limit)
        .map_err(|error| format!("its memory cannot be limited to {bytes} bytes: {error}"))?;
    WORDS.store(words.into_raw_fd().cast_unsigned(), Ordering::Relaxed);
    // SAFETY: a zeroed and then filled structure; the handler keeps LM-2.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = last_words as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(libc::SIGABRT, &raw const action, std::ptr::null_mut());
    }
    Ok(())
}

/// LM-2. The abort goes on when it returns.
extern "C" fn last_words(_: i32) {
    // SAFETY: the address of this thread's own.
    let wanted = unsafe { *libc::__errno_location() } == libc::ENOMEM;
    let mut words = data_kib().saturating_add(1) & !WANTED_MEMORY;
    if wanted {
        words |= WANTED_MEMORY;
    }
    let bytes = words.to_ne_bytes();
    let to = WORDS.load(Ordering::Relaxed).cast_signed();
    // SAFETY: LM-2, a plain write; nothing can be done if it fails.
    unsafe { libc::write(to, bytes.as_ptr().cast(), 8) };
}

/// KiB of the process's data; without allocating.
fn data_kib() -> u64 {
    let mut text = [0_u8; 4096];
    // SAFETY: LM-2: plain calls, and the buffer is as long as they are told.
    let read = unsafe {
        let file = libc::open(
            c"/proc/self/status".as_ptr(),
            libc::O_RDONLY | libc::O_CLOEXEC,
        );
        let read = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        read
    };
    let text = &text[..usize::try_from(read).unwrap_or(0)];
    kib_of(text, b"VmData:")
}

/// The number behind `field` in such a text.
fn kib_of(text: &[u8], field: &[u8]) -> u64 {
    let mut lines = text.split(|byte| *byte == b'\n');
    let Some(line) = lines.find_map(|line| line.strip_prefix(field)) else {
        return 0;
    };
    let digits = line.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(limit: &Limit, words: u64) -> String {
        rustix::io::write(limit.words(), &words.to_ne_bytes()).unwrap();
        limit.explains("was killed".to_owned())
    }

    #[test]
    fn a_field_is_found_among_others() {
        let text = b"Name:\tx\nVmSize:\t  12 kB\nVmData:\t  3456 kB\nVmStk:\t 132 kB\n";
        assert_eq!(kib_of(text, b"VmData:"), 3456);
        assert_eq!(kib_of(text, b"VmLck:"), 0);
        assert_eq!(kib_of(b"", b"VmData:"), 0);
    }

    #[test]
    fn a_death_is_blamed_on_the_limit_if_memory_was_wanted_or_nearly_used_up() {
        let limit = || Limit::of(64 << 20).unwrap();
        assert_eq!(limit().explains("was killed".to_owned()), "was killed");
        assert_eq!(said(&limit(), (10 << 10) + 1), "was killed");
        let text = said(&limit(), WANTED_MEMORY | ((10 << 10) + 1));
        assert!(
            text.contains("10.0 MiB in use of at most 64.0 MiB"),
            "{text}"
        );
        let text = said(&limit(), (60 << 10) + 1);
        assert!(
            text.contains("60.0 MiB in use of at most 64.0 MiB"),
            "{text}"
        );
        // LM-3.
        for words in [1, u64::MAX - 1, WANTED_MEMORY] {
            assert!(said(&limit(), words).starts_with("was killed"));
        }
    }
}
