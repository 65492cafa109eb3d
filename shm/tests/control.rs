//! Control memory: what is zero, what cannot be taken away, and what is refused.
#![cfg(not(any(loom, miri)))]
#![allow(unsafe_code, reason = "writes mapped memory")]

use std::os::fd::{AsFd, OwnedFd};

use maser_shm::control::{BYTES_MAX, Carver, ControlError, ControlMemory, REGION_ALIGN, Region};
use maser_shm::os::shared_memory::{self, PageKind};
use rustix::io::Errno;

const BYTES: usize = 1 << 16;

fn copy_of(memory: &ControlMemory) -> OwnedFd {
    memory.file().try_clone_to_owned().unwrap()
}

fn attach(file: OwnedFd, claimed: u64) -> Result<ControlMemory, ControlError> {
    ControlMemory::attach(file, claimed, "worker 7")
}

fn byte(region: &Region, at: usize) -> *mut u8 {
    assert!(at < region.bytes());
    region.start().as_ptr().wrapping_add(at)
}

#[test]
fn both_sides_see_what_either_writes_and_fresh_memory_is_zero() {
    let here = ControlMemory::create(BYTES).unwrap();
    let there = attach(copy_of(&here), BYTES as u64).unwrap();
    let (ours, theirs) = (here.whole(), there.whole());
    for at in 0..BYTES {
        // SAFETY: inside; this thread alone uses the memory.
        assert_eq!(unsafe { byte(&ours, at).read_volatile() }, 0);
    }
    // SAFETY: inside; this thread alone uses the memory.
    unsafe {
        byte(&ours, 0).write_volatile(1);
        byte(&theirs, BYTES - 1).write_volatile(2);
        assert_eq!(byte(&theirs, 0).read_volatile(), 1);
        assert_eq!(byte(&ours, BYTES - 1).read_volatile(), 2);
    }
}

#[test]
fn whoever_holds_the_descriptor_cannot_change_its_size_or_its_seals() {
    let memory = ControlMemory::create(BYTES).unwrap();
    let stolen = copy_of(&memory);
    let refused = [
        rustix::fs::ftruncate(&stolen, 0),
        rustix::fs::ftruncate(&stolen, 2 * BYTES as u64),
        rustix::fs::fcntl_add_seals(&stolen, rustix::fs::SealFlags::FUTURE_WRITE),
    ];
    assert_eq!(refused, [Err(Errno::PERM); 3]);
}

#[test]
fn what_is_not_sealed_or_has_another_size_is_not_mapped() {
    let bare = shared_memory::create("bare", PageKind::Plain, BYTES).unwrap();
    let error = attach(bare, BYTES as u64).unwrap_err();
    assert!(matches!(error, ControlError::NotSealed { .. }), "{error}");
    let memory = ControlMemory::create(BYTES).unwrap();
    for claimed in [1, BYTES as u64 + 1, BYTES_MAX as u64] {
        let text = attach(copy_of(&memory), claimed).unwrap_err().to_string();
        let figures = [&claimed.to_string(), "worker 7", "65536"];
        assert!(
            figures.iter().all(|figure| text.contains(*figure)),
            "{text}"
        );
    }
    for claimed in [0, u64::MAX] {
        let error = attach(copy_of(&memory), claimed).unwrap_err();
        assert!(matches!(error, ControlError::Size { .. }), "{error}");
    }
}

#[test]
fn memory_that_its_maker_did_not_take_is_taken_before_it_is_mapped() {
    let sparse = shared_memory::create("sparse", PageKind::Plain, BYTES).unwrap();
    shared_memory::seal_size(sparse.as_fd()).unwrap();
    let blocks = |file: &OwnedFd| rustix::fs::fstat(file).unwrap().st_blocks;
    assert_eq!(blocks(&sparse), 0);
    let memory = attach(sparse.try_clone().unwrap(), BYTES as u64).unwrap();
    assert!(blocks(&sparse) as usize * 512 >= memory.bytes());
}

#[test]
fn sizes_that_cannot_be_are_errors_with_the_figures() {
    for bytes in [0, usize::MAX, BYTES_MAX + 1] {
        let error = ControlMemory::create(bytes).unwrap_err();
        assert!(matches!(error, ControlError::Size { .. }), "{error}");
    }
    let error = ControlMemory::create(BYTES_MAX).unwrap_err();
    assert!(
        matches!(error, ControlError::MemoryShort { asked, available }
            if asked == BYTES_MAX && available > 0 && available < BYTES_MAX as u64),
        "{error}"
    );
}

#[test]
fn a_region_lies_inside_on_its_boundary_and_keeps_the_memory() {
    let memory = ControlMemory::create(BYTES).unwrap();
    for (offset, bytes) in [
        (0, 0),
        (0, BYTES + 1),
        (BYTES, 1),
        (1, 1),
        (usize::MAX, 1),
        (REGION_ALIGN, usize::MAX),
        (REGION_ALIGN / 2, 1),
    ] {
        let text = memory.region(offset, bytes).unwrap_err().to_string();
        assert!(text.contains(&BYTES.to_string()), "{text}");
    }
    let region = memory.region(REGION_ALIGN, 1024).unwrap();
    let part = region.part(2 * REGION_ALIGN, 256).unwrap();
    assert!(region.part(1024, 1).is_err() && region.part(1, 1).is_err());
    assert_eq!((part.offset(), part.bytes()), (3 * REGION_ALIGN, 256));
    assert!(
        part.start()
            .cast::<[u8; 128]>()
            .addr()
            .get()
            .is_multiple_of(REGION_ALIGN)
    );
    drop((memory, region));
    // SAFETY: inside, mapped by `part`; this thread alone uses it.
    unsafe {
        byte(&part, 255).write_volatile(7);
        assert_eq!(byte(&part, 255).read_volatile(), 7);
    }
}

#[test]
fn pieces_are_dealt_out_apart_and_as_long_as_there_are_any() {
    let sizes = [1, 128, 300];
    assert_eq!(Carver::bytes(&sizes), 128 + 128 + 384);
    assert_eq!(Carver::bytes(&[usize::MAX, 1]), usize::MAX);
    let memory = ControlMemory::create(BYTES).unwrap();
    let region = memory.region(256, Carver::bytes(&sizes)).unwrap();
    let mut carver = Carver::new(region);
    let pieces = sizes.map(|bytes| carver.take(bytes).unwrap());
    let at = pieces
        .each_ref()
        .map(|piece| (piece.offset(), piece.bytes()));
    assert_eq!(at, [(256, 1), (384, 128), (512, 300)]);
    assert!(carver.take(1).is_err() && carver.take(usize::MAX).is_err());
}

#[test]
fn a_wiped_region_is_fresh_and_what_lies_beside_it_stays() {
    let memory = ControlMemory::create(BYTES).unwrap();
    let region = memory.region(256, 1024).unwrap();
    let whole = memory.whole();
    for at in 0..BYTES {
        // SAFETY: inside; this thread alone uses the memory.
        unsafe { byte(&whole, at).write_volatile(9) };
    }
    region.wipe();
    for at in 0..BYTES {
        let wiped = (256..256 + 1024).contains(&at);
        // SAFETY: as above.
        assert_eq!(unsafe { byte(&whole, at).read_volatile() } == 0, wiped);
    }
}

#[test]
fn nothing_is_left_behind() {
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    for _ in 0..100 {
        let here = ControlMemory::create(BYTES).unwrap();
        let there = attach(copy_of(&here), BYTES as u64).unwrap();
        drop((here.whole(), there));
    }
    assert!(maps().matches("maser-control").count() <= 16);
}
