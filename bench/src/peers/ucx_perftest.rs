//! ucx_perftest, UCX's own benchmark: two processes, one a core, both polling.

use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use crate::ends::{At, Net};
use crate::harness::{BenchError, Contender, Offer, Skip, Window};

use super::program::{found, starts};

/// What one test does.
#[derive(Clone, Copy, Debug)]
pub struct UcxTest {
    /// Name in the report.
    pub name: &'static str,
    /// What the program calls it.
    pub test: &'static str,
    /// The transports that UCX may use.
    pub tls: &'static str,
    /// What its figures are.
    pub figure: UcxFigure,
    /// Bytes of a message.
    pub bytes: usize,
    /// Messages of one window.
    pub count: u64,
}

/// What the figures of a test are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UcxFigure {
    /// Half of a round trip.
    HalfRoundTrip,
    /// Messages a second, one way.
    Rate,
}

/// See the module's page.
#[derive(Debug)]
pub struct UcxPerftest {
    test: UcxTest,
    net: Rc<Net>,
    cores: (usize, usize),
}

impl UcxPerftest {
    /// `test` between these cores.
    ///
    /// # Errors
    /// A skip where it is not installed.
    pub fn new(test: UcxTest, net: &Rc<Net>, cores: (usize, usize)) -> Offer<Self> {
        if !found("ucx_perftest") {
            return Err(Skip(
                "ucx_perftest is not installed: apt-get install ucx-utils".to_owned(),
            ));
        }
        Ok(Self {
            test,
            net: Rc::clone(net),
            cores,
        })
    }

    fn command(&self, core: usize, port: u16) -> Command {
        let test = &self.test;
        let mut command = Command::new("ucx_perftest");
        command
            .env("UCX_TLS", test.tls)
            .env("UCX_WARN_UNUSED_ENV_VARS", "n");
        command.env("UCX_NET_DEVICES", self.net.device());
        command.args(["-p", &port.to_string(), "-c", &core.to_string()]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// One run of it: its line of figures.
    fn figures(&self) -> Result<Vec<f64>, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let (net, test) = (&self.net, &self.test);
        let port = net.free_port(At::There).map_err(|error| told(&error))?;
        let mut server = self.command(self.cores.1, port);
        let server = net.within(At::There, || server.stdout(Stdio::null()).spawn());
        let server = server
            .map_err(|error| told(&error))?
            .map_err(|error| told(&error))?;
        let mut server = Ended(server);
        net.within(At::There, || starts(&mut server.0, port))
            .map_err(|error| told(&error))??;
        let mut client = self.command(self.cores.0, port);
        client.args(["-t", test.test, "-s", &test.bytes.to_string(), "-f"]);
        client.args([
            "-n",
            &test.count.to_string(),
            "-w",
            &(test.count / 10 + 1).to_string(),
        ]);
        client.arg(net.address(At::There).to_string());
        let output = net.within(At::Here, || client.output());
        let output = output
            .map_err(|error| told(&error))?
            .map_err(|error| told(&error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        last_figures(&text).ok_or_else(|| format!("no figures in what it said: {text}"))
    }
}

/// The numbers of the last line that is made of numbers: how many messages; half a round trip in the median,
/// lately and altogether, us; MB/s lately and altogether; messages a second lately and altogether.
fn last_figures(text: &str) -> Option<Vec<f64>> {
    let numbers = |line: &str| {
        let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        numbers.ok().filter(|numbers| numbers.len() == 8)
    };
    text.lines().rev().find_map(numbers)
}

/// A server, which ends by itself after one client, and for certain when this goes.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It ended after its client, or never had one.
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

impl Contender for UcxPerftest {
    fn name(&self) -> &'static str {
        self.test.name
    }

    fn note(&self) -> Option<&'static str> {
        Some("two processes that poll; its own figure")
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let failed = |why: String| BenchError::contender(self.test.name, why);
        let figures = self.figures().map_err(failed)?;
        let ns = match self.test.figure {
            UcxFigure::HalfRoundTrip => 2e3 * figures[1],
            UcxFigure::Rate => 1e9 / figures[7],
        };
        if !ns.is_finite() || ns <= 0.0 {
            return Err(failed(format!("figures without sense: {figures:?}")));
        }
        window.record(ns);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_last_line_of_numbers() {
        let text = "+---+\n| x |\n  1000  5.0 5.1 5.2 9.0 9.1 150000 151000\n\
                    5000   5.991   6.519   6.519   9.36   9.36   153393   153394\n+---+\n";
        let figures = last_figures(text).unwrap();
        assert_eq!((figures[1], figures[7]), (5.991, 153_394.0));
        assert_eq!(last_figures("+---+\n| only a frame |\n"), None);
    }
}
