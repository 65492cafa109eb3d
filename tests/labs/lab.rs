//! Hosts that are network namespaces (`netns` in this folder); they are gone when the value is, or its
//! process.

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What the hosts are joined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wires {
    /// Cables to a bridge.
    Bridge,
    /// None: a [`Cable`](crate::cable::Cable) is laid.
    Taps,
}

/// See the module's page.
pub struct Lab {
    /// It ends when its input does.
    script: Child,
    name: String,
}

impl Lab {
    /// So many hosts, or why there can be none here.
    pub fn open(hosts: usize, wires: Wires) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err(
                "only root makes hosts of network namespaces: run the tests as root".into(),
            );
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/labs/netns");
        let mut script = Command::new(script)
            .args(["--hosts", &hosts.to_string()])
            .args((wires == Wires::Taps).then_some("--taps"))
            .args(["--", "sh", "-c", "echo \"$LAB\" && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the lab's script does not start: {error}"))?;
        let mut name = String::new();
        let mut output = BufReader::new(script.stdout.take().expect("a pipe"));
        output.read_line(&mut name).expect("a pipe");
        if name.trim().is_empty() {
            let mut errors = String::new();
            let mut pipe = script.stderr.take().expect("a pipe");
            pipe.read_to_string(&mut errors).expect("a text");
            script.wait().expect("it ends");
            let last = errors.lines().last().unwrap_or("no word");
            return Err(format!("no network namespaces can be made here: {last}"));
        }
        Ok(Self {
            script,
            name: name.trim().into(),
        })
    }

    /// The address of a host.
    pub fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, host + 1)
    }

    /// The namespace of a host.
    pub fn namespace(&self, host: u8) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}-{host}", self.name))
    }

    /// A program that runs on a host.
    pub fn program(&self, host: u8, path: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &format!("{}-{host}", self.name)])
            .arg(path);
        command
    }

    /// Pulls the cable of a host out of the bridge.
    pub fn pull(&self, host: u8) {
        self.set_port(host, "down");
    }

    /// Puts it in again.
    pub fn plug(&self, host: u8) {
        self.set_port(host, "up");
    }

    fn set_port(&self, host: u8, state: &str) {
        let (hub, port) = (format!("{}-hub", self.name), format!("p{host}"));
        let status = Command::new("ip")
            .args(["-n", &hub, "link", "set", &port, state])
            .status()
            .expect("ip starts");
        assert!(
            status.success(),
            "the port of host {host} cannot be {state}"
        );
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // It tears the hosts down; one that cannot be waited for has done so.
        let _outcome = self.script.wait();
    }
}
