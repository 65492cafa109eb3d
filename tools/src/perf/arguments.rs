//! The command line of `maser perf`, and what follows from it.

use super::error::PerfError;
use super::opening::{Opening, address_of, default_listen, secret_of};
use super::spec::{Amount, Spec, Test};
use clap::{Args, ValueEnum};
use maser_bench::harness::Cores;
use maser_transport::loopback::Network;
use maser_transport::wire::Integrity;
use maser_transport::{Address, TransportKind};
use std::path::PathBuf;
use std::time::Duration;

/// The sizes of `--all`.
const ALL: (u64, u64) = (8, 1 << 20);

/// How an end waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// It asks again and again, at the price of a CPU.
    Poll,
    /// It sleeps until something happens.
    Sleep,
}

/// See the module's page.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The server, as it printed its address (`tcp:10.0.0.1:7471`); or a host, whose TCP is meant.
    #[arg(conflicts_with_all = ["listen", "local"])]
    address: Option<String>,
    /// Serve: listen on ADDRESS, 127.0.0.1:7471 if none is given; port 0 is any.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, conflicts_with = "local")]
    #[allow(
        clippy::option_option,
        reason = "not given, given without an address, and with one"
    )]
    listen: Option<Option<String>>,
    /// Measure between two threads of this process.
    #[arg(long)]
    local: bool,
    /// loopback, sm, tcp, rdma or ucx.
    #[arg(long, value_name = "NAME")]
    transport: Option<TransportKind>,
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "send-lat")]
    test: Vec<Test>,
    /// Bytes of each request: one size, several by commas, or A..B for all that doubling makes of A
    /// [default: 64, of rates 64KiB, of words 8]
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = sizes, conflicts_with = "all")]
    size: Vec<(u64, u64)>,
    /// The same as --size 8..1MiB.
    #[arg(long)]
    all: bool,
    /// Requests of each row [default: enough for a second or so]
    #[arg(
        long,
        visible_alias = "iters",
        value_name = "COUNT",
        conflicts_with = "duration"
    )]
    iterations: Option<u64>,
    /// How long each row is measured.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Requests before the measured ones [default: a tenth of them, 1000 at most]
    #[arg(long, value_name = "COUNT")]
    warmup: Option<u64>,
    /// Requests under way at once, in tests of rates.
    #[arg(
        long,
        visible_alias = "window",
        value_name = "COUNT",
        default_value_t = 64
    )]
    depth: u64,
    /// How what travels is protected: none, mac or aead. The stricter of the two ends' wishes counts.
    #[arg(long, value_name = "KIND", default_value_t = Integrity::None)]
    integrity: Integrity,
    /// Both ends send at once, in tests of rates; the figures are those of both together.
    #[arg(long)]
    bidirectional: bool,
    /// How both ends wait.
    #[arg(long, value_enum, default_value_t = Wait::Poll)]
    wait: Wait,
    /// The CPU that this end runs on [default: any; with --local the first]
    #[arg(long, value_name = "CPU")]
    cpu: Option<usize>,
    /// The CPU of the other end [default: the second]
    #[arg(long, value_name = "CPU", requires = "local")]
    server_cpu: Option<usize>,
    /// Print JSON, in one piece at the end.
    #[arg(long, conflicts_with = "listen")]
    json: bool,
    /// The file with the secret that both ends share: 32 bytes, or 64 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// What UCX may choose from, as in UCX_TLS: for instance tcp,self.
    #[arg(long, value_name = "NAMES")]
    tls: Option<String>,
    /// The device of RDMA, or those that UCX may choose from.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Which of the addresses of the RDMA device's port.
    #[arg(long, value_name = "INDEX")]
    gid_index: Option<u32>,
    /// After so much silence the other end is taken for dead.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    timeout: Duration,
    /// Serve one client, and end.
    #[arg(long, requires = "listen")]
    once: bool,
}

/// Which end this is.
#[derive(Clone, Debug)]
pub enum Ends {
    /// The server, there.
    Listen(String),
    /// The client of this server.
    Client(Address),
    /// Both.
    Local,
}

/// What is to be done.
#[derive(Clone)]
pub struct Plan {
    pub ends: Ends,
    pub opening: Opening,
    pub specs: Vec<Spec>,
    pub wait: &'static str,
    pub depth: u64,
    pub cpu: Option<usize>,
    server_cpu: Option<usize>,
    pub is_once: bool,
    pub is_json: bool,
    pub timeout: Duration,
}

impl Plan {
    /// Where the two threads of `--local` run.
    pub fn two_cpus(&self) -> (Option<usize>, Option<usize>) {
        let cores = Cores::usable().ok();
        let id = |index| cores.as_ref().and_then(|cores| cores.id(index));
        let here = self.cpu.or_else(|| id(0));
        let free = [0, 1].into_iter().filter_map(id);
        let there = free.into_iter().find(|cpu| Some(*cpu) != here);
        (here, self.server_cpu.or(there))
    }
}

/// Reads `64`, `4KiB` or `8..1MiB`.
fn sizes(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (crate::doctor::bytes(first)?, crate::doctor::bytes(last)?);
    match first <= last {
        true => Ok((first, last)),
        false => Err(format!("`{text}` begins above its end")),
    }
}

/// From the first on, each twice the one before.
fn doubled((first, last): (u64, u64)) -> impl Iterator<Item = u64> {
    let next = move |size: &u64| {
        let next = size.saturating_mul(2).max(1);
        (next <= last && next > *size).then_some(next)
    };
    std::iter::successors(Some(first), next)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("`{text}` is no number of seconds; write for instance 0.5 or 10"))
}

/// Requests for about a second, were each as quick as sockets are.
fn usual_iterations(test: Test, bytes: u64) -> u64 {
    match (test.is_latency(), bytes) {
        (true, 0..=65_536) => 20_000,
        (true, _) => 1_000,
        (false, 0..=4_096) => 200_000,
        (false, 4_097..=65_536) => 20_000,
        (false, _) => 2_000,
    }
}

impl Arguments {
    /// What is to be done.
    ///
    /// # Errors
    /// [`PerfError`].
    pub fn plan(&self) -> Result<Plan, PerfError> {
        let ends = match (&self.address, &self.listen) {
            (Some(text), _) => Ends::Client(address_of(text, self.transport)?),
            (None, Some(listen)) => Ends::Listen(listen.clone().unwrap_or_else(default_listen)),
            (None, None) if self.local => Ends::Local,
            (None, None) => return Err(PerfError::NoEnd),
        };
        let kind = match &ends {
            Ends::Client(address) => address.kind(),
            _ => self.transport.unwrap_or(TransportKind::Tcp),
        };
        if matches!(ends, Ends::Listen(_)) && kind == TransportKind::Loopback {
            return Err(PerfError::OneProcess { kind });
        }
        let secret = match &self.secret_file {
            Some(path) => Some(secret_of(path)?),
            None => None,
        };
        if self.integrity != Integrity::None && secret.is_none() {
            let asked = self.integrity.name();
            return Err(PerfError::NoSecret { asked });
        }
        Ok(Plan {
            ends,
            opening: Opening {
                kind,
                integrity: self.integrity,
                secret,
                timeout: self.timeout,
                tls: self.tls.clone(),
                device: self.device.clone(),
                gid_index: self.gid_index,
                network: Network::new(),
            },
            specs: self.specs(),
            wait: match self.wait {
                Wait::Poll => "poll",
                Wait::Sleep => "sleep",
            },
            depth: self.depth,
            cpu: self.cpu,
            server_cpu: self.server_cpu,
            is_once: self.once,
            is_json: self.json,
            timeout: self.timeout,
        })
    }

    fn specs(&self) -> Vec<Spec> {
        let rows = self
            .test
            .iter()
            .flat_map(|&test| self.sizes(test).into_iter().map(move |bytes| (test, bytes)));
        rows.map(|(test, bytes)| self.spec(test, bytes)).collect()
    }

    fn sizes(&self, test: Test) -> Vec<u64> {
        match (self.all, &self.size[..]) {
            (true, _) if !test.is_atomic() => doubled(ALL).collect(),
            (false, [_, ..]) => self.size.iter().copied().flat_map(doubled).collect(),
            _ if test.is_atomic() => vec![8],
            _ if test.is_latency() => vec![64],
            _ => vec![64 << 10],
        }
    }

    fn spec(&self, test: Test, bytes: u64) -> Spec {
        let count = self
            .iterations
            .unwrap_or_else(|| usual_iterations(test, bytes));
        Spec {
            test,
            bytes,
            amount: match self.duration {
                Some(duration) => {
                    Amount::Nanoseconds(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
                }
                None => Amount::Iterations(count),
            },
            warmup: self.warmup.unwrap_or((count / 10).min(1000)),
            depth: self.depth,
            is_bidirectional: self.bidirectional,
            sleeps: self.wait == Wait::Sleep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_one_or_all_that_doubling_makes() {
        assert_eq!(sizes("64"), Ok((64, 64)));
        assert_eq!(sizes("8..1MiB"), Ok((8, 1 << 20)));
        assert_eq!(doubled((8, 1 << 20)).count(), 18);
        assert_eq!(doubled((0, 4)).collect::<Vec<_>>(), [0, 1, 2, 4]);
        assert_eq!(doubled((u64::MAX, u64::MAX)).count(), 1);
        for text in ["", "many", "8..", "2..1"] {
            sizes(text).expect_err("it is none");
        }
    }

    #[test]
    fn a_duration_is_a_number_of_seconds_above_zero() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "0", "-1", "nan", "inf", "1e300", "soon"] {
            seconds(text).expect_err("it is none");
        }
    }
}
