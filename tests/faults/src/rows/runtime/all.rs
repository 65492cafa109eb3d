//! A driver that is killed, with all that it started.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use maser_shm::os::memory;
use maser_shm::os::shared_memory::PageKind;

use super::kills::Killed;
use super::load::Load;
use super::{longest, with_runtime};
use crate::child::{self, End};
use crate::level::Level;
use crate::row::{Outcome, Row, Run, Tally, broken, check};

/// The row of this file.
pub const ROW: Row = Row {
    name: "A6.runtime_kill_all",
    claim: "a driver that is killed takes its workers with it, leaves no name and no page, and \
            another one starts",
    canary: "a worker leaves a name in /dev/shm",
    run,
};

/// Drivers after which the bug is certain to be seen.
const CYCLES_PLANTED: u64 = 1;

fn run(run: &Run) -> Outcome<Tally> {
    let cycles = match run.planted {
        true => CYCLES_PLANTED,
        false => run.share_of(50),
    };
    let limit = longest(run, Duration::from_secs(2));
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(broken)?;
    let shm = Path::new("/dev/shm");
    let litter = shm.join(format!("maser-prove-{}", std::process::id()));
    let litter_path = litter.to_string_lossy().into_owned();
    let before = names(shm);
    let pool = memory::huge_pool(PageKind::Huge2MiB);
    let level = Level::now()?;
    let mut random = run.random();
    let mut longest = Duration::ZERO;
    for _ in 0..cycles {
        let until = random.below(30);
        let (mut hears, says) = std::io::pipe().map_err(broken)?;
        let mut own = run.clone();
        own.seed = random.next();
        let mut driver = child::fork(|| match drive(&own, &litter_path, says) {
            Ok(()) => 0,
            Err(stop) => {
                eprintln!("driver: {stop:?}");
                1
            }
        })?;
        let mut bytes = vec![0; until as usize + 1];
        if let Err(error) = hears.read_exact(&mut bytes) {
            // It says why, and ends.
            driver.wait_for(super::PATIENCE)?;
            return Err(broken(format!("the driver did not work: {error}")));
        }
        let end = driver.kill();
        let began = Instant::now();
        check(end == End::Signal(libc::SIGKILL), || {
            format!("the driver had ended: {end:?}")
        })?;
        child::wait_for_orphans(limit)?;
        longest = longest.max(began.elapsed());
        let left: Vec<String> = names(shm).difference(&before).cloned().collect();
        // The bug leaves no more behind than a row may.
        let _removed = std::fs::remove_file(&litter);
        let ours = left.iter().any(|name| name.contains("maser"));
        check(!ours, || format!("left behind in /dev/shm: {left:?}"))?;
    }
    level.is_back()?;
    let mut tally = Tally::of(cycles);
    let note = format!("all workers were gone at the latest {longest:.1?} after their driver");
    tally.notes.push(note);
    if let (Some(before), Some(now)) = (pool, memory::huge_pool(PageKind::Huge2MiB)) {
        let (before, now) = (before.free, now.free);
        let note = format!("{before} huge pages were free before, {now} after");
        tally.notes.push(note);
    }
    Ok(tally)
}

/// A driver, busy until killed; it says a byte a round.
fn drive(run: &Run, litter: &str, mut says: impl Write + Send) -> Outcome<()> {
    let mut honest = run.clone();
    honest.planted = false;
    with_runtime(run.seed, || {
        if run.planted {
            let dirty = super::actors::busy().litter().remote(litter.to_owned());
            dirty.get().map_err(broken)?;
        }
        let mut load = Load::new(&honest, Killed::default(), super::PATIENCE);
        loop {
            load.round()?;
            says.write_all(b".").map_err(broken)?;
        }
    })
}

/// What lies in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
