//! Children that may do less: system calls refused by a filter, limits lowered.
//!
//! - WU-1 what is done between fork and exec is system calls alone, on memory that was made before.
//! - WU-2 a filter holds for the child and all that it starts, and cannot be taken off.
#![allow(
    unsafe_code,
    reason = "installs a filter in the child, before it becomes the program"
)]

use std::ffi::c_long;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};

/// The calls of io_uring.
pub const IO_URING: [c_long; 3] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// The kernel's number of this architecture (`AUDIT_ARCH_*`).
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Where `struct seccomp_data` has the call's number and the architecture.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// Lets the command's process run where io_uring is answered with `errno`: `EPERM` as container
/// runtimes do, `ENOSYS` as an old kernel does.
pub fn without_io_uring(errno: i32, command: &mut Command) -> &mut Command {
    refuse(command, &IO_URING, errno)
}

/// Lets the command's process run where these system calls are answered with `errno`.
pub fn refuse<'a>(command: &'a mut Command, calls: &[c_long], errno: i32) -> &'a mut Command {
    let filter = filter(calls, errno);
    // SAFETY: WU-1.
    unsafe { command.pre_exec(move || install(&filter)) }
}

/// Has these system calls of this thread, and of those that it starts, answered with `errno` from
/// now on: for processes that were started for one test (WU-2).
///
/// # Errors
/// What the kernel said.
pub fn refuse_from_now_on(calls: &[c_long], errno: i32) -> io::Result<()> {
    install(&filter(calls, errno))
}

/// Puts a filter before the system calls of this thread.
fn install(filter: &[sock_filter]) -> io::Result<()> {
    // SAFETY: WU-1, no pointers are passed.
    let locked = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let program = sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: WU-1, the kernel copies the filter, which outlives the call.
    let installed = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    if locked == 0 && installed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets the command's process run with both limits of a resource (`RLIMIT_*`) at `limit`.
pub fn limit(
    command: &mut Command,
    resource: libc::__rlimit_resource_t,
    limit: u64,
) -> &mut Command {
    let set = move || {
        let limits = libc::rlimit {
            rlim_cur: limit,
            rlim_max: limit,
        };
        // SAFETY: WU-1, the kernel reads the limits.
        match unsafe { libc::setrlimit(resource, &raw const limits) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: WU-1.
    unsafe { command.pre_exec(set) }
}

/// A filter that answers `calls` with `errno` and lets everything else through.
fn filter(calls: &[c_long], errno: i32) -> Vec<sock_filter> {
    let statement = |code: u32, k: u32| sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let load = |at: u32| statement(BPF_LD | BPF_W | BPF_ABS, at);
    let skip_unless_equal = |k: u32| sock_filter {
        jf: 1,
        ..statement(BPF_JMP | BPF_JEQ | BPF_K, k)
    };
    let answer = |k: u32| statement(BPF_RET | BPF_K, k);
    let mut filter = vec![load(ARCHITECTURE_AT)];
    // Calls of another architecture have other numbers.
    filter.push(sock_filter {
        jt: 1,
        ..statement(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE)
    });
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    filter.push(load(NUMBER_AT));
    for call in calls {
        filter.push(skip_unless_equal(*call as u32));
        filter.push(answer(libc::SECCOMP_RET_ERRNO | errno as u32));
    }
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    filter
}
