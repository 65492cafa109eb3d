//! One page that a process and its fork share: where the operation begins and where it ends.
#![allow(
    unsafe_code,
    reason = "maps a page, and takes a word of it for an atomic"
)]

use std::ptr::NonNull;

use maser_shm::sync::atomic::{AtomicU32, Ordering};
use rustix::mm::{MapFlags, ProtFlags};

use crate::row::{Outcome, broken};

const PAGE_BYTES: usize = 4096;

/// How far a victim has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It prepares.
    Before,
    /// It is inside of the operation.
    Inside,
    /// The operation has returned.
    After,
}

/// The page.
#[derive(Debug)]
pub struct Marks {
    page: NonNull<AtomicU32>,
}

impl Marks {
    /// A page of its own, shared with the forks of this process.
    pub fn new() -> Outcome<Self> {
        // SAFETY: no address is asked for, so no existing mapping is touched.
        let page = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                PAGE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
            )
        };
        let page = NonNull::new(page.map_err(broken)?.cast());
        let page = page.ok_or_else(|| broken("mmap gave no address"))?;
        Ok(Self { page })
    }

    fn word(&self) -> &AtomicU32 {
        // SAFETY: the page is mapped as long as the value lives, and used as this word alone.
        unsafe { self.page.as_ref() }
    }

    /// For the next victim.
    pub fn reset(&self) {
        self.word().store(0, Ordering::Release);
    }

    /// Called by the victim before the operation: stops until the tracer goes on.
    pub fn begin(&self) {
        self.word().store(1, Ordering::Release);
        stop();
    }

    /// Called by the victim after the operation: stops again.
    pub fn end(&self) {
        self.word().store(2, Ordering::Release);
        stop();
    }

    /// How far the victim is.
    pub fn stage(&self) -> Stage {
        match self.word().load(Ordering::Acquire) {
            0 => Stage::Before,
            1 => Stage::Inside,
            _ => Stage::After,
        }
    }
}

fn stop() {
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::STOP).expect("stops");
}

impl Drop for Marks {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and the borrow of the word ends with the value.
        let _unmapped = unsafe { rustix::mm::munmap(self.page.as_ptr().cast(), PAGE_BYTES) };
    }
}
