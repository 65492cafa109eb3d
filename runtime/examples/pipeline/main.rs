//! A pipeline over files: read, hash, compress and collect, each an actor, joined by a compiled
//! graph with several files on the way at once; beside a plain loop over the same files.
//!
//! ```console
//! $ cargo run --release --example pipeline [DIR]
//! ```
//!
//! DIR is this repository if it is left out. `.git` and `target` are skipped and symbolic links not
//! followed. Every file is checked: what comes out of the compressor is decompressed and hashed
//! again. Graph and loop take turns, after a pass that only fills the page cache.

mod files;
mod latency;
mod plain;
mod stages;

use files::{Files, Found};
use indicatif::ProgressBar;
use maser::prelude::*;
use maser::{GraphRef, Timeout};
use stages::{Collector, Compressor, Hasher, Outcome, Reader};
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files on the way at once.
const IN_FLIGHT: usize = 16;
/// A round: the loop, the graph twice, the loop.
const ROUND: [Kind; 4] = [Kind::Plain, Kind::Graph, Kind::Graph, Kind::Plain];
/// Rounds are repeated until they took this long.
const LENGTH: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Graph,
}

/// The four actors and the graph that joins them.
struct Pipeline {
    read: Actor<Reader>,
    hash: Actor<Hasher>,
    compress: Actor<Compressor>,
    collect: Actor<Collector>,
    graph: CompiledGraph<Node<Arc<Path>>, Node<Outcome>>,
}

impl Pipeline {
    fn new(schedulers: usize) -> maser::Result<Self> {
        // Scheduler 0 also feeds the graph; compressing takes longest and gets a core of its own.
        let at: [usize; 4] = match schedulers {
            1 => [0, 0, 0, 0],
            2 => [0, 0, 1, 0],
            3 => [0, 0, 1, 2],
            _ => [0, 3, 1, 2],
        };
        let read = Reader::options().scheduler(at[0]).remote();
        let hash = Hasher::options().scheduler(at[1]).remote();
        let compress = Compressor::options().scheduler(at[2]).remote();
        let collect = Collector::options().scheduler(at[3]).remote();
        let graph = Graph::new(|path: Node<Arc<Path>>| {
            let bytes = read.read().bind(path);
            let digest = hash.hash().bind(bytes);
            let packed = compress.compress().bind(bytes);
            collect.collect().bind(bytes, digest, packed)
        })
        .compile_with(CompileOptions {
            max_inflight: Some(IN_FLIGHT),
            // A large file may take its time.
            submit_timeout: Some(Timeout::Never),
            get_timeout: Some(Timeout::Never),
            ..CompileOptions::default()
        })?;
        Ok(Self {
            read,
            hash,
            compress,
            collect,
            graph,
        })
    }

    /// One pass. The oldest result is awaited whenever as many are on the way as may be.
    fn pass(&self, files: &[Arc<Path>], bar: &ProgressBar) -> maser::Result<Vec<Found>> {
        let mut found = Vec::with_capacity(files.len());
        let mut on_the_way: VecDeque<GraphRef<Outcome>> = VecDeque::with_capacity(IN_FLIGHT);
        let mut finish = |result: GraphRef<Outcome>| {
            bar.inc(1);
            found.push(result.take().map_err(|error| error.to_string()));
        };
        for file in files {
            if on_the_way.len() == IN_FLIGHT {
                on_the_way.pop_front().into_iter().for_each(&mut finish);
            }
            on_the_way.push_back(self.graph.execute(file.clone())?);
        }
        on_the_way.into_iter().for_each(finish);
        Ok(found)
    }

    /// What the actors measured themselves.
    fn print_stages(&self) -> maser::Result<()> {
        println!("\n{:12}{:>12}{:>12}", "stage", "p50", "p99");
        println!("{:12}{}", "read", self.read.latency().remote().get()?);
        println!("{:12}{}", "hash", self.hash.latency().remote().get()?);
        println!(
            "{:12}{}",
            "compress",
            self.compress.latency().remote().get()?
        );
        println!("{:12}{}", "collect", self.collect.latency().remote().get()?);
        Ok(())
    }
}

/// Time and sum of the passes of one kind.
#[derive(Default)]
struct Total {
    files: usize,
    bytes: u64,
    took: Duration,
}

impl Total {
    fn add(&mut self, found: &[Found], took: Duration) {
        let good = found.iter().flatten();
        self.bytes += good.map(|outcome| outcome.bytes).sum::<u64>();
        self.files += found.len();
        self.took += took;
    }

    fn files_per_s(&self) -> f64 {
        self.files as f64 / self.took.as_secs_f64()
    }

    fn print(&self, name: &str) {
        let mb_per_s = self.bytes as f64 / 1e6 / self.took.as_secs_f64();
        println!("{name:12}{:>12.0}{mb_per_s:>12.1}", self.files_per_s());
    }
}

fn run(dir: &Path) -> maser::Result<ExitCode> {
    let Files {
        files,
        mut unreadable,
    } = Files::below(dir);
    let maser = Config::new().mode(Mode::Silent).init()?;
    let schedulers = maser.num_cpus();
    let pipeline = Pipeline::new(schedulers)?;
    let mut plain = plain::Loop::new().map_err(|error| Error::System {
        what: "cannot make a zstd compressor".into(),
        reason: error.to_string(),
    })?;

    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(files.len() as u64)
    } else {
        ProgressBar::hidden()
    };
    for file in &files {
        // Only so that the first pass finds the cache as the others do.
        drop(std::fs::read(file));
        bar.inc(1);
    }
    let (mut by_loop, mut by_graph) = (Total::default(), Total::default());
    let mut first: Option<Vec<Found>> = None;
    let mut differ = 0;
    let began = Instant::now();
    while first.is_none() || (began.elapsed() < LENGTH && !files.is_empty()) {
        bar.inc_length((files.len() * ROUND.len()) as u64);
        for kind in ROUND {
            let began = Instant::now();
            let found = match kind {
                Kind::Plain => plain.pass(&files, &bar),
                Kind::Graph => pipeline.pass(&files, &bar)?,
            };
            let took = began.elapsed();
            match kind {
                Kind::Plain => by_loop.add(&found, took),
                Kind::Graph => by_graph.add(&found, took),
            }
            differ += files::count_different(first.get_or_insert_with(|| found.clone()), &found);
        }
    }
    bar.finish_and_clear();
    unreadable.extend(files::failures(
        &files,
        first.as_deref().unwrap_or_default(),
    ));

    println!(
        "files below {1}: {0}; schedulers: {schedulers}; files on the way at once: {IN_FLIGHT}",
        files.len(),
        dir.display()
    );
    files::print_unreadable(&unreadable);
    if files.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{:12}{:>12}{:>12}", "", "files/s", "MB/s");
    by_loop.print("plain loop");
    by_graph.print("graph");
    println!(
        "{:12}{:>12.2}",
        "ratio",
        by_graph.files_per_s() / by_loop.files_per_s()
    );
    pipeline.print_stages()?;
    if differ > 0 {
        println!("\n{differ} results differ between passes: were the files written meanwhile?");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

#[maser::main]
fn main() -> ExitCode {
    let dir = match std::env::args_os().nth(1) {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
    };
    let dir = match dir.canonicalize() {
        Ok(dir) => dir,
        Err(error) => {
            eprintln!("pipeline: {}: {error}", dir.display());
            return ExitCode::from(2);
        }
    };
    run(&dir).unwrap_or_else(|error| {
        eprintln!("pipeline: {error}");
        ExitCode::FAILURE
    })
}
