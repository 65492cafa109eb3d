//! What a worker process costs: its start, and its memory while idle.

use maser::{Actor, Isolation};
use rustix::time::{ClockId, clock_gettime};

use crate::child;
use crate::harness::{
    BenchError, Context, FloorFigure, Offer, Percentiles, Row, RowResult, Unit, check, median,
};

use super::runtime::nanoseconds;

/// Gives back what it is told, and the number of its process.
pub(super) struct Resident;

#[maser::actor]
impl Resident {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn echo(&mut self, value: u64) -> u64 {
        value
    }

    pub(super) fn process(&mut self) -> u32 {
        std::process::id()
    }
}

fn resident() -> Actor<Resident> {
    Resident::options().isolation(Isolation::Process).remote()
}

/// Processes started for a row, and in its quick form.
const STARTS: (usize, usize) = (20, 2);
/// Workers of the idle node.
const WORKERS: usize = 4;

fn count(context: &Context) -> usize {
    if context.effort.quick {
        STARTS.1
    } else {
        STARTS.0
    }
}

fn now() -> f64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

fn of_maser(error: impl ToString) -> BenchError {
    BenchError::contender("maser", error)
}

/// Time from here to the first result of an actor in a process of its own in a new runtime with
/// default settings, ns.
///
/// # Errors
/// The runtime's.
pub fn first_process_result() -> maser::Result<f64> {
    let began = now();
    let found = maser::run(maser::Config::new(), |_| {
        resident()
            .echo()
            .remote(7)
            .get()
            .map(|found| (found, now()))
    })??;
    Ok(if found.0 == 7 {
        found.1 - began
    } else {
        f64::NAN
    })
}

/// The result of `row` for such times, beside those of a bare process of this program.
fn beside_bare(row: &Row, samples: &[f64], bare: &[f64]) -> RowResult {
    let mut result = RowResult {
        windows: samples.len(),
        ..RowResult::empty(row)
    }
    .with_samples(samples, samples.len() as u64);
    if let Some(found) = Percentiles::of(bare, Unit::Ns) {
        let name = "floor/bare_process".to_owned();
        result.floor = Some(FloorFigure {
            name,
            p50: found.p50,
        });
        (result.floor_p99, result.floor_p999) = (Some(found.p99), Some(found.p999));
    }
    let ratios: Vec<f64> = samples
        .iter()
        .zip(bare)
        .map(|(ns, bare)| ns / bare)
        .collect();
    result.ratio = median(&ratios);
    result
}

/// Time of a process of this program that ends in `main`, ns.
fn bare_process(context: &Context, row: &Row) -> Result<f64, BenchError> {
    let began = now();
    child::start_and_end(context, row)?;
    Ok(now() - began)
}

/// The row `process/start`.
pub(super) fn start_worker(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    if !child::is_offered() {
        return Ok(Err(child::not_offered()));
    }
    context.cores.unpin()?;
    let maser = maser::Config::new().num_cpus(1).init().map_err(of_maser)?;
    let (mut samples, mut bare) = (Vec::new(), Vec::new());
    // None ends while another one starts.
    let mut residents = Vec::new();
    for value in 0..count(context) as u64 {
        bare.push(bare_process(context, row)?);
        context.cores.unpin()?;
        let began = now();
        let actor = resident();
        let answer = actor.echo().remote(value).get().map_err(of_maser)?;
        samples.push(now() - began);
        check("the first answer", value, answer)?;
        residents.push(actor);
    }
    drop((residents, maser));
    context.cores.pin(0)?;
    Ok(Ok(beside_bare(row, &samples, &bare)))
}

/// The row `process/start/node`.
pub(super) fn start_node(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    if !child::is_offered() {
        return Ok(Err(child::not_offered()));
    }
    let (mut samples, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..count(context) {
        bare.push(bare_process(context, row)?);
        let ns = child::measure_first_process_result(context, row)?;
        check("time of a start is a number", true, ns > 0.0)?;
        samples.push(ns);
    }
    Ok(Ok(beside_bare(row, &samples, &bare)))
}

/// Bytes of process `pid` in memory, shared pages by share, without the extents of stores.
fn pss(pid: u32) -> Result<u64, BenchError> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::read_to_string(&path).map_err(|source| BenchError::Io { path, source })
    };
    let whole = pss_of(&read("smaps_rollup")?, |_| true);
    let store = pss_of(&read("smaps")?, |mapping| mapping.contains(STORE));
    check("a process has memory", true, whole > 0)?;
    Ok(whole.saturating_sub(store))
}

/// In the names of mappings of extents.
const STORE: &str = "memfd:maser-extent";

/// Sum of the `Pss` of those mappings in `smaps` whose heading `counts`, bytes.
fn pss_of(smaps: &str, counts: impl Fn(&str) -> bool) -> u64 {
    let (mut kib, mut is_counted) = (0, false);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or("");
        if !first.ends_with(':') {
            is_counted = counts(line);
        } else if first == "Pss:" && is_counted {
            kib += words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        }
    }
    kib << 10
}

/// A node of `workers` workers, each of which has answered a call: the processes, driver first.
fn idle_processes<T>(
    context: &Context,
    workers: usize,
    measure: impl FnOnce(&[u32]) -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    context.cores.unpin()?;
    let maser = maser::Config::new().init().map_err(of_maser)?;
    let residents: Vec<Actor<Resident>> = (0..workers).map(|_| resident()).collect();
    let mut processes = vec![std::process::id()];
    for resident in &residents {
        processes.push(resident.process().remote().get().map_err(of_maser)?);
    }
    let measured = measure(&processes);
    drop((residents, maser));
    context.cores.pin(0)?;
    measured
}

fn of_memory(row: &Row, samples: &[f64]) -> RowResult {
    RowResult {
        windows: samples.len(),
        ..RowResult::empty(row)
    }
    .with_samples(samples, samples.len() as u64)
}

/// The row `process/idle_pss`: one of two workers, so that what every process of a node has is shared
/// by several.
pub(super) fn idle_worker(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let pss = idle_processes(context, 1, |processes| pss(processes[1]))?;
    Ok(Ok(of_memory(row, &[pss as f64])))
}

/// The row `process/idle_pss/node`.
pub(super) fn idle_node(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let all = idle_processes(context, WORKERS, |processes| {
        processes
            .iter()
            .map(|&process| pss(process))
            .sum::<Result<u64, _>>()
    })?;
    Ok(Ok(of_memory(row, &[all as f64])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_extents_is_told_apart() {
        let smaps = "\
7f00-7f10 r--s 00000000 00:01 5 /memfd:maser-extent (deleted)
Rss:    9 kB
Pss:    3 kB
Pss_Dirty:    1 kB
7f20-7f30 rw-p 00000000 00:00 0
Pss:    4 kB
";
        assert_eq!(pss_of(smaps, |_| true), 7 << 10);
        assert_eq!(pss_of(smaps, |heading| heading.contains(STORE)), 3 << 10);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(pss(std::process::id()).unwrap() > 0);
    }
}
