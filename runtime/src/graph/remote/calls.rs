//! A graph whose one segment runs in another process and has one output: question and answer in turn
//! on one line.
//!
//! ```text
//! byte 0     call slots   as many as runs may be in flight
//! then       pool         bodies of questions
//! then       pool         bodies of answers
//! ```
//!
//! The driver's end is protected by the core's lock (DR-1): it is used by submitting and by taking
//! results. Edges count as two, the second being the answers'.
#![allow(
    unsafe_code,
    reason = "the driver's end is protected by the core's lock"
)]

use super::edge::{Origin, Taker, refused};
use super::objects::{Lender, Lent};
use super::packet::{Packed, Packet};
use super::pool::{PoolReader, PoolWriter, pool_bytes};
use super::ringer::Ringer;
use super::step::PackedSlot;
use crate::error::Result;
use crate::executor::sources::{Probes, never};
use crate::graph::observe::progress::Progress;
use crate::graph::segment::Head;
use maser_shm::channel::call_slot::{Callee, Caller, call_bytes, callee_in, caller_in};
use maser_shm::channel::{PeerFault, Probe, Shared};
use maser_shm::control::{REGION_ALIGN, Region};
use std::cell::{Cell, UnsafeCell};
use std::sync::Arc;

fn ring_bytes(depth: usize) -> Result<usize> {
    let bytes = call_bytes::<Packet, Packet>(depth).map_err(refused)?;
    Ok(bytes.next_multiple_of(REGION_ALIGN))
}

/// Bytes of such call slots with their pools, of which each holds `buffer_bytes` at first.
pub(crate) fn calls_bytes(depth: usize, buffer_bytes: usize) -> Result<usize> {
    Ok(ring_bytes(depth)? + 2 * pool_bytes(buffer_bytes))
}

/// The pools of questions and of answers: halves of the rest, at both ends.
pub(crate) fn pools(region: &Region, depth: usize) -> Result<[Region; 2]> {
    let at = ring_bytes(depth)?;
    let half = region.bytes().saturating_sub(at) / (2 * REGION_ALIGN) * REGION_ALIGN;
    let pool = |at: usize| region.part(at, half).map_err(refused);
    Ok([pool(at)?, pool(at + half)?])
}

/// The driver's end.
#[repr(align(128))]
pub(crate) struct Asking {
    ring: UnsafeCell<Caller<Packet, Packet, Shared>>,
    /// Number of the oldest question in flight (CS-8).
    oldest: Cell<u64>,
}

// SAFETY: DR-1.
unsafe impl Send for Asking {}
// SAFETY: DR-1.
unsafe impl Sync for Asking {}

impl Asking {
    /// Opens it in `region`.
    pub(crate) fn open(region: &Region, depth: usize) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            ring: UnsafeCell::new(caller_in(region, depth).map_err(refused)?),
            oldest: Cell::new(0),
        }))
    }

    #[allow(clippy::mut_from_ref, reason = "DR-1")]
    #[inline(always)]
    fn ring(&self) -> &mut Caller<Packet, Packet, Shared> {
        // SAFETY: DR-1, the callers hold the lock, and use what they get within one step.
        unsafe { &mut *self.ring.get() }
    }

    /// Asks. There is a slot for every run that may be in flight.
    #[inline(always)]
    pub(crate) fn send(&self, packet: Packet) {
        let ring = self.ring();
        // A closed ring is a graph that ends.
        if let Ok(number) = ring.try_call(packet)
            && ring.in_flight() == 1
        {
            self.oldest.set(number);
        }
    }

    /// `None` if the next answer is there; else what changes when it is.
    #[inline(always)]
    pub(crate) fn idle(&self) -> Option<Probe> {
        self.ring().idle(self.oldest.get())
    }

    /// The next answer.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<Packet> {
        let oldest = self.oldest.get();
        let taken = self.ring().try_take(oldest);
        if taken.is_some() {
            self.oldest.set(oldest.wrapping_add(1));
        }
        taken
    }

    /// Why nothing comes any more, if that is so.
    pub(crate) fn fault(&self) -> Option<PeerFault> {
        self.ring().fault()
    }
}

/// The worker's end.
#[repr(align(128))]
pub(crate) struct Answering {
    /// Taken when the end goes away.
    callee: Option<Callee<Packet, Packet, Shared>>,
    number: u64,
    input: Arc<PackedSlot>,
    output: Arc<PackedSlot>,
    /// All slots of the segment.
    slots: Vec<Arc<PackedSlot>>,
    /// What the driver sees of the segment (SN-5).
    shown: Progress,
    questions: Taker,
    answers: PoolWriter,
    lender: Lender,
    ringer: Ringer,
    is_broken: bool,
}

/// What the worker's end is made of.
pub(crate) struct AnsweringParts {
    pub(crate) input: Arc<PackedSlot>,
    pub(crate) output: Arc<PackedSlot>,
    pub(crate) slots: Vec<Arc<PackedSlot>>,
    pub(crate) shown: Progress,
    pub(crate) questions: PoolReader,
    pub(crate) answers: PoolWriter,
    pub(crate) lender: Lender,
    pub(crate) ringer: Ringer,
    pub(crate) origin: Origin,
}

impl Answering {
    /// Opens it in `region`.
    pub(crate) fn open(region: &Region, depth: usize, parts: AnsweringParts) -> Result<Self> {
        Ok(Self {
            callee: Some(callee_in(region, depth).map_err(refused)?),
            number: 0,
            input: parts.input,
            output: parts.output,
            slots: parts.slots,
            shown: parts.shown,
            questions: Taker::new(parts.questions, parts.origin),
            answers: parts.answers,
            lender: parts.lender,
            ringer: parts.ringer,
            is_broken: false,
        })
    }

    #[cold]
    fn load_begun(&mut self) -> bool {
        let questions = &mut self.questions;
        self.input.with(|input| questions.take_begun(input))
    }

    /// No question came, or none will.
    #[cold]
    fn nothing(&mut self) -> bool {
        if let Some(fault) = self.callee.as_ref().and_then(Callee::fault)
            && !self.is_broken
        {
            self.is_broken = true;
            let origin = &self.questions.origin;
            self.input
                .with(|input| origin.is_garbled(&fault.to_string(), input));
        }
        false
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(mut callee) = self.callee.take() {
            let lines = move || callee.try_next().map(|(_, packet)| packet);
            self.questions.leave(lines);
        }
    }
}

impl Head for Answering {
    #[inline]
    fn idle(&self) -> Option<Probes> {
        if self.questions.has_begun() {
            return self.questions.awaited().map(Probes::one);
        }
        if self.is_broken {
            return Some(Probes::one(never())); // RE-2
        }
        let callee = self.callee.as_ref()?;
        callee.idle().map(Probes::questions)
    }

    #[inline]
    fn try_load(&mut self) -> bool {
        if self.questions.has_begun() {
            return self.load_begun();
        }
        let Some((number, packet)) = self.callee.as_mut().and_then(Callee::try_next) else {
            return self.nothing();
        };
        self.number = number;
        let questions = &mut self.questions;
        self.input.with(|input| questions.take(packet, input))
    }

    #[inline]
    fn finish(&mut self) {
        let packed = self.output.get();
        if (packed.objects().is_empty() || matches!(self.lender.lend(packed), Lent::All))
            && let Some(callee) = &mut self.callee
        {
            let number = self.number;
            // Each writes into the slot what it has in registers.
            if let Some([first, second]) = packed.as_word() {
                callee.answer(number, [first, second, 0, 0, 0, 0, 0]);
            } else if let Some(packet) = packed.as_packet() {
                callee.answer(number, packet);
            } else {
                callee.answer(number, self.answers.put(packed));
            }
            self.ringer.ring();
        }
        for slot in &self.slots {
            slot.with(Packed::was_read);
        }
        self.shown.end();
    }
}
