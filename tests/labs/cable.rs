//! A cable between two hosts that have taps: every frame passes through here, and may be lost, late,
//! doubled or overtaken on the way.
//!
//! - NC-1 a thread for each direction has the only ends of the two taps that it uses, and ends with the
//!   cable.
#![allow(
    unsafe_code,
    reason = "the system call that opens an interface of taps"
)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::lab::Lab;

/// What happens to frames, in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Where the chances come from.
    pub seed: u64,
    /// Of a thousand frames so many are lost.
    pub lost_per_mille: u64,
    /// So many come twice.
    pub doubled_per_mille: u64,
    /// How late each is.
    pub delay: Duration,
    /// How much later it may be: more than the time between frames, and they overtake each other.
    pub jitter: Duration,
}

/// What became of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    pub frames: u64,
    pub lost: u64,
    pub doubled: u64,
    pub overtaken: u64,
}

#[derive(Default)]
struct Counts {
    frames: AtomicU64,
    lost: AtomicU64,
    doubled: AtomicU64,
    overtaken: AtomicU64,
}

/// One direction.
#[derive(Default)]
struct Direction {
    is_cut: AtomicBool,
    is_over: AtomicBool,
    counts: Counts,
}

/// See the module's page.
pub struct Cable {
    directions: [Arc<Direction>; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Cable {
    /// Joins the first two hosts of a lab, or says why it cannot.
    pub fn lay(lab: &Lab, faults: Faults) -> Result<Self, String> {
        let tap = |host| {
            tap_of(lab, host).map_err(|error| {
                format!("no interface of taps can be opened here (/dev/net/tun): {error}")
            })
        };
        let taps = [tap(0)?, tap(1)?];
        let directions: [Arc<Direction>; 2] = Default::default();
        let mut threads = Vec::new();
        for (from, direction) in directions.iter().enumerate() {
            let clone = |at: usize| taps[at].try_clone().map_err(|error| error.to_string());
            let mut carrier = Carrier {
                from: clone(from)?,
                to: clone(1 - from)?,
                faults,
                random: Random(faults.seed.wrapping_mul(2) + from as u64 + 1),
                direction: direction.clone(),
                late: BinaryHeap::new(),
                number: 0,
                last: 0,
            };
            threads.push(spawn(move || carrier.carry()));
        }
        Ok(Self {
            directions,
            threads,
        })
    }

    /// From now on nothing that this host sends comes to the other one, but the other way all does.
    pub fn cut_from(&self, host: usize) {
        self.directions[host].is_cut.store(true, Ordering::Release);
    }

    /// What became of what a host sent.
    pub fn carried_from(&self, host: usize) -> Carried {
        let counts = &self.directions[host].counts;
        Carried {
            frames: counts.frames.load(Ordering::Acquire),
            lost: counts.lost.load(Ordering::Acquire),
            doubled: counts.doubled.load(Ordering::Acquire),
            overtaken: counts.overtaken.load(Ordering::Acquire),
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for direction in &self.directions {
            direction.is_over.store(true, Ordering::Release);
        }
        for thread in self.threads.drain(..) {
            // A panic of it has been printed, and the test fails by what does not come.
            let _outcome = thread.join();
        }
    }
}

/// A frame on its way, by when it is due.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    due: Instant,
    number: u64,
    frame: Vec<u8>,
}

struct Carrier {
    from: OwnedFd,
    to: OwnedFd,
    faults: Faults,
    random: Random,
    direction: Arc<Direction>,
    late: BinaryHeap<Reverse<Late>>,
    number: u64,
    /// The last that came.
    last: u64,
}

/// The longest wait for a frame: how long the end of the cable may take.
const LOOK: Duration = Duration::from_millis(20);

impl Carrier {
    fn carry(&mut self) {
        let mut frame = vec![0; 1 << 16];
        while !self.direction.is_over.load(Ordering::Acquire) {
            let now = Instant::now();
            let due = self.late.peek().map(|Reverse(late)| late.due);
            let wait = due.map_or(LOOK, |due| due.saturating_duration_since(now).min(LOOK));
            if self.is_readable(wait) {
                match rustix::io::read(&self.from, &mut frame) {
                    Ok(bytes) => self.take(&frame[..bytes]),
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                    // The host is gone.
                    Err(_) => return,
                }
            }
            self.give();
        }
    }

    fn is_readable(&self, wait: Duration) -> bool {
        let mut looked = [PollFd::new(&self.from, PollFlags::IN)];
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        poll(&mut looked, Some(&wait)).is_ok_and(|ready| ready > 0)
    }

    /// Decides what becomes of a frame.
    fn take(&mut self, frame: &[u8]) {
        let counts = &self.direction.counts;
        counts.frames.fetch_add(1, Ordering::AcqRel);
        let is_cut = self.direction.is_cut.load(Ordering::Acquire);
        if is_cut || self.random.is_one_of(self.faults.lost_per_mille) {
            counts.lost.fetch_add(1, Ordering::AcqRel);
            return;
        }
        let is_doubled = self.random.is_one_of(self.faults.doubled_per_mille);
        if is_doubled {
            counts.doubled.fetch_add(1, Ordering::AcqRel);
        }
        for _ in 0..1 + u8::from(is_doubled) {
            let jitter_ns = self.faults.jitter.as_nanos() as u64;
            let more = Duration::from_nanos(self.random.below(jitter_ns + 1));
            self.number += 1;
            self.late.push(Reverse(Late {
                due: Instant::now() + self.faults.delay + more,
                number: self.number,
                frame: frame.to_vec(),
            }));
        }
    }

    /// Passes on what is due.
    fn give(&mut self) {
        let now = Instant::now();
        while self
            .late
            .peek()
            .is_some_and(|Reverse(late)| late.due <= now)
        {
            let Some(Reverse(late)) = self.late.pop() else {
                return;
            };
            if late.number < self.last {
                let counts = &self.direction.counts;
                counts.overtaken.fetch_add(1, Ordering::AcqRel);
            }
            self.last = self.last.max(late.number);
            // A host that takes no more loses it, as on any network.
            let _outcome = rustix::io::write(&self.to, &late.frame);
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % end
    }

    fn is_one_of(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

/// The interface of a host, opened from a thread that is there for it.
fn tap_of(lab: &Lab, host: u8) -> io::Result<OwnedFd> {
    let namespace = File::open(lab.namespace(host))?;
    let thread = spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        let tap = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/net/tun")?;
        attach(&tap)?;
        rustix::io::ioctl_fionbio(&tap, true)?;
        Ok(OwnedFd::from(tap))
    });
    thread.join().expect("it does not panic")
}

fn attach(tap: &File) -> io::Result<()> {
    // SAFETY: all zeros are a request with an empty name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"eth0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: NC-1; the request lives through the call, which reads and writes no more than it.
    let attached = unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    match attached {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
