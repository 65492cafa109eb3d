//! iperf3, a program of its own: one stream of TCP, from a process on core 0 to one on core 1.

use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use serde_json::Value;

use crate::ends::{At, Net};
use crate::harness::{BenchError, Contender, Offer, Skip, Window};

use super::program::{found, starts};

/// Bytes of one window, and in its quick form.
const BYTES: (u64, u64) = (192 << 20, 4 << 20);

/// See the module's page.
#[derive(Debug)]
pub struct Iperf3 {
    net: Rc<Net>,
    server: Child,
    port: u16,
    block_bytes: usize,
    bytes: u64,
    cores: (usize, usize),
}

impl Iperf3 {
    /// Writes of `block_bytes` each.
    ///
    /// # Errors
    /// A skip where it is not installed.
    pub fn new(
        net: &Rc<Net>,
        cores: (usize, usize),
        block_bytes: usize,
        quick: bool,
    ) -> Result<Offer<Self>, BenchError> {
        if !found("iperf3") {
            return Ok(Err(Skip(
                "iperf3 is not installed: apt-get install iperf3".to_owned(),
            )));
        }
        let failed = |why: String| BenchError::contender("iperf3", why);
        let port = net.free_port(At::There)?;
        let mut command = Command::new("iperf3");
        let address = net.address(At::There).to_string();
        command.args([
            "-s",
            "-B",
            &address,
            "-p",
            &port.to_string(),
            "-A",
            &cores.1.to_string(),
        ]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = net.within(At::There, || command.spawn())?;
        let server = server.map_err(|error| failed(error.to_string()))?;
        let mut one = Self {
            net: Rc::clone(net),
            server,
            port,
            block_bytes,
            bytes: if quick { BYTES.1 } else { BYTES.0 },
            cores,
        };
        let is_there = net.within(At::There, || starts(&mut one.server, port))?;
        is_there.map_err(failed)?;
        Ok(Ok(one))
    }

    /// Time of a block in one run, ns.
    fn block_ns(&self) -> Result<f64, String> {
        let mut client = Command::new("iperf3");
        client.args(["-c", &self.net.address(At::There).to_string()]);
        client.args(["-p", &self.port.to_string(), "-n", &self.bytes.to_string()]);
        client.args(["-l", &self.block_bytes.to_string(), "-J"]);
        client.args(["-A", &self.cores.0.to_string()]);
        let output = self.net.within(At::Here, || client.output());
        let output = output.map_err(|error| error.to_string())?;
        let output = output.map_err(|error| error.to_string())?;
        let report: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
        match rate.filter(|rate| *rate > 0.0) {
            Some(rate) => Ok(self.block_bytes as f64 * 8e9 / rate),
            None => Err(format!("no figure in its report: {}", report["error"])),
        }
    }
}

impl Contender for Iperf3 {
    fn name(&self) -> &'static str {
        "iperf3"
    }

    fn note(&self) -> Option<&'static str> {
        Some("two processes; its own figure, of what was received")
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let ns = self
            .block_ns()
            .map_err(|why| BenchError::contender("iperf3", why))?;
        window.record(ns);
        Ok(())
    }
}

impl Drop for Iperf3 {
    fn drop(&mut self) {
        // It serves until it is ended.
        let _killed = self.server.kill();
        let _waited = self.server.wait();
    }
}
