//! The pool of small blocks: who owns what, and what comes back.
#![cfg(not(loom))]
#![allow(unsafe_code, reason = "takes and returns raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use maser_shm::arena::pool::{self, SizeClass};

/// The counts are of the process: tests that compare them run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const MANY: usize = if cfg!(miri) { 300 } else { 5_000 };

/// A block that may go to another thread.
struct Block(NonNull<u8>, SizeClass);

// SAFETY: PL-1, any thread may return it.
unsafe impl Send for Block {}

impl Block {
    fn take(class: SizeClass) -> Self {
        Self(pool::alloc(class), class)
    }

    /// Writes all of the block.
    fn fill(&self, byte: u8) {
        // SAFETY: PL-1, ours.
        unsafe { self.0.write_bytes(byte, self.1.bytes()) };
    }

    fn assert_filled(&self, byte: u8) {
        // SAFETY: PL-1, ours, and `fill` has written it.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.as_ptr(), self.1.bytes()) };
        assert!(bytes.iter().all(|&found| found == byte), "PL-1");
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: PL-1, taken with this class.
        unsafe { pool::free(self.0, self.1) };
    }
}

#[test]
fn blocks_are_apart_aligned_and_keep_what_is_written() {
    let _alone = alone();
    for class in SizeClass::ALL {
        let blocks: Vec<Block> = (0..MANY / 10).map(|_| Block::take(class)).collect();
        for (index, block) in blocks.iter().enumerate() {
            assert_eq!(block.0.as_ptr() as usize % class.bytes(), 0, "PL-5");
            block.fill(index as u8);
        }
        for (index, block) in blocks.iter().enumerate() {
            block.assert_filled(index as u8);
        }
    }
}

#[test]
fn live_blocks_are_those_taken_and_not_returned() {
    let _alone = alone();
    let before = pool::stats();
    for (index, class) in SizeClass::ALL.into_iter().enumerate() {
        let blocks: Vec<Block> = (0..1000).map(|_| Block::take(class)).collect();
        assert_eq!(
            pool::stats().live_blocks[index],
            before.live_blocks[index] + 1000
        );
        drop(blocks);
    }
    assert_eq!(pool::stats().live_blocks, before.live_blocks);
    assert_eq!(
        pool::stats().live_blocks_total(),
        before.live_blocks_total()
    );
}

#[test]
#[cfg_attr(miri, ignore = "miri gives every block a new address")]
fn returned_blocks_are_used_again_before_more_is_mapped() {
    let _alone = alone();
    let take = || {
        (0..MANY)
            .map(|_| Block::take(SizeClass::B128))
            .collect::<Vec<_>>()
    };
    drop(take());
    let before = pool::stats();
    for _ in 0..5 {
        drop(take());
    }
    assert_eq!(pool::stats(), before);
}

#[test]
#[cfg_attr(miri, ignore = "reads a returned block")]
fn a_returned_block_stays_readable_and_unwritten() {
    let _alone = alone();
    let block = pool::alloc(SizeClass::B256);
    // SAFETY: PL-1, ours.
    unsafe { block.write_bytes(0xA5, 256) };
    // SAFETY: PL-1, taken with this class.
    unsafe { pool::free(block, SizeClass::B256) };
    // SAFETY: PL-3; this thread alone takes blocks now, and takes none.
    let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), 256) };
    assert!(bytes.iter().all(|&byte| byte == 0xA5), "PL-4");
}

#[test]
fn blocks_taken_here_and_returned_there_are_not_lost() {
    let _alone = alone();
    let before = pool::stats();
    let (to_consumer, blocks) = mpsc::channel::<Block>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (index, block) in blocks.into_iter().enumerate() {
                block.assert_filled(index as u8);
            }
        });
        for index in 0..MANY {
            let block = Block::take(SizeClass::B64);
            block.fill(index as u8);
            to_consumer.send(block).unwrap();
        }
        drop(to_consumer);
    });
    assert_eq!(pool::stats().live_blocks, before.live_blocks);
}

#[test]
fn a_thread_that_ends_leaves_its_free_blocks_to_others() {
    let _alone = alone();
    let take_in_a_thread = || {
        let thread = std::thread::spawn(|| {
            let blocks: Vec<Block> = (0..MANY).map(|_| Block::take(SizeClass::B512)).collect();
            blocks.len()
        });
        thread.join().unwrap()
    };
    take_in_a_thread();
    let before = pool::stats();
    for _ in 0..20 {
        assert_eq!(take_in_a_thread(), MANY);
    }
    assert_eq!(pool::stats(), before, "PL-2");
}

/// Takes and returns blocks when the thread's other destructors have perhaps run.
struct Late;

impl Drop for Late {
    fn drop(&mut self) {
        let blocks: Vec<Block> = SizeClass::ALL
            .iter()
            .flat_map(|&c| (0..300).map(move |_| Block::take(c)))
            .collect();
        blocks.iter().for_each(|block| block.fill(1));
    }
}

#[test]
fn destructors_of_thread_locals_may_take_and_return_blocks() {
    thread_local!(static EARLIER: Late = const { Late });
    thread_local!(static LATER: Late = const { Late });
    let _alone = alone();
    let before = pool::stats();
    let thread = std::thread::spawn(|| {
        EARLIER.with(|_| ());
        drop(Block::take(SizeClass::B64));
        LATER.with(|_| ());
    });
    thread.join().unwrap();
    assert_eq!(pool::stats().live_blocks, before.live_blocks, "PL-2");
}

#[test]
fn layouts_get_the_smallest_class_that_fits_or_the_global_allocator() {
    let _alone = alone();
    let class = |size, align| SizeClass::of(Layout::from_size_align(size, align).unwrap());
    assert_eq!(class(1, 1), Some(SizeClass::B64));
    assert_eq!(class(64, 64), Some(SizeClass::B64));
    assert_eq!(class(65, 8), Some(SizeClass::B128));
    assert_eq!(class(8, 256), Some(SizeClass::B256));
    assert_eq!(class(1024, 1), Some(SizeClass::B1024));
    assert_eq!(class(1025, 1), None);
    assert_eq!(class(8, 2048), None);
    let before = pool::stats();
    for (size, align) in [(1, 1), (100, 8), (1000, 512), (5000, 64), (100, 4096)] {
        let layout = Layout::from_size_align(size, align).unwrap();
        let memory = pool::alloc_layout(layout);
        assert_eq!(memory.as_ptr() as usize % align, 0);
        // SAFETY: just taken, and of that size.
        unsafe { memory.write_bytes(3, size) };
        // SAFETY: taken with this layout.
        unsafe { pool::free_layout(memory, layout) };
    }
    assert_eq!(pool::stats().live_blocks, before.live_blocks);
}
