//! Names the task whose stack ran into its guard page, before the process ends.
//!
//! - OV-1 the handler runs on the alternate stack that Rust's threads have, reads only this
//!   thread's scheduler, writes one line and hands over to whoever handled SIGSEGV before.
#![allow(
    unsafe_code,
    reason = "a signal handler, and the system calls that install it"
)]

use super::local::Local;
use std::sync::Once;
use std::sync::OnceLock;

static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Puts the handler in front of the present one, once a process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: plain system calls on zeroed and then filled structures.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(libc::SIGSEGV, std::ptr::null(), &raw mut before) != 0 {
                return;
            }
            if BEFORE.set(before).is_err() {
                return;
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
        }
    });
}

unsafe extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo.
    let address = unsafe { (*info).si_addr() }.addr();
    if let Some(local) = Local::current() {
        // SAFETY: CO-2, the running coroutine's block.
        let co = unsafe { local.current_co().as_ref() };
        let guard = co.stack_limit.get();
        if (guard..guard + page_bytes()).contains(&address) {
            say(local.running(), local.node.settings.stack_bytes);
        }
    }
    // SAFETY: what was installed before us; the fault comes again when it returns.
    unsafe {
        match BEFORE.get() {
            Some(before) if before.sa_sigaction > 1 && before.sa_flags & libc::SA_SIGINFO != 0 => {
                let call: unsafe extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(before.sa_sigaction);
                call(signal, info, context);
            }
            Some(before) => {
                libc::sigaction(signal, before, std::ptr::null_mut());
            }
            None => {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

fn page_bytes() -> usize {
    rustix::param::page_size()
}

/// Writes without allocating.
fn say(task: &str, stack_bytes: usize) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut left = stack_bytes / 1024;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    for part in [
        b"maser: stack overflow in ".as_slice(),
        task.as_bytes(),
        b": its stack of ",
        &digits[at..],
        b" KiB is used up; raise stack_bytes (MASER_STACK_BYTES), or recurse less\n",
    ] {
        // SAFETY: a plain write; nothing can be done if it fails.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
}
