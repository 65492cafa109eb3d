//! Files for what worker processes print, where `redirect_output` is set.
//!
//! ```text
//! <session_dir>/maser-<user>-<driver's pid>-<random>/     0700
//!     worker-<slot>-<number>.out, .err                    0600, one pair for each process
//! ```
//!
//! The directory stays when the runtime has ended: it is what the user asked for.

use crate::config::Settings;
use crate::error::{Error, Result};
use maser_shm::sync::atomic::{AtomicU32, Ordering};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory of one runtime.
#[derive(Debug)]
pub(crate) struct Outputs {
    directory: PathBuf,
    next: AtomicU32,
}

/// The files of one process.
pub(super) struct Files {
    pub(super) out: File,
    pub(super) err: File,
    /// Of what it writes to standard error.
    pub(super) path: PathBuf,
}

impl Outputs {
    /// Makes the directory.
    ///
    /// # Errors
    /// [`Error::System`] names the directory and what the kernel said.
    pub(super) fn new(settings: &Settings, pid: u32, random: u64) -> Result<Self> {
        let base = match &settings.session_dir {
            Some(directory) => directory.clone(),
            None => {
                std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
            }
        };
        let user = rustix::process::getuid().as_raw();
        let directory = base.join(format!("maser-{user}-{pid}-{:08x}", random >> 32));
        let made = DirBuilder::new().mode(0o700).create(&directory);
        made.map_err(|error| Error::System {
            what: format!("cannot make {} for redirect_output", directory.display()),
            reason: format!("{error}; set session_dir to a directory that this user may write"),
        })?;
        Ok(Self {
            directory,
            next: AtomicU32::new(0),
        })
    }

    /// Where the files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// New files for the process of `slot`.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn files(&self, slot: u32) -> io::Result<Files> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = |what| {
            self.directory
                .join(format!("worker-{slot}-{number}.{what}"))
        };
        let make = |path: &Path| {
            let mut options = OpenOptions::new();
            options.append(true).create_new(true).mode(0o600).open(path)
        };
        let err = path("err");
        Ok(Files {
            out: make(&path("out"))?,
            err: make(&err)?,
            path: err,
        })
    }
}
