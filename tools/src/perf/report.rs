//! Rows of figures, as a table and as JSON.

use super::arguments::Plan;
use super::dialogue::Totals;
use super::spec::{Spec, Test};
use hdrhistogram::Histogram;
use serde::Serialize;

/// Parts of a nanosecond that are told apart: a round trip through shared memory is 100 ns.
const PARTS_PER_NS: f64 = 10.0;

/// Times, to three digits.
pub struct Samples(Histogram<u64>);

impl Samples {
    pub fn new() -> Self {
        match Histogram::new(3) {
            Ok(histogram) => Self(histogram),
            Err(error) => unreachable!("three digits: {error}"),
        }
    }

    /// One more.
    #[inline]
    pub fn add(&mut self, ns: f64) {
        // It grows with what is put into it, which is less than a century.
        let _outcome = self.0.record((ns * PARTS_PER_NS) as u64);
    }

    fn figures(&self, scale: f64) -> Latency {
        let ns = |parts: u64| parts as f64 / PARTS_PER_NS * scale;
        let at = |quantile| ns(self.0.value_at_quantile(quantile));
        Latency {
            samples: self.0.len(),
            min_ns: ns(self.0.min()),
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: ns(self.0.max()),
        }
    }
}

/// What the times of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeOf {
    /// From sending to the answer's coming, halved.
    HalfRoundTrip,
    /// From posting to completion.
    Request,
    /// From one completion to the next, by the number of requests between.
    RequestOfBatch,
}

impl TimeOf {
    fn of(test: Test) -> Self {
        match test {
            Test::SendLat | Test::PutLat => Self::HalfRoundTrip,
            Test::GetLat | Test::AtomicLat => Self::Request,
            _ => Self::RequestOfBatch,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::HalfRoundTrip => "half round trips",
            Self::Request => "requests until they are completed",
            Self::RequestOfBatch => "requests, a mean of each batch",
        }
    }
}

/// Percentiles in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    samples: u64,
    min_ns: f64,
    p50_ns: f64,
    p99_ns: f64,
    p999_ns: f64,
    max_ns: f64,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    test: Test,
    bytes: u64,
    is_bidirectional: bool,
    /// Requests that were measured.
    iterations: u64,
    /// How long they took.
    elapsed_ns: u64,
    time_of: TimeOf,
    latency: Latency,
    /// Of both directions, if both were used.
    requests_per_second: f64,
    /// Millions of bytes.
    megabytes_per_second: f64,
    /// All that this end made, the warm-up too.
    #[serde(skip)]
    pub requests: u64,
}

fn per_second(count: u64, ns: u64) -> f64 {
    count as f64 * 1e9 / (ns.max(1)) as f64
}

impl Row {
    /// `measured` requests of `requests` took so long.
    pub fn new(
        spec: &Spec,
        requests: u64,
        measured: u64,
        elapsed_ns: u64,
        samples: Samples,
    ) -> Self {
        let time_of = TimeOf::of(spec.test);
        let scale = if time_of == TimeOf::HalfRoundTrip {
            0.5
        } else {
            1.0
        };
        let rate = per_second(measured, elapsed_ns);
        Self {
            test: spec.test,
            bytes: spec.bytes,
            is_bidirectional: spec.is_bidirectional,
            iterations: measured,
            elapsed_ns,
            time_of,
            latency: samples.figures(scale),
            requests_per_second: rate,
            megabytes_per_second: rate * spec.bytes as f64 / 1e6,
            requests,
        }
    }

    /// Adds what the server did meanwhile.
    pub fn add_other_direction(&mut self, theirs: &Totals) {
        if self.is_bidirectional {
            let rate = per_second(theirs.requests, theirs.elapsed_ns);
            self.requests_per_second += rate;
            self.megabytes_per_second += rate * self.bytes as f64 / 1e6;
        }
    }

    fn line(&self) -> String {
        let latency = &self.latency;
        let us = |ns: f64| format!("{:>10.3}", ns / 1e3);
        format!(
            "{:>9} {:>11} {} {} {} {} {} {:>11.2} {:>10.4}",
            self.bytes,
            self.iterations,
            us(latency.min_ns),
            us(latency.p50_ns),
            us(latency.p99_ns),
            us(latency.p999_ns),
            us(latency.max_ns),
            self.megabytes_per_second,
            self.requests_per_second / 1e6,
        )
    }
}

/// How the rows were measured, and they.
#[derive(Debug, Serialize)]
pub struct Report {
    peer: String,
    transport: &'static str,
    integrity: &'static str,
    wait: &'static str,
    depth: u64,
    rows: Vec<Row>,
    #[serde(skip)]
    is_json: bool,
}

impl Report {
    pub fn new(is_json: bool, peer: &str, plan: &Plan) -> Self {
        Self {
            peer: peer.into(),
            transport: plan.opening.kind.name(),
            integrity: plan.opening.integrity.name(),
            wait: plan.wait,
            depth: plan.depth,
            rows: Vec::new(),
            is_json,
        }
    }

    /// One more row, which a table shows at once.
    pub fn add(&mut self, row: Row) {
        if !self.is_json {
            if self.rows.last().is_none_or(|last| last.test != row.test) {
                println!("{}", self.heading(&row));
            }
            println!("{}", row.line());
        }
        self.rows.push(row);
    }

    fn heading(&self, row: &Row) -> String {
        let depth = match row.test.is_latency() {
            true => String::new(),
            false => format!(", {} under way", self.depth),
        };
        let both = if row.is_bidirectional {
            ", both directions"
        } else {
            ""
        };
        format!(
            "{} over {} with {}, integrity {}, by {}{depth}{both}; us of {}\n\
             {:>9} {:>11} {:>10} {:>10} {:>10} {:>10} {:>10} {:>11} {:>10}",
            row.test.name(),
            self.transport,
            self.peer,
            self.integrity,
            match self.wait {
                "poll" => "polling",
                _ => "sleeping",
            },
            row.time_of.words(),
            "bytes",
            "iterations",
            "min",
            "p50",
            "p99",
            "p99.9",
            "max",
            "MB/s",
            "Mmsg/s",
        )
    }

    /// There are no more.
    pub fn end(&self) {
        if self.is_json {
            match serde_json::to_string_pretty(self) {
                Ok(text) => println!("{text}"),
                Err(error) => unreachable!("numbers and names: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::GOOD;
    use super::*;

    fn samples() -> Samples {
        let mut samples = Samples::new();
        (1..=1000).for_each(|ns| samples.add(f64::from(ns)));
        samples
    }

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let spec = Spec {
            test: Test::GetLat,
            ..GOOD
        };
        let row = Row::new(&spec, 1000, 1000, 500_500, samples());
        let latency = &row.latency;
        for (found, wanted) in [
            (latency.min_ns, 1.0),
            (latency.p50_ns, 500.0),
            (latency.p99_ns, 990.0),
            (latency.p999_ns, 999.0),
            (latency.max_ns, 1000.0),
        ] {
            assert!(
                (found - wanted).abs() <= wanted / 500.0 + 0.1,
                "{latency:?}"
            );
        }
        assert_eq!(latency.samples, 1000);
    }

    #[test]
    fn a_round_trip_is_halved_and_a_request_is_not() {
        let median = |test| {
            let spec = Spec { test, ..GOOD };
            Row::new(&spec, 1, 1, 1, samples()).latency.p50_ns
        };
        assert!((median(Test::SendLat) * 2.0 - median(Test::GetLat)).abs() < 1.0);
        assert!((median(Test::PutLat) - median(Test::SendLat)).abs() < 1e-9);
    }

    #[test]
    fn a_rate_is_of_both_directions_if_both_were_used() {
        let totals = Totals {
            requests: 1000,
            elapsed_ns: 1_000_000_000,
            ..Totals::default()
        };
        for (is_bidirectional, wanted) in [(false, 2000.0), (true, 3000.0)] {
            let spec = Spec {
                is_bidirectional,
                ..GOOD
            };
            let mut row = Row::new(&spec, 1000, 1000, 500_000_000, samples());
            row.add_other_direction(&totals);
            assert!((row.requests_per_second - wanted).abs() < 1e-6);
            assert!((row.megabytes_per_second - wanted * 64.0 / 1e6).abs() < 1e-6);
        }
    }
}
