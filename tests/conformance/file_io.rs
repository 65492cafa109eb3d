//! What reading and writing files promises, for every implementation, with io_uring and without.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser_shm::os::file_io::plain::PlainFileIo;
use maser_shm::os::file_io::uring::UringFileIo;
use maser_shm::os::file_io::{FileIo, ReadPart, WritePart, recommended};
use maser_shm::os::uring::availability;
use maser_shm::os::uring::{Buffer, FileOperation, Operation, Ring};
use maser_tests::sandbox::{IO_URING, refuse_from_now_on, without_io_uring};
use maser_tests::{part, rerun};

const MIB: usize = 1 << 20;

/// Notices that came in this process.
static NOTICES: AtomicUsize = AtomicUsize::new(0);

/// A file that has no name any more.
fn file() -> OwnedFd {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let unique = format!("maser-file-io-{}-{count}", std::process::id());
    let path = std::env::temp_dir().join(unique);
    let options = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path);
    std::fs::remove_file(&path).expect("its name goes");
    options.expect("a file").into()
}

/// Bytes that differ from their neighbours, pages and chunks included.
fn pattern(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut words = Vec::with_capacity(bytes + 8);
    while words.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(seed | 1);
        words.extend_from_slice(&state.rotate_right(29).to_le_bytes());
    }
    words.truncate(bytes);
    words
}

fn every_size_comes_back_as_it_was_written(io: &dyn FileIo) {
    let file = file();
    let sizes = [0, 1, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, 20 * MIB + 7];
    for (at, bytes) in sizes.into_iter().enumerate() {
        let offset = [0, 1, 4096][at % 3];
        let written = pattern(bytes, at as u64);
        io.write_at(file.as_fd(), &written, offset)
            .expect("written");
        let mut read = vec![0; bytes];
        io.read_at(file.as_fd(), &mut read, offset).expect("read");
        assert!(read == written, "{bytes} bytes at {offset}");
    }
}

fn parts_lie_where_they_were_put(io: &dyn FileIo) {
    let file = file();
    let bytes = pattern(100 * 10_000, 3);
    let parts: Vec<WritePart<'_>> = bytes
        .chunks(10_000)
        .enumerate()
        .map(|(at, bytes)| WritePart {
            // Backwards, with holes between them, and beyond 4 GiB.
            offset: (5 << 30) - at as u64 * 20_000,
            bytes,
        })
        .collect();
    io.write_batch(file.as_fd(), &parts).expect("written");
    let mut read = vec![0; bytes.len()];
    let mut back: Vec<ReadPart<'_>> = read
        .chunks_mut(10_000)
        .zip(&parts)
        .map(|(bytes, part)| ReadPart {
            offset: part.offset,
            bytes,
        })
        .collect();
    io.read_batch(file.as_fd(), &mut back).expect("read");
    assert!(read == bytes);
    let mut hole = vec![1; 10_000];
    io.read_at(file.as_fd(), &mut hole, (5 << 30) - 10_000)
        .expect("read");
    assert!(hole.iter().all(|&byte| byte == 0));
}

fn reading_beyond_the_end_is_an_error(io: &dyn FileIo) {
    let file = file();
    io.write_at(file.as_fd(), &pattern(5 * MIB, 1), 0)
        .expect("written");
    let mut bytes = vec![0; 2 * MIB];
    for offset in [4 * MIB as u64, 5 * MIB as u64, 1 << 40] {
        let error = io.read_at(file.as_fd(), &mut bytes, offset);
        let error = error.expect_err("not as many bytes");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{offset}");
    }
    io.read_at(file.as_fd(), &mut bytes, 3 * MIB as u64)
        .expect("the last ones");
}

fn a_full_disk_and_a_wrong_mode_are_told_apart(io: &dyn FileIo) {
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("a device");
    let bytes = pattern(3 * MIB, 2);
    let error = io.write_at(full.as_fd(), &bytes, 0).expect_err("full");
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    let read_only = File::open("/dev/null").expect("a device");
    let error = io.write_at(read_only.as_fd(), &bytes, 0).expect_err("mode");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
}

fn after_an_error_the_next_call_works(io: &dyn FileIo) {
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("a device");
    for _ in 0..20 {
        let bytes = pattern(40_000, 2);
        io.write_at(full.as_fd(), &bytes, 0).expect_err("full");
        a_few_bytes_come_back(io);
    }
}

fn a_few_bytes_come_back(io: &dyn FileIo) {
    let (file, bytes) = (file(), pattern(70_000, 9));
    io.write_at(file.as_fd(), &bytes, 1).expect("written");
    let mut read = vec![0; bytes.len()];
    io.read_at(file.as_fd(), &mut read, 1).expect("read");
    assert!(read == bytes);
}

fn threads_share_it(io: &dyn FileIo) {
    let file = file();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let file = file.as_fd();
            scope.spawn(move || {
                let offset = thread * 3 * MIB as u64;
                for round in 0..2 {
                    let written = pattern(2 * MIB + 11, thread * 100 + round);
                    io.write_at(file, &written, offset).expect("written");
                    let mut read = vec![0; written.len()];
                    io.read_at(file, &mut read, offset).expect("read");
                    assert!(read == written, "thread {thread}, round {round}");
                }
            });
        }
    });
}

fn room_is_taken_and_given_back(io: &dyn FileIo) {
    let file = file();
    let blocks = || rustix::fs::fstat(&file).expect("a file").st_blocks;
    match io.allocate(file.as_fd(), 0, 4 * MIB as u64) {
        Ok(()) => assert!(blocks() >= 4 * 2048, "512-byte blocks of 4 MiB"),
        Err(error) => {
            println!("skipped: the temporary folder takes no room ahead: {error}");
            return;
        }
    }
    io.write_at(file.as_fd(), &pattern(4 * MIB, 4), 0)
        .expect("written");
    io.flush(file.as_fd()).expect("flushed");
    io.punch_hole(file.as_fd(), 0, 3 * MIB as u64)
        .expect("punched");
    assert!(blocks() < 2 * 2048, "given back");
    let mut bytes = vec![1; 3 * MIB];
    io.read_at(file.as_fd(), &mut bytes, 0).expect("read");
    assert!(bytes.iter().all(|&byte| byte == 0));
}

macro_rules! file_io_suite {
    ($name:ident, $make:expr, [$($test:ident),* $(,)?]) => {
        mod $name {
            use super::*;
            $(
                #[test]
                fn $test() {
                    if let Some(io) = $make {
                        super::$test(&*io);
                    }
                }
            )*
        }
    };
    ($name:ident, $make:expr) => {
        file_io_suite!($name, $make, [
            every_size_comes_back_as_it_was_written,
            parts_lie_where_they_were_put,
            reading_beyond_the_end_is_an_error,
            a_full_disk_and_a_wrong_mode_are_told_apart,
            after_an_error_the_next_call_works,
            threads_share_it,
            room_is_taken_and_given_back,
        ]);
    };
}

file_io_suite!(plain, Some(Arc::new(PlainFileIo) as Arc<dyn FileIo>));
file_io_suite!(uring, ring_or_reason());
// Without a ring it does what plain calls do (FO-5), so it has to pass everywhere.
file_io_suite!(uring_or_not, Some(Arc::new(UringFileIo::new())));
file_io_suite!(as_recommended, Some(recommended_and_counted()));

fn ring_or_reason() -> Option<Arc<dyn FileIo>> {
    match availability() {
        Ok(()) => Some(Arc::new(UringFileIo::new())),
        Err(refusal) => {
            println!("skipped: {refusal}");
            None
        }
    }
}

fn recommended_and_counted() -> Arc<dyn FileIo> {
    recommended(|refusal| {
        NOTICES.fetch_add(1, Ordering::Relaxed);
        println!("notice: {refusal}");
    })
}

#[test]
fn the_choice_follows_the_probe_and_is_told_once() {
    let names: Vec<&str> = (0..3).map(|_| recommended_and_counted().name()).collect();
    let (name, notices) = match availability() {
        Ok(()) => ("io_uring", 0),
        Err(_) => ("plain", 1),
    };
    assert_eq!(names, [name; 3]);
    assert_eq!(NOTICES.load(Ordering::Relaxed), notices, "FO-3");
}

/// Plays `body` in a process of its own, where rings can be had; the process lasts no longer.
#[track_caller]
fn in_a_process_of_its_own(test: &str, body: impl FnOnce()) {
    if part().is_some() {
        body();
        println!("played to the end");
    } else if let Err(refusal) = availability() {
        // Counted with those of the suite by who looks for them.
        println!("not run: {refusal}");
    } else {
        let output = rerun(test, "play");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains("played to the end"),
            "{text}{errors}"
        );
    }
}

#[test]
fn a_filter_that_comes_late_turns_rings_into_plain_calls() {
    let test = "a_filter_that_comes_late_turns_rings_into_plain_calls";
    in_a_process_of_its_own(test, || {
        let io = UringFileIo::new();
        every_size_comes_back_as_it_was_written(&io);
        assert!(
            format!("{io:?}").contains("1 idle"),
            "a ring was used: {io:?}"
        );
        refuse_from_now_on(&IO_URING, libc::EPERM).expect("a filter");
        every_size_comes_back_as_it_was_written(&io);
        a_full_disk_and_a_wrong_mode_are_told_apart(&io);
        assert!(format!("{io:?}").contains("0 idle"), "FO-5: {io:?}");
    });
}

#[test]
fn a_refused_ring_gives_back_what_is_queued_and_leaks_what_is_under_way() {
    let test = "a_refused_ring_gives_back_what_is_queued_and_leaks_what_is_under_way";
    in_a_process_of_its_own(test, || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let reader: Arc<OwnedFd> = Arc::new(reader.into());
        let file = Arc::new(file());
        let read = FileOperation::Read {
            file: reader.clone(),
            buffer: Buffer::new(16),
            offset: 0,
        };
        let write = FileOperation::Write {
            file: file.clone(),
            buffer: Buffer::copy_of(b"never"),
            offset: 0,
        };
        let mut ring = Ring::new(4).expect("a ring");
        ring.try_push(1, Operation::File(read)).expect("room");
        ring.submit().expect("no refusal yet");
        refuse_from_now_on(&IO_URING, libc::EPERM).expect("a filter");
        ring.try_push(2, Operation::File(write)).expect("room");
        assert!(ring.submit().is_err());
        let back = ring.try_complete().expect("UR-7");
        let error = back.result.expect_err("never seen by the kernel");
        assert_eq!((back.tag, error.raw_os_error()), (2, Some(libc::EPERM)));
        assert_eq!(&back.operation.into_buffer().expect("UR-1")[..], b"never");
        let error = ring.wait().expect_err("it cannot wait any more");
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        drop(ring);
        assert_eq!(
            Arc::strong_count(&reader),
            2,
            "UR-2: leaked, not freed under the kernel"
        );
        assert_eq!(Arc::strong_count(&file), 1);
        assert_eq!(rustix::fs::fstat(&*file).expect("a file").st_size, 0);
        drop(writer);
    });
}

/// Runs all the other tests of this program where io_uring is answered with `errno`.
fn all_pass_without_io_uring(errno: i32) {
    if std::env::var_os("CONFORMANCE_WITHOUT_IO_URING").is_some() {
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
    let count = |what: &str| text.matches(what).count();
    // Seven of the suite that cannot run, and one notice for all that ask for a recommendation.
    assert_eq!(
        count("skipped: io_uring is refused by a seccomp filter"),
        7,
        "{text}"
    );
    assert_eq!(
        count("notice: io_uring is refused by a seccomp filter"),
        1,
        "{text}"
    );
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
