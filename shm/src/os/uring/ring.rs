//! The ring: push, submit, take completions, cancel.
//!
//! - UR-6 a slot is taken from the push of an operation to its completion, and its number is the
//!   entry's user data, with a generation that tells a late cancellation from the slot's next use.
//! - UR-7 entries of the submission queue are taken by the kernel in order and only inside of
//!   `io_uring_enter`; so once that is refused for good, what is still queued is ours again.
//! - UR-8 an operation may complete several times, and holds its slot until the last. What a completion
//!   brings belongs to whoever takes it, and is given back with it.
#![allow(unsafe_code, reason = "pushes entries that point at memory")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, types};

use super::refusal::{Refusal, availability, explain};
use super::waker::{RingWaker, WAKE};
use super::{Completion, Operation};

/// User data of cancellations, whose own completions nobody waits for.
const CANCELLATION: u64 = u64::MAX;

/// Names an operation that was pushed, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationId(u64);

struct Slot {
    generation: u32,
    held: Option<(u64, Operation)>,
}

/// A submission queue and a completion queue shared with the kernel.
///
/// Belongs to one thread at a time; it may move between threads, but the kernel cancels what a thread
/// has submitted when that thread ends.
pub struct Ring {
    ring: IoUring,
    /// As many as were needed so far, `depth` at most.
    slots: Vec<Slot>,
    free: Vec<u32>,
    depth: usize,
    /// User data of what is pushed and not yet taken by the kernel, in order.
    queued: VecDeque<u64>,
    /// Operations that the kernel has taken and not yet completed.
    taken: usize,
    /// Cancellations that are queued or taken.
    cancellations: usize,
    finished: VecDeque<Completion>,
    /// Why `io_uring_enter` is refused for good.
    broken: Option<i32>,
}

impl Ring {
    /// Makes a ring for up to `depth` operations at a time, rounded up to a power of two.
    ///
    /// # Errors
    /// Why there is none; callers go on with plain system calls.
    pub fn new(depth: u32) -> Result<Self, Refusal> {
        let ring = IoUring::new(depth).map_err(|error| explain(Path::new("/"), depth, error))?;
        let depth = ring.params().sq_entries() as usize;
        Ok(Self::with(ring, depth))
    }

    /// Makes a ring for operations that are under way for long, `depth` of them at most, of which
    /// `queued` are handed over at a time. What the kernel has to do for them it does when this thread
    /// makes any system call, rather than by an interrupt.
    ///
    /// # Errors
    /// Why there is none; [`waiting_available`](super::waiting_available) says it better.
    pub fn for_waiting(queued: u32, depth: usize) -> Result<Self, Refusal> {
        let completions = u32::try_from(depth).unwrap_or(u32::MAX);
        let ring: io::Result<IoUring> = IoUring::builder()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(completions.clamp(queued * 2, queued.max(1024) * 2))
            .build(queued);
        let ring = ring.map_err(|error| explain(Path::new("/"), queued, error))?;
        Ok(Self::with(ring, depth))
    }

    fn with(ring: IoUring, depth: usize) -> Self {
        Self {
            ring,
            slots: Vec::new(),
            free: Vec::new(),
            depth,
            queued: VecDeque::new(),
            taken: 0,
            cancellations: 0,
            finished: VecDeque::new(),
            broken: None,
        }
    }

    /// Whether rings can be had at all; see [`availability`].
    ///
    /// # Errors
    /// Why not.
    pub fn available() -> Result<(), &'static Refusal> {
        availability()
    }

    /// Operations that can be under way at a time.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Operations whose completion was not taken yet.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.slots.len() - self.free.len() + self.finished.len()
    }

    /// Queues an operation; the kernel sees it at the next [`Self::submit`] or [`Self::wait`].
    ///
    /// # Errors
    /// Gives the operation back when `depth` of them are under way (UR-4): take completions first.
    pub fn try_push(&mut self, tag: u64, operation: Operation) -> Result<OperationId, Operation> {
        if self.under_way() >= self.depth() {
            return Err(operation);
        }
        self.push(tag, operation)
    }

    /// As [`Self::try_push`], not counting completions that lie here.
    pub(super) fn push(
        &mut self,
        tag: u64,
        operation: Operation,
    ) -> Result<OperationId, Operation> {
        if self.free.is_empty() && self.slots.len() < self.depth {
            self.free.push(self.slots.len() as u32);
            self.slots.push(Slot {
                generation: 0,
                held: None,
            });
        }
        let Some(index) = self.free.pop() else {
            return Err(operation);
        };
        let slot = &mut self.slots[index as usize];
        let id = u64::from(slot.generation) << 32 | u64::from(index);
        let entry = operation.entry().user_data(id);
        slot.held = Some((tag, operation));
        self.queue(&entry, id);
        Ok(OperationId(id))
    }

    fn queue(&mut self, entry: &io_uring::squeue::Entry, id: u64) {
        if self.ring.submission().is_full() {
            self.enter(0);
        }
        // SAFETY: UR-1 or UR-3: what the entry points at is held by its slot, or lent for the
        // length of the batch, until its completion.
        let pushed = unsafe { self.ring.submission().push(entry) };
        // A full queue after an enter: the kernel is out of resources, or refuses us for good.
        if pushed.is_ok() {
            self.queued.push_back(id);
        } else if id != CANCELLATION {
            self.fail(id, libc::EAGAIN);
        } else {
            self.cancellations -= 1;
        }
    }

    /// Hands what is queued to the kernel. Does not wait.
    ///
    /// # Errors
    /// The kernel refuses it for good; queued operations come back as failed completions.
    pub fn submit(&mut self) -> io::Result<()> {
        self.enter(0);
        self.refusal()
    }

    /// A completion, if one is there. Enters the kernel only if something is queued, or it asks for it.
    pub fn try_complete(&mut self) -> Option<Completion> {
        if !self.queued.is_empty() || self.is_asked() {
            self.enter(0);
        }
        self.finished.pop_front().or_else(|| self.reap())
    }

    /// Submits what is queued and waits for a completion; `None` if nothing is under way.
    ///
    /// # Errors
    /// The kernel refuses to wait; what it has taken is still under way.
    pub fn wait(&mut self) -> io::Result<Option<Completion>> {
        loop {
            if let Some(completion) = self.try_complete() {
                return Ok(Some(completion));
            }
            if self.under_way() == 0 {
                return Ok(None);
            }
            self.refusal()?;
            self.enter(1);
        }
    }

    /// Submits what is queued and sleeps until there is a completion, a [`RingWaker`] is used, or the
    /// limit is over. Comes back early when interrupted.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn sleep(&mut self, limit: Option<Duration>) -> io::Result<()> {
        if !self.finished.is_empty() {
            return Ok(());
        }
        let limit = limit.map(|limit| {
            types::Timespec::new()
                .sec(limit.as_secs())
                .nsec(limit.subsec_nanos())
        });
        self.enter_for(1, limit.as_ref());
        self.refusal()
    }

    /// What ends a [`sleep`](Self::sleep) from any thread.
    ///
    /// # Errors
    /// The kernel cannot do it, or there is no descriptor for it.
    pub fn waker(&self) -> io::Result<RingWaker> {
        RingWaker::new(self.as_fd().try_clone_to_owned()?)
    }

    /// Whether the kernel has something to do for us, or completions that found no room.
    fn is_asked(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Asks the kernel to give an operation up. It completes in any case: with `ECANCELED`, or with
    /// its result if it could not be stopped.
    pub fn cancel(&mut self, id: OperationId) {
        self.cancel_later(id);
        self.enter(0);
    }

    /// As [`cancel`](Self::cancel); the kernel is asked with what is handed over next.
    pub fn cancel_later(&mut self, id: OperationId) {
        if self.holds(id.0).is_none() || self.cancellations >= self.depth() {
            return;
        }
        let entry = opcode::AsyncCancel::new(id.0).build();
        self.cancellations += 1;
        self.queue(&entry.user_data(CANCELLATION), CANCELLATION);
    }

    /// Whether the kernel still serves this ring.
    ///
    /// # Errors
    /// What it says since it does not; the ring will do nothing any more.
    pub fn refusal(&self) -> io::Result<()> {
        match self.broken {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }

    /// Submits, and waits for `want` completions. Comes back early when interrupted.
    pub(super) fn enter(&mut self, want: usize) {
        self.enter_for(want, None);
    }

    /// As `enter`, for a limited time.
    fn enter_for(&mut self, want: usize, limit: Option<&types::Timespec>) {
        if self.broken.is_none() {
            let entered = match limit {
                None => self.ring.submit_and_wait(want),
                Some(limit) => {
                    let arguments = types::SubmitArgs::new().timespec(limit);
                    self.ring.submitter().submit_with_args(want, &arguments)
                }
            };
            match entered {
                Ok(_) => {}
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR | libc::ETIME) => {}
                    // Short of memory, or completions are to be taken first: try again.
                    Some(libc::EAGAIN | libc::EBUSY) => crate::os::sched_yield(),
                    errno => self.broken = Some(errno.unwrap_or(libc::EIO)),
                },
            }
            let left = self.ring.submission().len();
            while self.queued.len() > left {
                if self.queued.pop_front() != Some(CANCELLATION) {
                    self.taken += 1;
                }
            }
        }
        if let Some(errno) = self.broken {
            // UR-7: the kernel will never look at these.
            while let Some(id) = self.queued.pop_front() {
                if id != CANCELLATION {
                    self.fail(id, errno);
                }
            }
            // The kernel still completes what it has taken, on our way back from any call.
            if want > 0 {
                crate::os::sched_yield();
            }
        }
    }

    /// Takes the next completion off the queue.
    pub(super) fn reap(&mut self) -> Option<Completion> {
        loop {
            let entry = self.ring.completion().next()?;
            match entry.user_data() {
                CANCELLATION => {
                    self.cancellations = self.cancellations.saturating_sub(1);
                    continue;
                }
                // UR-9: it has ended a sleep, if there was one.
                WAKE => continue,
                _ => {}
            }
            let result = match usize::try_from(entry.result()) {
                Ok(number) => Ok(number),
                Err(_negative) => Err(io::Error::from_raw_os_error(-entry.result())),
            };
            let is_last = !cqueue::more(entry.flags());
            if let Some(completion) = self.settle(entry.user_data(), result, is_last) {
                self.taken -= usize::from(is_last);
                return Some(completion);
            }
        }
    }

    /// A completion that another part of this module had to take out of turn.
    pub(super) fn keep(&mut self, completion: Completion) {
        self.finished.push_back(completion);
    }

    /// A completion that lies here, if it is a batch's.
    pub(super) fn finished_piece(&mut self) -> Option<Completion> {
        let is_piece =
            |completion: &Completion| matches!(completion.operation, Operation::Piece(_));
        let at = self.finished.iter().position(is_piece)?;
        self.finished.remove(at)
    }

    fn fail(&mut self, id: u64, errno: i32) {
        let error = io::Error::from_raw_os_error(errno);
        if let Some(completion) = self.settle(id, Err(error), true) {
            self.finished.push_back(completion);
        }
    }

    /// Frees the slot of an operation that has ended.
    fn settle(&mut self, id: u64, result: io::Result<usize>, is_last: bool) -> Option<Completion> {
        let index = self.holds(id)?;
        let slot = &mut self.slots[index];
        let (tag, held) = slot.held.as_mut()?;
        let result = result.map(|number| held.outcome(number));
        let socket = held.accepted(&result);
        held.finish(&result);
        let tag = *tag;
        let mut operation = Operation::UnderWay;
        if is_last {
            (_, operation) = slot.held.take()?;
            slot.generation = slot.generation.wrapping_add(1) & (u32::MAX >> 1);
            self.free.push(index as u32);
        }
        Some(Completion {
            id: OperationId(id),
            tag,
            result,
            is_last,
            socket,
            operation,
        })
    }

    /// The slot of an operation that is under way (UR-6).
    fn holds(&self, id: u64) -> Option<usize> {
        let index = (id & u64::from(u32::MAX)) as usize;
        let slot = self.slots.get(index)?;
        let is_current = u64::from(slot.generation) == id >> 32 && slot.held.is_some();
        is_current.then_some(index)
    }
}

/// Readable while there are completions.
impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring is open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

impl Drop for Ring {
    /// UR-2: cancels and waits, or leaks.
    fn drop(&mut self) {
        self.enter(0);
        let ids: Vec<u64> = (0..self.slots.len())
            .filter(|&at| self.slots[at].held.is_some())
            .map(|at| u64::from(self.slots[at].generation) << 32 | at as u64)
            .collect();
        for id in ids {
            self.cancel_later(OperationId(id));
        }
        self.enter(0);
        while self.taken > 0 && self.broken.is_none() {
            if self.reap().is_none() {
                self.enter(1);
            }
        }
        while self.taken > 0 && self.reap().is_some() {}
        if self.taken > 0 {
            for slot in &mut self.slots {
                std::mem::forget(slot.held.take());
            }
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring({} of {})", self.under_way(), self.depth())
    }
}
