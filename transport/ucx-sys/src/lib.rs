//! UCX as maser calls it: the functions of `libucp.so.0`, found when they are first asked for.
//!
//! Nothing is linked, so a program that has this crate starts where UCX is not installed. The library is
//! opened with its symbols to itself: another copy of UCX in the process, which libraries for GPUs bring,
//! is neither seen nor overridden.
//!
//! - UL-1 UCX installs handlers of signals while it is loaded (`UCX_HANDLE_ERRORS`); the ones that were
//!   there before are put back. The environment is not touched.
//! - UL-2 the library is never unloaded: it has threads.
#![allow(unsafe_code, reason = "loads UCX, and declares it")]

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    unused,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::missing_safety_doc,
    reason = "made by bindgen; UCX has the documentation"
)]
mod bindings;

pub use bindings::*;

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The library, as Debian calls it (package `libucx0`).
pub const LIBRARY: &str = "libucp.so.0";

/// Why there is no UCX.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The library is not there, or not whole.
    #[error(
        "{LIBRARY} cannot be loaded ({problem}); install UCX (`apt-get install libucx0`), or put the folder \
         that has it into LD_LIBRARY_PATH"
    )]
    Library {
        /// What the loader said.
        problem: String,
    },
}

/// UCX, loaded when it is asked for first.
///
/// # Errors
/// [`LoadError`], the same one each time.
pub fn load() -> Result<&'static Ucp, LoadError> {
    static LOADED: OnceLock<Result<Ucp, LoadError>> = OnceLock::new();
    LOADED.get_or_init(open).as_ref().map_err(LoadError::clone)
}

/// Signals that UCX handles unless it is told otherwise.
const SIGNALS: [libc::c_int; 4] = [libc::SIGILL, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE];

fn open() -> Result<Ucp, LoadError> {
    let before = SIGNALS.map(handler_of);
    // SAFETY: UCX may be loaded at any time; what it does then to signals is undone below (UL-1).
    let opened = unsafe { Ucp::new(LIBRARY) };
    for (signal, before) in SIGNALS.into_iter().zip(&before) {
        // SAFETY: a handler that was there before.
        unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
    }
    let ucp = opened.map_err(|error| LoadError::Library {
        problem: error.to_string(),
    })?;
    if std::env::var_os("UCX_LOG_LEVEL").is_none() {
        // What goes wrong comes back as a status; the log would say it on standard output as well. A
        // version that refuses goes on logging.
        // SAFETY: two strings that end with a zero.
        unsafe { ucp.ucs_global_opts_set_value(c"LOG_LEVEL".as_ptr(), c"fatal".as_ptr()) };
    }
    Ok(ucp)
}

fn handler_of(signal: libc::c_int) -> libc::sigaction {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: reads the handler of a signal that there is; zeroes are a valid value besides.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    }
}

impl Ucp {
    /// Its version.
    #[must_use]
    pub fn version(&self) -> String {
        // SAFETY: a string that ends with a zero and is never freed.
        text(unsafe { CStr::from_ptr(self.ucp_get_version_string()) })
    }

    /// What a status means.
    #[must_use]
    pub fn says(&self, status: ucs_status_t) -> String {
        // SAFETY: as above.
        text(unsafe { CStr::from_ptr(self.ucs_status_string(status)) })
    }
}

fn text(words: &CStr) -> String {
    words.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_its_remedy() {
        let ucp = match load() {
            Ok(ucp) => ucp,
            Err(error) => {
                assert!(error.to_string().contains("apt-get install libucx0"));
                println!("skipped: {error}");
                return;
            }
        };
        assert!(ucp.version().starts_with('1'), "{}", ucp.version());
        assert!(!ucp.says(UCS_ERR_UNREACHABLE).is_empty());
    }

    #[test]
    fn loading_leaves_the_handlers_of_signals_as_they_were() {
        let before = SIGNALS.map(|signal| handler_of(signal).sa_sigaction);
        if let Err(error) = load() {
            println!("skipped: {error}");
            return;
        }
        assert_eq!(
            SIGNALS.map(|signal| handler_of(signal).sa_sigaction),
            before
        );
    }
}
