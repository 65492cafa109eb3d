//! Workers that are killed or stopped at any instant, and nodes of which nothing is left.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use maser_shm::os::file_io;
use maser_shm::os::memory;
use maser_shm::os::shared_memory::PageKind;
use maser_shm::store::spill_file::SpillFile;

use crate::child::{self, Child, End};
use crate::level::Level;
use crate::load::{Supervisor, WORKERS};
use crate::row::{Outcome, Row, Run, Tally, broken, check};
use crate::stepper::PATIENCE;

/// The rows of this file.
pub const ROWS: [Row; 3] = [
    Row {
        name: "A2.random_kills",
        claim: "workers killed at any instant under load: no object whose news had come is lost or \
                wrong, and nothing of the dead stays",
        canary: "what the dead held is not settled",
        run: random_kills,
    },
    Row {
        name: "A4.stopped",
        claim: "a stopped worker is never taken for dead, holds nobody else up, and goes on where \
                it was",
        canary: "a worker that says nothing is taken for dead",
        run: stopped,
    },
    Row {
        name: "A6.kill_all",
        claim: "a node of which every process is killed leaves no name, no process and no page, and \
                starts again",
        canary: "a spill file has a name",
        run: kill_all,
    },
];

fn random_kills(run: &Run) -> Outcome<Tally> {
    let kills = run.share_of(2000);
    let level = Level::now()?;
    let mut supervisor = Supervisor::new(run.seed, false, run.planted)?;
    for _ in 0..kills {
        let until = supervisor.random().below(100);
        let mut news = 0;
        while news < until {
            for index in 0..WORKERS {
                news += supervisor.turn(index)?;
            }
        }
        let victim = supervisor.random().below(WORKERS as u64) as usize;
        supervisor.kill(victim)?;
        supervisor.start()?;
    }
    let (waited, silent) = (supervisor.death_wait_max, supervisor.silence_max);
    let objects = supervisor.objects;
    supervisor.end()?;
    level.is_back()?;
    let mut tally = Tally::of(kills);
    tally.notes.push(format!(
        "{objects} objects were whole; longest wait for a death {waited:.1?}, for a worker {silent:.1?}"
    ));
    Ok(tally)
}

fn stopped(run: &Run) -> Outcome<Tally> {
    let stops = run.share_of(50);
    let level = Level::now()?;
    let mut supervisor = Supervisor::new(run.seed, false, false)?;
    for _ in 0..stops {
        let stopped = supervisor.random().below(WORKERS as u64) as usize;
        let until = supervisor.random().below(100);
        let mut news = 0;
        while news < until {
            news += supervisor.turn(0)? + supervisor.turn(1)?;
        }
        supervisor.stop(stopped)?;
        // What it had published comes; then there is silence, and the other one goes on.
        let (mut of_others, mut silent_looks) = (0, 0);
        while of_others < 200 || silent_looks < 200 {
            of_others += supervisor.turn(1 - stopped)?;
            silent_looks += u64::from(supervisor.turn(stopped)? == 0);
            let dead = supervisor.is_dead(stopped)? || run.planted && silent_looks >= 100;
            check(!dead, || "a stopped worker was taken for dead".into())?;
        }
        supervisor.go_on(stopped);
        let mut news = 0;
        while news < 50 {
            news += supervisor.turn(stopped)?;
        }
    }
    supervisor.end()?;
    level.is_back()?;
    Ok(Tally::of(stops))
}

fn kill_all(run: &Run) -> Outcome<Tally> {
    let cycles = run.share_of(200);
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(broken)?;
    let folder = Folder::new()?;
    let before = names(Path::new("/dev/shm"));
    let pool = memory::huge_pool(PageKind::Huge2MiB);
    let level = Level::now()?;
    let mut random = run.random();
    for _ in 0..cycles {
        let (seed, until) = (random.next(), random.below(200));
        let (mut hears, says) = std::io::pipe().map_err(broken)?;
        let mut node = child::fork(|| match node(seed, &folder.0, run.planted, says) {
            Ok(()) => 0,
            Err(stop) => {
                eprintln!("node: {stop:?}");
                1
            }
        })?;
        // One byte a turn that had news: it works.
        let mut bytes = vec![0; until as usize + 1];
        let heard = hears.read_exact(&mut bytes);
        kill_the_family(&mut node)?;
        heard.map_err(|error| broken(format!("the node did not work: {error}")))?;
        let left = names(&folder.0);
        check(left.is_empty(), || {
            format!("left behind in the spill directory: {left:?}")
        })?;
        let left: Vec<_> = names(Path::new("/dev/shm"))
            .difference(&before)
            .cloned()
            .collect();
        let ours = left.iter().any(|name| name.contains("maser"));
        check(!ours, || format!("left behind in /dev/shm: {left:?}"))?;
    }
    drop(folder);
    level.is_back()?;
    let mut tally = Tally::of(cycles);
    if let (Some(before), Some(now)) = (pool, memory::huge_pool(PageKind::Huge2MiB)) {
        let (before, now) = (before.free, now.free);
        tally
            .notes
            .push(format!("{before} huge pages were free before, {now} after"));
    }
    Ok(tally)
}

/// A node: a spill file, a supervisor and workers, busy until killed.
fn node(seed: u64, folder: &Path, planted: bool, mut says: impl Write) -> Outcome<()> {
    let spill = SpillFile::create(folder, file_io::recommended(|_| {})).map_err(broken)?;
    if planted {
        std::fs::write(folder.join("maser-spill"), b"cold objects").map_err(broken)?;
    }
    let mut supervisor = Supervisor::new(seed, true, false)?;
    let mut turns = 0u64;
    loop {
        for index in 0..WORKERS {
            if supervisor.turn(index)? == 0 {
                continue;
            }
            turns += 1;
            spill
                .write(&turns.to_le_bytes().repeat(1000))
                .map_err(broken)?;
            says.write_all(b".").map_err(broken)?;
        }
    }
}

/// Kills the node; its workers die with it, and come to us to be waited for.
fn kill_the_family(node: &mut Child) -> Outcome<()> {
    let end = node.kill();
    check(end == End::Signal(libc::SIGKILL), || {
        format!("the node had ended: {end:?}")
    })?;
    child::wait_for_orphans(PATIENCE)
}

/// What lies in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// A folder that goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("maser-prove-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(broken)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}
