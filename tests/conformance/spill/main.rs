//! What a spill file promises, with io_uring and without, and on disks that are full or broken.

mod disks;
mod processes;
mod store;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser_shm::os::file_io::FileIo;
use maser_shm::os::file_io::plain::PlainFileIo;
use maser_shm::os::file_io::uring::UringFileIo;
use maser_shm::os::uring::availability;
use maser_shm::store::spill_file::SpillFile;
use maser_shm::store::spill_file::error::SpillError;
use maser_shm::store::{HugePages, Leave, Shelved, Store, StoreConfig};
use maser_tests::part;
use maser_tests::sandbox::without_io_uring;
use proptest::prelude::*;

use disks::{BadDisk, CountedHoles};
use store::{
    a_store_names_the_full_disk_and_loses_nothing,
    a_store_of_8_mib_holds_40_and_its_file_is_empty_afterwards,
};

const MIB: usize = 1 << 20;

/// A folder of the test's own that goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("maser-spill-test-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn names(&self) -> usize {
        std::fs::read_dir(&self.0).expect("a folder").count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

fn spill_file(io: &Arc<dyn FileIo>) -> (Folder, SpillFile) {
    let folder = Folder::new();
    let file = SpillFile::create(&folder.0, io.clone()).expect("a spill file");
    (folder, file)
}

fn object(bytes: usize, seed: u8) -> Vec<u8> {
    // A kibibyte that differs from object to object, over and over.
    let block: Vec<u8> = (0..1024).map(|at| (at >> 2) as u8 ^ seed).collect();
    let mut object = block.repeat(bytes.div_ceil(1024));
    object.truncate(bytes);
    object
}

/// SP-3; file systems count some blocks for their own notes.
#[track_caller]
fn assert_nothing_is_left(file: &SpillFile) {
    let left = file.blocks_bytes();
    assert!(left <= 64 << 10, "{left} bytes of disk without objects");
}

fn objects_come_back_as_they_were(io: &Arc<dyn FileIo>) {
    let (folder, file) = spill_file(io);
    let sizes = [0, 1, 4096, 4097, MIB, 11 * MIB + 5];
    let objects: Vec<Vec<u8>> = (0..)
        .zip(sizes)
        .map(|(n, bytes)| object(bytes, n))
        .collect();
    let together: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
    let mut tickets = file.write_all(&together).expect("room");
    tickets.push(file.write(&objects[3]).expect("room"));
    assert_eq!(folder.names(), 0, "the file has no name");
    assert_eq!((file.usage().objects, tickets.len()), (7, 7));
    for (ticket, written) in tickets
        .iter()
        .zip(together.iter().chain([&&objects[3][..]]))
    {
        let mut read = vec![0; written.len()];
        file.read(*ticket, &mut read).expect("read");
        assert!(read == **written, "{} bytes", written.len());
    }
    for ticket in tickets {
        file.discard(ticket).expect("an object");
    }
    let usage = file.usage();
    assert_eq!((usage.objects, usage.bytes, usage.disk_bytes), (0, 0, 0));
}

fn a_discarded_object_is_gone_and_its_room_is_the_disks(io: &Arc<dyn FileIo>) {
    let (_folder, file) = spill_file(io);
    let bytes = object(8 * MIB, 1);
    let ticket = file.write(&bytes).expect("room");
    let kept = file.write(b"kept").expect("room");
    file.discard(ticket).expect("an object");
    let mut read = vec![0; bytes.len()];
    let error = file.read(ticket, &mut read).expect_err("discarded");
    assert!(matches!(error, SpillError::Unknown), "SP-2: {error}");
    let error = file.discard(ticket).expect_err("discarded");
    assert!(matches!(error, SpillError::Unknown), "SP-2: {error}");
    let error = file.read(kept, &mut read[..3]).expect_err("4 bytes");
    assert!(
        matches!(error, SpillError::WrongSize { asked: 3, bytes: 4 }),
        "{error}"
    );
    // The place is used again, and its old ticket still means nothing.
    let again = file.write(&bytes).expect("room");
    assert_ne!(again, ticket);
    assert!(file.read(ticket, &mut read).is_err());
    file.read(again, &mut read).expect("read");
    assert!(read == bytes);
    assert_eq!(file.usage().disk_bytes, 8 * MIB as u64 + 4096);
}

fn small_objects_give_their_room_back_together(io: &Arc<dyn FileIo>) {
    let holes = Arc::new(AtomicUsize::new(0));
    let disk: Arc<dyn FileIo> = Arc::new(CountedHoles {
        good: io.clone(),
        calls: holes.clone(),
    });
    let (_folder, file) = spill_file(&disk);
    let small = object(5000, 1);
    let objects: Vec<&[u8]> = vec![&small; 1000];
    let tickets = file.write_all(&objects).expect("room");
    for &ticket in &tickets[..500] {
        file.discard(ticket).expect("an object");
    }
    assert_eq!(holes.load(Ordering::Relaxed), 0, "SP-3: 4 MiB may wait");
    for &ticket in &tickets[500..] {
        file.discard(ticket).expect("an object");
    }
    assert!(matches!(holes.load(Ordering::Relaxed), 1..=3), "{holes:?}");
    assert_eq!(file.usage().disk_bytes, 0);
    assert_nothing_is_left(&file);
}

fn many_rounds_leave_no_more_on_the_disk_than_is_held(io: &Arc<dyn FileIo>) {
    let (_folder, file) = spill_file(io);
    let file = &file;
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            scope.spawn(move || {
                let mut held = Vec::new();
                for round in 0..100_usize {
                    let written = object((round * 7919) % 40_000, thread ^ round as u8);
                    held.push((file.write(&written).expect("room"), written));
                    if held.len() > 8 {
                        let (ticket, written) = held.swap_remove(round % 8);
                        let mut read = vec![0; written.len()];
                        file.read(ticket, &mut read).expect("read");
                        assert!(read == written);
                        file.discard(ticket).expect("an object");
                    }
                }
                for (ticket, _) in held {
                    file.discard(ticket).expect("an object");
                }
            });
        }
    });
    assert_eq!((file.usage().objects, file.usage().disk_bytes), (0, 0));
    assert_nothing_is_left(file);
}

fn a_full_disk_is_told_with_figures_and_leaves_nothing(io: &Arc<dyn FileIo>) {
    for is_full_late in [false, true] {
        let disk: Arc<dyn FileIo> = Arc::new(BadDisk {
            good: io.clone(),
            room: 4 * MIB as u64,
            is_full_late,
            flips: false,
        });
        let (_folder, file) = spill_file(&disk);
        let kept = file.write(&object(3 * MIB, 1)).expect("room");
        let large = object(2 * MIB, 2);
        match file.write_all(&[&large, &large]).expect_err("4 of 1 MiB") {
            SpillError::DiskFull { asked, spilled, .. } => {
                assert_eq!((asked, spilled), (4 * MIB as u64, 3 * MIB as u64));
            }
            other => panic!("{other}"),
        }
        assert_eq!(file.usage().objects, 1);
        // The range that was given back is the next one's.
        let small = file.write(&object(MIB, 3)).expect("1 of 1 MiB");
        for (ticket, bytes, seed) in [(kept, 3 * MIB, 1), (small, MIB, 3)] {
            let mut read = vec![0; bytes];
            file.read(ticket, &mut read).expect("read");
            assert!(read == object(bytes, seed));
        }
    }
}

fn a_bit_that_flips_is_found(io: &Arc<dyn FileIo>) {
    let disk: Arc<dyn FileIo> = Arc::new(BadDisk {
        good: io.clone(),
        room: u64::MAX,
        is_full_late: false,
        flips: true,
    });
    let (_folder, file) = spill_file(&disk);
    let ticket = file.write(&object(3 * MIB, 1)).expect("room");
    let error = file.read(ticket, &mut vec![0; 3 * MIB]).expect_err("SP-4");
    let SpillError::Corrupt {
        expected, found, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_ne!(expected, found);
}

macro_rules! spill_suite {
    ($name:ident, $make:expr, [$($test:ident),* $(,)?]) => {
        mod $name {
            use super::*;
            $(
                #[test]
                fn $test() {
                    if let Some(io) = $make {
                        super::$test(&io);
                    }
                }
            )*
        }
    };
    ($name:ident, $make:expr) => {
        spill_suite!($name, $make, [
            objects_come_back_as_they_were,
            a_discarded_object_is_gone_and_its_room_is_the_disks,
            small_objects_give_their_room_back_together,
            many_rounds_leave_no_more_on_the_disk_than_is_held,
            a_full_disk_is_told_with_figures_and_leaves_nothing,
            a_bit_that_flips_is_found,
            a_store_of_8_mib_holds_40_and_its_file_is_empty_afterwards,
            a_store_names_the_full_disk_and_loses_nothing,
        ]);
    };
}

spill_suite!(plain, Some(Arc::new(PlainFileIo) as Arc<dyn FileIo>));
spill_suite!(uring, ring_or_reason());
// Without a ring it does what plain calls do, so it has to pass everywhere.
spill_suite!(
    uring_or_not,
    Some(Arc::new(UringFileIo::new()) as Arc<dyn FileIo>)
);

fn ring_or_reason() -> Option<Arc<dyn FileIo>> {
    match availability() {
        Ok(()) => Some(Arc::new(UringFileIo::new())),
        Err(refusal) => {
            println!("skipped: {refusal}");
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_held_reads_as_written(steps in prop::collection::vec((0..30_000_usize, any::<prop::sample::Index>()), 1..60)) {
        let io: Arc<dyn FileIo> = Arc::new(UringFileIo::new());
        let (_folder, file) = spill_file(&io);
        let mut held: Vec<(_, Vec<u8>)> = Vec::new();
        for (step, (bytes, which)) in steps.into_iter().enumerate() {
            if bytes % 3 == 0 && !held.is_empty() {
                let (ticket, _) = held.swap_remove(which.index(held.len()));
                file.discard(ticket).expect("an object");
            } else {
                let written = object(bytes, step as u8);
                held.push((file.write(&written).expect("room"), written));
            }
            for (ticket, written) in &held {
                let mut read = vec![0; written.len()];
                file.read(*ticket, &mut read).expect("read");
                prop_assert!(read == *written);
            }
        }
    }
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let directory = Path::new("/nowhere/at/all");
    let error = SpillFile::create(directory, Arc::new(PlainFileIo)).expect_err("no directory");
    let text = error.to_string();
    assert!(
        text.contains("/nowhere/at/all") && text.contains("`spill_directory`"),
        "{text}"
    );
}

/// Runs all the other tests of this program where io_uring is answered with `errno`.
fn all_pass_without_io_uring(errno: i32) {
    if std::env::var_os("CONFORMANCE_WITHOUT_IO_URING").is_some() || part().is_some() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--nocapture", "--test-threads=2"])
        .env("CONFORMANCE_WITHOUT_IO_URING", "1");
    let output = without_io_uring(errno, &mut command)
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let skipped = text
        .matches("skipped: io_uring is refused by a seccomp filter")
        .count();
    assert_eq!(skipped, 8, "{text}");
    assert!(text.contains("0 failed"), "{text}");
}

#[test]
fn all_pass_where_io_uring_is_not_permitted() {
    all_pass_without_io_uring(libc::EPERM);
}

#[test]
fn all_pass_where_io_uring_is_not_there() {
    all_pass_without_io_uring(libc::ENOSYS);
}
