//! Pools of huge pages that are too small, and memory that is there when it is touched.
#![allow(unsafe_code, reason = "writes mapped memory to see that it is there")]

use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use maser_shm::os::memory;
use maser_shm::os::shared_memory::{self, PageKind, View};
use maser_shm::store::extent::{Extent, ExtentError};
use maser_shm::store::{HugePages, Store, StoreConfig, StoreEvents};
use maser_shm::sync::atomic::{AtomicU32, Ordering};

use crate::child;
use crate::level::Level;
use crate::random::Random;
use crate::row::{Outcome, Row, Run, Tally, broken, check};

const LIMIT: Duration = Duration::from_secs(60);
/// Sizes that are tried of each kind.
const SIZES: u64 = 100;
/// Pages of the largest extent that is really made, so that others on the machine have some too.
const PAGES_MAX: u64 = 8;

/// The rows of this file.
pub const ROWS: [Row; 1] = [Row {
    name: "B1.huge_pages",
    claim: "a pool that is short by a few pages, or has none, is an error with the figures or a \
            fallback that is told once; memory that was handed out is there, never SIGBUS",
    canary: "an extent is a page shorter than its owner thinks",
    run,
}];

fn run(run: &Run) -> Outcome<Tally> {
    let rounds = run.share_of(SIZES);
    let mut random = run.random();
    let mut tally = Tally::default();
    for kind in [PageKind::Huge2MiB, PageKind::Huge1GiB] {
        if memory::huge_pool(kind).is_none() {
            let bytes = kind.bytes();
            tally
                .notes
                .push(format!("pages of {bytes} bytes: this machine has none"));
        }
    }
    for _ in 0..rounds {
        let mut random = Random::new(random.next());
        let planted = run.planted;
        child::in_a_child(LIMIT, || {
            if planted {
                too_short()?;
            }
            let level = Level::now()?;
            for kind in [PageKind::Huge2MiB, PageKind::Huge1GiB] {
                beyond_the_pool(kind, &mut random)?;
            }
            within_the_pool(&mut random)?;
            fallback(&mut random)?;
            level.is_back()?;
            Ok(String::new())
        })?;
        tally.points += 4;
    }
    Ok(tally)
}

/// Writes into every page.
fn touch(start: NonNull<u8>, bytes: usize) {
    for at in (0..bytes).step_by(4096) {
        // SAFETY: inside of a mapping of so many bytes that is written by nobody else.
        unsafe { start.as_ptr().add(at).write_volatile(1) };
    }
}

fn too_short() -> Outcome<()> {
    let (page, bytes) = (4096, 16 * 4096);
    let file = shared_memory::create("short", PageKind::Plain, bytes - page).map_err(broken)?;
    let view = View::map(file.as_fd(), bytes, true).map_err(broken)?;
    touch(view.start(), bytes);
    Ok(())
}

/// More than the pool could ever give.
fn beyond_the_pool(kind: PageKind, random: &mut Random) -> Outcome<()> {
    let total = memory::huge_pool(kind).map_or(0, |pool| pool.total);
    let pages = total + 1 + random.below(64);
    let asked_bytes = pages as usize * kind.bytes();
    match Extent::create(asked_bytes, kind) {
        Err(ExtentError::HugePagesShort { asked, free, .. }) => {
            check(asked == pages && free < asked, || {
                format!("{pages} pages were asked for; the error says {asked}, {free} free")
            })
        }
        Err(ExtentError::NoHugePages { .. }) => Ok(()),
        Err(error) => Err(broken(format!("for {pages} pages of {total}: {error}"))),
        Ok(_) => Err(broken(format!(
            "{pages} huge pages were to be had of {total}"
        ))),
    }
}

/// As much as there may be: others use the pool as well, so either answer is right.
fn within_the_pool(random: &mut Random) -> Outcome<()> {
    let pages = 1 + random.below(PAGES_MAX);
    let mut tries = 0;
    loop {
        let bytes = pages as usize * PageKind::Huge2MiB.bytes();
        let error = match Extent::create(bytes, PageKind::Huge2MiB) {
            Ok(extent) => {
                touch(extent.start(), extent.bytes());
                return Ok(());
            }
            Err(ExtentError::NoHugePages { .. }) => return Ok(()),
            Err(ExtentError::HugePagesShort { asked, free, .. }) if free < asked => return Ok(()),
            Err(error) => error,
        };
        // Pages may have come back between the refusal and the look at the pool.
        tries += 1;
        check(tries < 20, || format!("{pages} pages: {error}"))?;
    }
}

/// Counts what the store tells.
#[derive(Default)]
struct Notices(AtomicU32);

impl StoreEvents for Notices {
    fn no_huge_pages(&self, _reason: &ExtentError) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Pages of 1 GiB are wanted for a small store, which no machine of ours has for it.
fn fallback(random: &mut Random) -> Outcome<()> {
    if memory::huge_pool(PageKind::Huge1GiB).is_some_and(|pool| pool.available() > 0) {
        return Ok(());
    }
    let notices = Arc::new(Notices::default());
    let mut config = StoreConfig {
        huge_pages: HugePages::Auto,
        huge_page: PageKind::Huge1GiB,
        events: Some(Arc::<Notices>::clone(&notices)),
        populate: false,
        extent_bytes_first: 64 << 10,
        ..StoreConfig::new(16 << 20)
    };
    let store = Store::new(config.clone()).map_err(broken)?;
    let mut objects = Vec::new();
    for _ in 0..3 {
        let bytes = 1 + random.below(1 << 20) as usize;
        let mut object = store.try_create(bytes).map_err(broken)?;
        object.fill(7);
        objects.push(object.seal());
    }
    let told = notices.0.load(Ordering::Relaxed);
    check(told <= 1, || format!("the fallback was told {told} times"))?;
    drop((objects, store));
    config.huge_pages = HugePages::Require;
    let error = Store::new(config).and_then(|store| store.try_create(100).map(drop));
    check(error.is_err(), || {
        "huge pages are required and plain ones came".into()
    })
}
