//! A process stepped through by its parent, instruction by instruction.
//!
//! - TR-1 only the thread that forks a victim traces it, as the kernel wants it.
//! - TR-2 other threads of a victim are not traced and run on; a kill ends them all.
#![allow(unsafe_code, reason = "ptrace")]

use std::io;

use rustix::process::Pid;

use crate::child::{self, Child, End, signal_name};
use crate::row::{Outcome, Stop, broken};

/// Exit code of a child that may not be traced.
pub const REFUSED: i32 = 77;

/// Called in the victim: its parent is to trace it.
pub fn allow() {
    // SAFETY: changes nothing but who may trace the process; the other arguments are not read.
    let allowed = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    if allowed != 0 {
        // SAFETY: leaves without destructors (FK-2).
        unsafe { libc::_exit(REFUSED) };
    }
}

/// From now on this thread traces a process, which runs on. False if it may not.
pub fn seize(pid: u32) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid as libc::pid_t, 0, 0) == 0 }
}

/// Waits for the end of a process that this thread traces, as its parent can only then.
pub fn let_go(pid: u32) -> bool {
    let mut status = 0;
    let pid = pid as libc::pid_t;
    // SAFETY: the status is a local.
    unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) == pid }
}

/// Why a traced process is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// This signal is on its way to it, or it has made a step (`SIGTRAP`).
    At(i32),
    /// It has exited.
    Exited(i32),
    /// It has been killed.
    Killed(i32),
}

/// Waits until the process stops or ends.
pub fn wait(victim: &mut Child) -> Outcome<Stopped> {
    let pid = victim.pid();
    let mut status = 0;
    loop {
        // SAFETY: the status is a local.
        let waited = unsafe { libc::waitpid(raw(pid), &raw mut status, libc::__WALL) };
        if waited == raw(pid) {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(broken(format!("waitpid: {error}")));
        }
    }
    Ok(if libc::WIFSTOPPED(status) {
        Stopped::At(libc::WSTOPSIG(status))
    } else if libc::WIFSIGNALED(status) {
        victim.has_ended(End::Signal(libc::WTERMSIG(status)));
        Stopped::Killed(libc::WTERMSIG(status))
    } else {
        victim.has_ended(End::Exit(libc::WEXITSTATUS(status)));
        Stopped::Exited(libc::WEXITSTATUS(status))
    })
}

/// At the first stop: a victim dies with its tracer.
pub fn tie(pid: Pid) -> Outcome<()> {
    // SAFETY: the process is a stopped child (TR-1).
    let tied = unsafe {
        libc::ptrace(
            libc::PTRACE_SETOPTIONS,
            raw(pid),
            0,
            libc::PTRACE_O_EXITKILL,
        )
    };
    done("set options of", tied)
}

/// Lets it run on to its next stop, with this signal, or none (0).
pub fn go_on(pid: Pid, signal: i32) -> Outcome<()> {
    // SAFETY: as in `tie`.
    let gone = unsafe { libc::ptrace(libc::PTRACE_CONT, raw(pid), 0, i64::from(signal)) };
    done("continue", gone)
}

/// Makes one instruction, or one system call.
pub fn step(victim: &mut Child) -> Outcome<()> {
    let pid = victim.pid();
    // SAFETY: as in `tie`.
    let stepped = unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, raw(pid), 0, 0) };
    done("step", stepped)?;
    match wait(victim)? {
        Stopped::At(libc::SIGTRAP) => Ok(()),
        Stopped::At(signal) => Err(broken(format!(
            "the victim got signal {signal} ({}) in its operation",
            signal_name(signal)
        ))),
        other => Err(broken(format!("the victim ended by itself: {other:?}"))),
    }
}

/// Where it stands.
#[cfg(target_arch = "x86_64")]
pub fn place(pid: Pid) -> u64 {
    let register =
        std::mem::offset_of!(libc::user, regs) + std::mem::offset_of!(libc::user_regs_struct, rip);
    // SAFETY: as in `tie`; reads a register. A failure gives an address where nothing is.
    unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, raw(pid), register, 0) as u64 }
}

/// Runs to `place`, past `passes` arrivals there; whether it came there before it stopped
/// otherwise. There are breakpoints of the processor in it, so no byte of the program changes.
#[cfg(target_arch = "x86_64")]
pub fn run_to(victim: &mut Child, place: u64, passes: u32) -> Outcome<bool> {
    let pid = victim.pid();
    /// Breakpoint 0, for this process, when an instruction is fetched.
    const ARMED: u64 = 1;
    set_debug_register(pid, 0, place)?;
    set_debug_register(pid, 7, ARMED)?;
    let mut arrived = true;
    for _ in 0..=passes {
        go_on(pid, 0)?;
        match wait(victim)? {
            Stopped::At(libc::SIGTRAP) => {}
            Stopped::At(libc::SIGSTOP) => {
                arrived = false;
                break;
            }
            other => return Err(broken(format!("the victim ran on and {other:?}"))),
        }
    }
    set_debug_register(pid, 7, 0)?;
    Ok(arrived)
}

#[cfg(target_arch = "x86_64")]
fn set_debug_register(pid: Pid, register: usize, value: u64) -> Outcome<()> {
    let offset = std::mem::offset_of!(libc::user, u_debugreg) + register * size_of::<u64>();
    // SAFETY: as in `tie`; a breakpoint changes nothing but where it stops.
    let set = unsafe { libc::ptrace(libc::PTRACE_POKEUSER, raw(pid), offset, value) };
    done("set a breakpoint in", set)
}

/// No steps there ([`possible`]).
#[cfg(not(target_arch = "x86_64"))]
pub fn place(_pid: Pid) -> u64 {
    0
}

/// No steps there ([`possible`]).
#[cfg(not(target_arch = "x86_64"))]
pub fn run_to(_victim: &mut Child, _place: u64, _passes: u32) -> Outcome<bool> {
    Ok(false)
}

/// An address of the running program as `addr2line` wants it.
pub fn in_the_file(place: u64) -> u64 {
    place.wrapping_sub(load_address())
}

/// Where this program, and thus its forks, lie.
fn load_address() -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_default();
    let line = maps
        .lines()
        .find(|line| line.ends_with(&*program.to_string_lossy()));
    let start = line.and_then(|line| line.split('-').next());
    start.map_or(0, |start| u64::from_str_radix(start, 16).unwrap_or(0))
}

/// Whether processes here can be stepped through.
pub fn possible() -> Outcome<()> {
    if !cfg!(target_arch = "x86_64") {
        let reason = "a step of this processor breaks its reservations, so it would never end";
        return Err(Stop::Skipped(reason.into()));
    }
    let mut child = child::fork(|| {
        allow();
        0
    })?;
    match child.wait() {
        End::Exit(0) => Ok(()),
        _ => Err(Stop::Skipped(
            "ptrace is refused; let the sandbox pass it".into(),
        )),
    }
}

fn done(what: &str, result: libc::c_long) -> Outcome<()> {
    if result == -1 {
        let error = io::Error::last_os_error();
        return Err(broken(format!("cannot {what} the victim: {error}")));
    }
    Ok(())
}

fn raw(pid: Pid) -> libc::pid_t {
    pid.as_raw_nonzero().get()
}
