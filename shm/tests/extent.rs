//! Extents: one writer, readers who cannot be hurt, and memory that all goes back.
#![cfg(not(any(loom, miri)))]
#![allow(unsafe_code, reason = "reads and writes mapped memory")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use maser_shm::os::memory;
use maser_shm::os::shared_memory::{self, DESCRIPTORS_MAX, PageKind, View};
use maser_shm::store::extent::{BYTES_MAX, Extent, ExtentError, ForeignExtent};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

const BYTES: usize = 1 << 20;

fn write(extent: &Extent, at: usize, value: u8) {
    assert!(at < extent.bytes());
    // SAFETY: inside; this thread alone uses the extent.
    unsafe { extent.start().as_ptr().add(at).write(value) };
}

fn read(extent: &ForeignExtent, at: usize) -> u8 {
    assert!(at < extent.bytes());
    // SAFETY: inside, and written before by this very thread.
    unsafe { extent.start().as_ptr().add(at).read_volatile() }
}

fn attach(file: BorrowedFd<'_>, claimed: u64) -> Result<ForeignExtent, ExtentError> {
    ForeignExtent::attach(file, claimed, "worker 7")
}

/// Sends a descriptor to itself, as another process would get it.
fn pass(file: BorrowedFd<'_>) -> std::os::fd::OwnedFd {
    let (here, there) = UnixStream::pair().unwrap();
    assert_eq!(shared_memory::send(&here, b"x", &[file]).unwrap(), 1);
    let mut bytes = [0; 8];
    let (count, mut files) = shared_memory::receive(&there, &mut bytes).unwrap();
    assert_eq!((count, files.len()), (1, 1));
    files.pop().unwrap()
}

#[test]
fn readers_see_what_the_owner_writes_from_first_to_last_byte() {
    let extent = Extent::create(BYTES, PageKind::Plain).unwrap();
    write(&extent, 0, 1);
    let reader = attach(pass(extent.file()).as_fd(), BYTES as u64).unwrap();
    write(&extent, BYTES - 1, 2);
    assert_eq!((read(&reader, 0), read(&reader, BYTES - 1)), (1, 2));
}

#[test]
fn a_reader_keeps_the_memory_of_an_owner_that_is_gone() {
    let extent = Extent::create(BYTES, PageKind::Plain).unwrap();
    write(&extent, 5, 9);
    let reader = attach(extent.file(), BYTES as u64).unwrap();
    drop(extent);
    assert_eq!(read(&reader, 5), 9);
}

#[test]
fn whoever_holds_the_descriptor_can_neither_write_nor_shrink_nor_punch() {
    let extent = Extent::create(BYTES, PageKind::Plain).unwrap();
    write(&extent, 0, 7);
    let stolen = pass(extent.file());
    let reopened = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/self/fd/{}", stolen.as_raw_fd()))
        .unwrap();
    for file in [stolen.as_fd(), reopened.as_fd()] {
        let refused = [
            rustix::fs::ftruncate(file, 0),
            rustix::fs::ftruncate(file, 2 * BYTES as u64),
            rustix::io::pwrite(file, b"x", 0).map(drop),
            rustix::fs::fallocate(
                file,
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                0,
                4096,
            ),
            rustix::fs::fcntl_add_seals(file, rustix::fs::SealFlags::WRITE),
        ];
        assert_eq!(refused, [Err(Errno::PERM); 5]);
        let mapped = View::map(file, BYTES, true).map(drop);
        assert_eq!(mapped.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
    let reader = attach(stolen.as_fd(), BYTES as u64).unwrap();
    assert_eq!(read(&reader, 0), 7);
}

#[test]
fn what_is_not_sealed_or_has_another_size_is_not_mapped() {
    let bare = shared_memory::create("bare", PageKind::Plain, BYTES).unwrap();
    let error = attach(bare.as_fd(), BYTES as u64).unwrap_err();
    assert!(matches!(error, ExtentError::NotSealed { .. }), "{error}");
    let no_memory = OpenOptions::new().read(true).open("/dev/null").unwrap();
    let error = attach(no_memory.as_fd(), BYTES as u64).unwrap_err();
    assert!(matches!(error, ExtentError::NotSealed { .. }), "{error}");
    let extent = Extent::create(BYTES, PageKind::Plain).unwrap();
    for claimed in [1, BYTES as u64 + 1, BYTES_MAX as u64] {
        let error = attach(extent.file(), claimed).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("worker 7") && text.contains(&claimed.to_string()),
            "{text}"
        );
    }
    for claimed in [0, u64::MAX] {
        let error = attach(extent.file(), claimed).unwrap_err();
        assert!(matches!(error, ExtentError::Size { .. }), "{error}");
    }
}

#[test]
fn sizes_that_cannot_be_are_errors_with_the_figures() {
    for bytes in [0, usize::MAX, BYTES_MAX + 1] {
        let error = Extent::create(bytes, PageKind::Plain).unwrap_err();
        assert!(matches!(error, ExtentError::Size { .. }), "{error}");
    }
    let error = Extent::create(BYTES_MAX, PageKind::Plain).unwrap_err();
    let ExtentError::MemoryShort { asked, available } = error else {
        panic!("{error}");
    };
    assert!(asked == BYTES_MAX && available > 0 && available < BYTES_MAX as u64);
}

/// The machine's pool, if this process may use it.
fn allowed_pool(kind: PageKind) -> Option<memory::HugePool> {
    shared_memory::create("probe", kind, kind.bytes()).ok()?;
    memory::huge_pool(kind)
}

#[test]
fn huge_pages_are_taken_whole_and_all_come_back() {
    let kind = PageKind::Huge2MiB;
    let Some(pool) = allowed_pool(kind).filter(|pool| pool.available() >= 2) else {
        println!("skipped: fewer than 2 huge pages of 2 MiB may be used");
        let error = Extent::create(1 << 40, kind).unwrap_err();
        assert!(error.to_string().contains("huge pages"), "{error}");
        return;
    };
    let extent = Extent::create(kind.bytes() + 1, kind).unwrap();
    assert_eq!(extent.bytes(), 2 * kind.bytes());
    extent.populate(0, extent.bytes()).unwrap();
    write(&extent, extent.bytes() - 1, 3);
    let reader = attach(extent.file(), extent.bytes() as u64).unwrap();
    assert_eq!(read(&reader, extent.bytes() - 1), 3);
    assert!(memory::huge_pool(kind).unwrap().available() + 2 <= pool.total);
}

#[test]
fn more_huge_pages_than_there_are_is_an_error_that_says_how_many_there_would_have_to_be() {
    let kind = PageKind::Huge2MiB;
    let Some(pool) = allowed_pool(kind) else {
        println!("skipped: huge pages of 2 MiB may not be used");
        return;
    };
    let pages = pool.total + 1;
    let error = Extent::create(pages as usize * kind.bytes(), kind).unwrap_err();
    let ExtentError::HugePagesShort {
        asked, free, total, ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(asked == pages && free < asked && total >= asked);
}

#[test]
fn a_populated_extent_is_written_without_a_page_fault() {
    let extent = Extent::create(BYTES, PageKind::Plain).unwrap();
    extent.populate(0, BYTES).unwrap();
    let before = faults();
    for at in (0..BYTES).step_by(4096) {
        write(&extent, at, 1);
    }
    assert_eq!(faults(), before);
    assert!(extent.populate(BYTES, 1).is_err());
    assert!(extent.populate(usize::MAX, 2).is_err());
}

/// Page faults of this thread so far.
fn faults() -> i64 {
    // SAFETY: the kernel fills the structure.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage.ru_minflt + usage.ru_majflt
    }
}

#[test]
fn as_many_descriptors_travel_as_a_message_holds_and_no_more() {
    let (here, there) = UnixStream::pair().unwrap();
    let extent = Extent::create(1, PageKind::Plain).unwrap();
    let files = vec![extent.file(); DESCRIPTORS_MAX + 1];
    assert!(shared_memory::send(&here, b"x", &files).is_err());
    assert!(shared_memory::send(&here, b"", &files[..1]).is_err());
    shared_memory::send(&here, b"abc", &files[1..]).unwrap();
    let mut bytes = [0; 8];
    let (count, got) = shared_memory::receive(&there, &mut bytes).unwrap();
    assert_eq!((&bytes[..count], got.len()), (&b"abc"[..], DESCRIPTORS_MAX));
    for file in &got {
        let flags = rustix::io::fcntl_getfd(file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
    drop(here);
    let (count, got) = shared_memory::receive(&there, &mut bytes).unwrap();
    assert_eq!((count, got.len()), (0, 0));
}

#[test]
fn nothing_is_left_behind() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for _ in 0..100 {
        let extent = Extent::create(BYTES, PageKind::Plain).unwrap();
        let reader = attach(pass(extent.file()).as_fd(), BYTES as u64).unwrap();
        drop((extent, reader));
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(open() <= before + 8, "descriptors of 100 rounds are open");
    assert!(maps.matches("maser-extent").count() <= 8);
}
