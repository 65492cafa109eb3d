//! Programs of others that measure themselves: whether they are there, and whether they listen.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// How long one may take to listen.
const START: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// Whether a program of this name can be started.
pub(super) fn found(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: std::path::PathBuf| {
        let file: &Path = &folder.join(name);
        file.is_file()
    })
}

/// Waits until `server` listens on `port` of this thread's network.
pub(super) fn starts(server: &mut Child, port: u16) -> Result<(), String> {
    let began = Instant::now();
    while began.elapsed() < START {
        if is_listening(port) {
            return Ok(());
        }
        if let Ok(Some(status)) = server.try_wait() {
            return Err(format!("it ended instead of listening ({status})"));
        }
        std::thread::sleep(LOOK);
    }
    Err(format!("it does not listen after {START:?}"))
}

fn is_listening(port: u16) -> bool {
    // A line is "number: address:port address:port state ...", in hexadecimal digits.
    let end = format!(":{port:04X}");
    ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"]
        .iter()
        .any(|file| {
            let table = std::fs::read_to_string(file).unwrap_or_default();
            table.lines().any(|line| {
                let mut words = line.split_whitespace().skip(1);
                let local = words.next().unwrap_or_default();
                local.ends_with(&end) && words.nth(1) == Some(LISTENS)
            })
        })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_listens_from_its_listener_on_until_that_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_listening(port));
        drop(listener);
        assert!(!is_listening(port));
    }

    #[test]
    fn a_program_that_nobody_installed_is_not_found() {
        assert!(found("ip") || found("sh"));
        assert!(!found("no-such-program-of-anybody"));
    }
}
