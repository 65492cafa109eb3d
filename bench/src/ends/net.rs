//! Where sockets are: on loopback, or in two network namespaces with a cable between them.
//!
//! - NS-1 the namespaces have no names: a descriptor keeps each, so nothing of them is left when the process
//!   ends, however it does.
//! - NS-2 a socket belongs to the namespace of the thread that made it, for good: the driver enters one to
//!   make sockets and processes, and leaves it again before anything is measured.
#![allow(
    unsafe_code,
    reason = "a thread takes leave of the namespace of its process"
)]

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::rc::Rc;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::harness::{BenchError, Offer, Skip};

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The driver's.
    Here,
    /// The one on the other core.
    There,
}

/// See the module's page.
#[derive(Debug)]
pub enum Net {
    /// Both ends on the loopback address.
    Loopback,
    /// Namespaces of the two ends, and the process's own.
    Veth {
        /// The driver's.
        here: File,
        /// The other one's.
        there: File,
        /// What threads go back to.
        own: File,
    },
}

impl Net {
    /// Two namespaces with a cable between them, where that can be made.
    ///
    /// # Errors
    /// A skip that says what is missing.
    pub fn veth() -> Offer<Rc<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Err(Skip("needs root, to make network namespaces".to_owned()));
        }
        let refused =
            |error: std::io::Error| Skip(format!("the system refuses network namespaces: {error}"));
        let net = Self::Veth {
            here: namespace().map_err(refused)?,
            there: namespace().map_err(refused)?,
            own: File::open("/proc/thread-self/ns/net").map_err(refused)?,
        };
        net.cable()
            .map_err(|why| Skip(format!("no cable between namespaces: {why}")))?;
        Ok(Rc::new(net))
    }

    fn cable(&self) -> Result<(), String> {
        let Self::Veth { there, .. } = self else {
            return Ok(());
        };
        let other = format!("/proc/{}/fd/{}", std::process::id(), there.as_raw_fd());
        let made = ["link add eth0 type veth peer name eth0 netns", &other].join(" ");
        self.ip(At::Here, &made)?;
        for at in [At::Here, At::There] {
            self.ip(at, &format!("addr add {}/24 dev eth0", self.address(at)))?;
            self.ip(at, "link set eth0 up")?;
            self.ip(at, "link set lo up")?;
        }
        // A cable carries once both of its ends have noticed each other.
        for at in [At::Here, At::There] {
            while !self.ip(at, "-o link show eth0")?.contains("state UP") {}
        }
        Ok(())
    }

    /// What it said.
    fn ip(&self, at: At, arguments: &str) -> Result<String, String> {
        let mut ip = Command::new("ip");
        ip.args(arguments.split(' '));
        let output = self
            .within(at, || ip.output())
            .map_err(|error| error.to_string())?;
        let output = output.map_err(|error| format!("ip ({error}); install iproute2"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }

    /// The address of an end.
    pub fn address(&self, at: At) -> Ipv4Addr {
        match (self, at) {
            (Self::Loopback, _) => Ipv4Addr::LOCALHOST,
            (Self::Veth { .. }, At::Here) => Ipv4Addr::new(10, 77, 1, 1),
            (Self::Veth { .. }, At::There) => Ipv4Addr::new(10, 77, 1, 2),
        }
    }

    /// The network device of both ends.
    pub fn device(&self) -> &'static str {
        match self {
            Self::Loopback => "lo",
            Self::Veth { .. } => "eth0",
        }
    }

    /// Does `make` where sockets and processes of that end belong (NS-2).
    ///
    /// # Errors
    /// The system's.
    pub fn within<R>(&self, at: At, make: impl FnOnce() -> R) -> Result<R, BenchError> {
        let Self::Veth { here, there, own } = self else {
            return Ok(make());
        };
        let enter = |space: &File| {
            let entered =
                move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network));
            entered.map_err(|error| BenchError::contender("a network namespace", error))
        };
        enter(match at {
            At::Here => here,
            At::There => there,
        })?;
        let made = make();
        enter(own)?;
        Ok(made)
    }

    /// A port that nobody uses now.
    ///
    /// # Errors
    /// The system's.
    pub fn free_port(&self, at: At) -> Result<u16, BenchError> {
        let failed = |error| BenchError::contender("a port", error);
        let any = (self.address(at), 0);
        let listener = self
            .within(at, || TcpListener::bind(any))?
            .map_err(failed)?;
        Ok(listener.local_addr().map_err(failed)?.port())
    }

    /// Two connected sockets, that here and that there.
    ///
    /// # Errors
    /// The system's.
    pub fn sockets(&self) -> Result<(TcpStream, TcpStream), BenchError> {
        let failed = |error| BenchError::contender("a socket", error);
        let there = (self.address(At::There), 0);
        let listener = self.within(At::There, || TcpListener::bind(there))?;
        let listener = listener.map_err(failed)?;
        let to = listener.local_addr().map_err(failed)?;
        let here = self
            .within(At::Here, || TcpStream::connect(to))?
            .map_err(failed)?;
        let (there, _) = listener.accept().map_err(failed)?;
        for socket in [&here, &there] {
            socket.set_nodelay(true).map_err(failed)?;
        }
        Ok((here, there))
    }
}

/// A namespace that nobody is in.
fn namespace() -> std::io::Result<File> {
    let made = std::thread::spawn(|| {
        // SAFETY: the thread, which ends after this, leaves the namespace of network devices; no descriptor
        // is unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET)? };
        File::open("/proc/thread-self/ns/net")
    });
    made.join()
        .unwrap_or_else(|_| Err(std::io::Error::other("the thread panicked")))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn sockets_on_both_sides_of_a_cable_reach_each_other() {
        let net = match Net::veth() {
            Ok(net) => net,
            Err(skip) => return println!("skipped: {}", skip.0),
        };
        let (mut here, mut there) = net.sockets().unwrap();
        here.write_all(b"over the cable").unwrap();
        let mut came = [0; 14];
        there.read_exact(&mut came).unwrap();
        assert_eq!(&came, b"over the cable");
        assert_eq!(here.peer_addr().unwrap().ip(), net.address(At::There));
    }

    #[test]
    fn a_thread_is_back_in_its_own_namespace_afterwards() {
        let net = match Net::veth() {
            Ok(net) => net,
            Err(skip) => return println!("skipped: {}", skip.0),
        };
        let space = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let before = space();
        let inside = net.within(At::There, space).unwrap();
        assert_ne!(inside, before);
        assert_eq!(space(), before);
    }
}
