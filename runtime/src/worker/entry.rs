//! How an executable becomes a worker: before its `main`.
//!
//! A worker is the driver's own executable started again (`/proc/self/exe`), with its end of the
//! keeper's socket as standard input and [`VARIABLE`] set. A function in `.init_array` sees that,
//! works until it is told to stop, and ends the process: `main` never runs, so no side effect of
//! the program happens twice. Any executable can be a worker: a test, a benchmark, a C program that
//! links the static library.
//!
//! - WE-1 at that time there is one thread, std's own start-up (the handling of SIGPIPE, the
//!   name of the main thread) has not run, and static constructors of C++ that come later in the
//!   link order have not either. What a Rust `main` could rely on beyond that is done here.
//! - WE-2 the variable is taken away, so that programs which the worker starts are what they are.
#![allow(
    unsafe_code,
    reason = "a function in .init_array, and the environment while there is one thread"
)]

use super::member;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// Set in the environment of a worker: the number of the process that started it.
pub(super) const VARIABLE: &str = "MASER_WORKER_OF";

/// What a worker ends with when it could not begin.
const CANNOT_BEGIN: i32 = 70;

#[used]
// SAFETY: the loader calls each entry of the section once, as `extern "C"` with arguments that
// this function does not take.
#[unsafe(link_section = ".init_array")]
static ENTER: extern "C" fn() = enter;

extern "C" fn enter() {
    let Some(parent) = std::env::var_os(VARIABLE) else {
        return;
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "WE-1, WE-2: nobody reads it meanwhile"
    )]
    // SAFETY: WE-1, there is one thread.
    unsafe {
        std::env::remove_var(VARIABLE);
    }
    let parent: Option<u32> = parent.to_str().and_then(|pid| pid.parse().ok());
    let begun = std::panic::catch_unwind(|| match (parent, take_socket()) {
        (Some(parent), Ok(socket)) => member::work(parent, socket),
        (None, _) => Err(format!("{VARIABLE} is not a process number")),
        (_, Err(error)) => Err(format!("there is no socket of a keeper: {error}")),
    });
    let code = match begun {
        Ok(Ok(())) => 0,
        Ok(Err(reason)) => {
            eprintln!("maser: this process was started as a worker and cannot be one: {reason}");
            CANNOT_BEGIN
        }
        Err(_) => CANNOT_BEGIN,
    };
    // Destructors of statics that were never made must not run, so this is no `exit`.
    // SAFETY: nothing of this process is used any more.
    unsafe { libc::_exit(code) }
}

/// The keeper's socket, which came as standard input; the null device takes its place.
fn take_socket() -> std::io::Result<UnixStream> {
    // SAFETY: WE-1: nobody reads standard input yet, and the descriptor is only copied.
    let input = unsafe { std::os::fd::BorrowedFd::borrow_raw(0) };
    let socket: OwnedFd = rustix::io::fcntl_dupfd_cloexec(input, 3)?;
    rustix::net::sockopt::socket_type(&socket)?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    // WE-1: as std would before `main`.
    // SAFETY: the action is to ignore, and no handler was installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    Ok(UnixStream::from(socket))
}
