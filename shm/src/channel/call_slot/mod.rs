//! Ring of call slots: question and answer in turn on one line.
//!
//! Where a ring each way hands two lines over per round trip, a call slot hands over one, twice.
//!
//! ```text
//! slot (64-byte aligned; larger questions or answers take several lines)
//! byte  0  stage  u64, the state machine below; UNUSED at first. Written by the ends in turn
//! byte  8  body   union { question: Q, answer: A }, up to 56 bytes (48 if 16-byte aligned)
//!
//! ledger          u64 per slot, the number in flight there or FREE. The caller's alone
//!
//! state line      the two "gone" flags, written once each; every core keeps a shared copy
//! ```
//!
//! Question k lives in slot `k & mask`; its stage goes
//!
//! ```text
//!   (anything older) --try_call--> 2k+1 --answer---> 2k+2
//!                                      \--abandon--> 2k+2 | ABANDONED
//! ```
//!
//! Numbers start at 0 and grow, by 1 while questions are in flight, by `depth` when none is: then
//! the slot used last, whose line the caller holds already, is used again. So one question at a
//! time costs the same in a ring of any depth. A ring that always walked on would hand over a
//! line that the callee polls meanwhile (measured on two cores of a Zen 4 guest, in round trips
//! over two lines: 1.0 against 0.72).
//!
//! - CS-1 from the store of 2k+1 the slot is the callee's, from the store of 2k+2 (with or without
//!   ABANDONED) the caller's again.
//! - CS-2 2k+1 is stored Release after the question is written; pairs with the Acquire load in
//!   `Callee::holds`.
//! - CS-3 2k+2 is stored Release after the answer is written, or with ABANDONED after the question
//!   was moved out; pairs with the Acquire loads in `Caller::{is_answered, try_take, try_settle}`.
//! - CS-4 "taken" is not written to the line: it would hand it over once more. The caller knows it
//!   from its ledger: `ledger[slot] == k` from asking k until k is settled.
//! - CS-5 a question is in its slot while its number is above `last`, the callee's last taken;
//!   the callee moves it out once, by advancing `last` first.
//! - CS-6 a "gone" flag is stored Release after the end's last step; who sees it (Acquire) and
//!   then finds no answer (no question) will never find one.
//! - CS-7 what neither end took is dropped with the ring, found by ledger, stage and `last`.
//! - CS-8 after k comes k+1 or k+depth, so the callee looks at both. Both may be there; k+depth is
//!   then the later one. Seeing it (Acquire) makes an earlier k+1 visible, so the callee looks at
//!   k+1 again before it takes k+depth.
//!
//! In control memory ([`caller_in`], [`callee_in`]) the slots lie in a region, behind the state line.
//!
//! - CS-9 the ledger is the caller's own there, and the callee has one of the questions that it took
//!   and has not settled: no end goes by what the other could have written. CS-7 does not apply.
//! - CS-10 a stage that cannot be ends the ring (WH-2): for the caller one that is neither asked nor
//!   settled while the question is in flight, for the callee a question in a slot whose question it
//!   has not settled. Others are what a slot holds that was not asked anything.
//!
//! Model: `tests/loom_call_slot.rs`.

mod callee;
mod caller;
mod ring;
#[cfg(not(loom))]
mod shared;

pub use callee::Callee;
pub use caller::Caller;
#[cfg(not(loom))]
pub use shared::{call_bytes, callee_in, caller_in};

use super::ChannelError;
use super::held::Held;
use ring::Ring;

/// Stage bit: the callee gave the question up.
const ABANDONED: u64 = 1 << 63;

/// Stage of a slot that was never used, which fresh control memory has (CM-2): neither a question's
/// nor, whatever number is asked for, one that the ledger's FREE could be taken to have.
const UNUSED: u64 = 0;

/// Stage of a slot that holds question `number`.
#[inline(always)]
const fn asked(number: u64) -> u64 {
    number.wrapping_mul(2).wrapping_add(1)
}

/// Stage of a slot that holds the answer to `number`.
#[inline(always)]
const fn answered(number: u64) -> u64 {
    number.wrapping_mul(2).wrapping_add(2)
}

/// The number before 0 in a ring of `depth`: CS-8 leads from it to 0, and to a number that is
/// never asked.
const fn before_first(depth: u64) -> u64 {
    depth.wrapping_neg()
}

/// Whether `number` comes after `last`, which may be [`before_first`].
#[inline(always)]
const fn is_after(number: u64, last: u64, depth: u64) -> bool {
    number.wrapping_add(depth) > last.wrapping_add(depth)
}

/// Makes a ring of at least `depth` call slots (rounded up to a power of two).
///
/// # Errors
///
/// [`ChannelError`] if `depth` is zero or too large, or memory is short.
///
/// # Examples
///
/// ```
/// let (mut caller, mut callee) = maser_shm::channel::call_slot::call_ring::<u32, u64>(1)?;
/// let number = caller.try_call(6).unwrap();
/// assert!(callee.try_serve(|question| u64::from(question) * 7));
/// assert_eq!(caller.try_take(number), Some(42));
/// # Ok::<(), maser_shm::channel::ChannelError>(())
/// ```
#[allow(clippy::type_complexity, reason = "two ends made together")]
pub fn call_ring<Q: Send, A: Send>(
    depth: usize,
) -> Result<(Caller<Q, A>, Callee<Q, A>), ChannelError> {
    let ring = Ring::new(depth)?;
    let (slots, ledger) = (ring.slots.view(), ring.ledger.view());
    let (asking, answering) = Held::pair(ring);
    Ok((
        Caller::new(asking, slots, ledger, ()),
        Callee::new(answering, slots, ()),
    ))
}
