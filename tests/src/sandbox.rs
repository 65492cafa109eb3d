//! Processes that may do less: system calls refused by a filter, limits lowered, another user.
//!
//! - WU-1 what is done between fork and exec is system calls alone, on memory that was made before.
//! - WU-2 a filter holds for the process and all that it starts, and cannot be taken off.
//! - WU-3 a refused flag is looked for in the argument that has it; calls without it go through.
#![allow(
    unsafe_code,
    reason = "system calls that take rights from this process or from a child before it is the program"
)]

use std::ffi::c_long;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog,
};

/// The calls of io_uring.
pub const IO_URING: [c_long; 3] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// What asks for huge pages: the call, its argument with the flag, the flag (WU-3).
const HUGE_PAGES: [(c_long, u32, u32); 2] = [
    (libc::SYS_memfd_create, 1, libc::MFD_HUGETLB),
    (libc::SYS_mmap, 3, libc::MAP_HUGETLB as u32),
];

/// Locked bytes and open descriptors of a user whose limits nobody raised (Linux since 5.16, and
/// most distributions).
const MEMLOCK_BYTES: u64 = 8 << 20;
const DESCRIPTORS: u64 = 1024;

/// The kernel's number of this architecture (`AUDIT_ARCH_*`).
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Where `struct seccomp_data` has the call's number, the architecture and the arguments, each of
/// 8 bytes with the low ones first on both architectures.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

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

/// Has huge pages refused from now on, as a kernel does that was built without them.
///
/// # Errors
/// What the kernel said.
pub fn refuse_huge_pages_from_now_on() -> io::Result<()> {
    let mut filter = beginning();
    for (call, argument, flag) in HUGE_PAGES {
        filter.extend([
            jump_unless(BPF_JEQ, call as u32, 4),
            load(ARGUMENTS_AT + 8 * argument),
            jump_unless(BPF_JSET, flag, 1),
            answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
            load(NUMBER_AT),
        ]);
    }
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    install(&filter)
}

/// Makes this process, which has one thread, that of another user without any rights of root, and
/// lowers its limits to what such a user has.
///
/// # Errors
/// What the kernel said: `EPERM` where this is not root.
pub fn become_user(id: u32) -> io::Result<()> {
    let done = |result: i32| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    for (resource, limit) in [
        (libc::RLIMIT_MEMLOCK, MEMLOCK_BYTES),
        (libc::RLIMIT_NOFILE, DESCRIPTORS),
    ] {
        let limits = libc::rlimit {
            rlim_cur: limit,
            rlim_max: limit,
        };
        // SAFETY: WU-1, the kernel reads the limits.
        done(unsafe { libc::setrlimit(resource, &raw const limits) })?;
    }
    // SAFETY: WU-1, no pointer is followed: the list is empty.
    done(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: WU-1, no pointers are passed.
    done(unsafe { libc::setresgid(id, id, id) })?;
    // SAFETY: as above.
    done(unsafe { libc::setresuid(id, id, id) })
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
    let mut filter = beginning();
    for call in calls {
        filter.push(jump_unless(BPF_JEQ, *call as u32, 1));
        filter.push(answer(libc::SECCOMP_RET_ERRNO | errno as u32));
    }
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    filter
}

/// Lets calls of other architectures through, which have other numbers, and loads the call's.
fn beginning() -> Vec<sock_filter> {
    let is_ours = sock_filter {
        jt: 1,
        ..statement(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE)
    };
    let allow = answer(libc::SECCOMP_RET_ALLOW);
    vec![load(ARCHITECTURE_AT), is_ours, allow, load(NUMBER_AT)]
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

fn load(at: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, at)
}

fn answer(k: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, k)
}

/// Passes over so many statements unless what was loaded is `k`, or has its bits (`BPF_JSET`).
fn jump_unless(test: u32, k: u32, statements: u8) -> sock_filter {
    sock_filter {
        jf: statements,
        ..statement(BPF_JMP | test | BPF_K, k)
    }
}
