//! Which process is meant.

use std::fs;
use std::io;

use super::LivenessError;

/// A process among all that ever were on this machine: the id alone is used again.
///
/// Two identities are equal if and only if they mean the same process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessIdentity {
    /// Its id, as its pid namespace counts.
    pub pid: u32,
    /// When it started, in clock ticks after the boot.
    pub start_ticks: u64,
    /// The pid namespace in which the id means it.
    pub namespace: u64,
    /// The boot during which it ran.
    pub boot: u128,
}

/// What `/proc/PID/stat` says of a process.
pub(super) struct Stat {
    pub(super) state: u8,
    pub(super) start_ticks: u64,
}

impl Stat {
    /// Torn down, though perhaps not waited for (LV-1).
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

impl ProcessIdentity {
    /// The calling process.
    ///
    /// # Errors
    /// [`LivenessError::Refused`] where `/proc` cannot be read.
    pub fn own() -> Result<Self, LivenessError> {
        Self::of(std::process::id())
    }

    /// The process that has this id now, in the caller's pid namespace.
    ///
    /// Whoever reads an id that another process wrote asks the handle
    /// ([`ProcessHandle::open`](super::ProcessHandle::open)) instead.
    ///
    /// # Errors
    /// [`LivenessError::Gone`] if there is none; a zombie has an identity.
    pub fn of(pid: u32) -> Result<Self, LivenessError> {
        let stat = stat(pid)?.ok_or(LivenessError::Gone { pid })?;
        Ok(Self {
            pid,
            start_ticks: stat.start_ticks,
            namespace: namespace()?,
            boot: boot()?,
        })
    }

    /// Whether the process is dead (LV-1). One look costs a few system calls; to wait for a death
    /// take a [`ProcessHandle`](super::ProcessHandle).
    ///
    /// # Errors
    /// [`LivenessError::Elsewhere`] for an identity of another pid namespace: nothing is known.
    pub fn is_dead(&self) -> Result<bool, LivenessError> {
        match self.check_here() {
            Err(LivenessError::Gone { .. }) => return Ok(true),
            other => other?,
        }
        let stat = stat(self.pid)?;
        Ok(stat.is_none_or(|stat| stat.is_dead() || stat.start_ticks != self.start_ticks))
    }

    /// Whether the id means here and now what it meant when it was written down.
    pub(super) fn check_here(&self) -> Result<(), LivenessError> {
        if self.boot != boot()? {
            // Nothing survives a reboot.
            return Err(LivenessError::Gone { pid: self.pid });
        }
        if self.namespace != namespace()? {
            return Err(LivenessError::Elsewhere {
                pid: self.pid,
                where_: "in another pid namespace",
            });
        }
        Ok(())
    }
}

/// What is known of the process with this id; `None` if there is none.
pub(super) fn stat(pid: u32) -> Result<Option<Stat>, LivenessError> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        // It may also go between the opening and the reading.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(LivenessError::unreadable("read /proc/PID/stat", error)),
    };
    let understood = parse_stat(&text);
    let invalid = || LivenessError::unreadable("read /proc/PID/stat", invalid_data());
    understood.map(Some).ok_or_else(invalid)
}

/// `pid (name) state ... start`: the name may hold anything, so the fields count from its end.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, after) = text.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    // The state is field 3 and the start field 22.
    let start_ticks = fields.nth(22 - 4)?.parse().ok()?;
    Some(Stat { state, start_ticks })
}

/// The caller's pid namespace.
fn namespace() -> Result<u64, LivenessError> {
    let what = "read /proc/self/ns/pid";
    let link = fs::read_link("/proc/self/ns/pid");
    let link = link.map_err(|source| LivenessError::unreadable(what, source))?;
    let number = link.to_str().and_then(|text| {
        let (_, number) = text.split_once('[')?;
        number.strip_suffix(']')?.parse().ok()
    });
    number.ok_or_else(|| LivenessError::unreadable(what, invalid_data()))
}

/// This boot of the machine.
fn boot() -> Result<u128, LivenessError> {
    let what = "read /proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let text = text.map_err(|source| LivenessError::unreadable(what, source))?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16);
    number.map_err(|_| LivenessError::unreadable(what, invalid_data()))
}

fn invalid_data() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_and_blanks_hides_nothing() {
        let stat =
            parse_stat("7 (a) Z (b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 5 6 7 8 9");
        let stat = stat.unwrap();
        assert_eq!((stat.state, stat.start_ticks), (b'S', 4711));
        assert!(parse_stat("7 (a) S 1 2").is_none());
        assert!(parse_stat("").is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "reads /proc")]
    fn this_process_is_alive_and_itself() {
        let own = ProcessIdentity::own().unwrap();
        assert_eq!(own, ProcessIdentity::of(std::process::id()).unwrap());
        assert!(!own.is_dead().unwrap());
    }

    #[test]
    #[cfg_attr(miri, ignore = "reads /proc")]
    fn one_of_another_boot_is_dead_and_one_of_another_namespace_is_not_known() {
        let own = ProcessIdentity::own().unwrap();
        let before = ProcessIdentity {
            boot: !own.boot,
            ..own
        };
        assert!(before.is_dead().unwrap());
        let reused = ProcessIdentity {
            start_ticks: own.start_ticks - 1,
            ..own
        };
        assert!(reused.is_dead().unwrap());
        let elsewhere = ProcessIdentity {
            namespace: own.namespace + 1,
            ..own
        };
        let error = elsewhere.is_dead().unwrap_err();
        assert!(error.to_string().contains("namespace"), "{error}");
    }
}
