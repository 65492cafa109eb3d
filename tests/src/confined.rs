//! Runs a command where it may do less than here: `confined [WITHOUT...] -- COMMAND [ARGUMENT...]`.
//!
//! | WITHOUT | what the command does without |
//! |---|---|
//! | `--root` | root: it is the user 65534, with the limits of a user |
//! | `--huge-pages` | huge pages: refused as by a kernel that has none |
//! | `--io-uring` | io_uring: refused as by the filter of a container |
//!
//! `tools/test` has every test run behind it, as cargo's runner.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use maser_tests::sandbox::{
    IO_URING, become_user, refuse_from_now_on, refuse_huge_pages_from_now_on,
};

/// `nobody`, who owns nothing.
const NOBODY: u32 = 65_534;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    for argument in arguments.by_ref() {
        let (what, taken) = match argument.to_str() {
            Some("--root") => ("to become another user", become_user(NOBODY)),
            Some("--huge-pages") => ("to refuse huge pages", refuse_huge_pages_from_now_on()),
            Some("--io-uring") => (
                "to refuse io_uring",
                refuse_from_now_on(&IO_URING, libc::EPERM),
            ),
            Some("--") => break,
            _ => return fail(&format!("{} is unknown", argument.display())),
        };
        if let Err(error) = taken {
            return fail(&format!("cannot be made {what}: {error}"));
        }
    }
    let Some(program) = arguments.next() else {
        return fail("no command was given after --");
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    if rustix::process::getuid().as_raw() == NOBODY {
        // Those of the user that was.
        command
            .env_remove("XDG_RUNTIME_DIR")
            .env("HOME", "/nonexistent");
    }
    let error = command.exec();
    fail(&format!("{} does not start: {error}", program.display()))
}

fn fail(why: &str) -> ExitCode {
    eprintln!("confined: {why}");
    // As `env` and `nice` end where the command is not the one that failed.
    ExitCode::from(125)
}
