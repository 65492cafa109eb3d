//! The bare floors between two processes.
//!
//! ```text
//! byte    0  word   the first process's, or the one that both write in turn
//! byte  128  word   the second process's
//! byte 4096  bytes  payload there
//! then       bytes  payload back, from a whole page on
//! ```
//!
//! Words are stored and awaited as between threads (LI-1, LI-2).

use std::rc::Rc;

use maser_shm::sync::atomic::{AtomicU64, Ordering};

use crate::harness::{BenchError, Contender, Window, check};
use crate::process::{Board, PartnerProcess, Serve, Service, Setup, until};

const PAGE_BYTES: usize = 4_096;
/// Where the second process's word is: not on a line that is fetched together with the first.
const SECOND: usize = 128;

#[inline(always)]
fn await_value(word: &AtomicU64, wanted: u64) {
    until(|| word.load(Ordering::Acquire) == wanted);
}

fn board(bytes: usize) -> Result<Board, BenchError> {
    Board::create(bytes).map_err(|error| BenchError::contender("a floor between processes", error))
}

/// F: a line for each direction.
#[derive(Debug)]
pub struct LineProcess {
    board: Board,
    there: Service,
}

impl LineProcess {
    /// Between this process and `partner`.
    ///
    /// # Errors
    /// The memory's, or the partner's.
    pub fn new(partner: &Rc<PartnerProcess>) -> Result<Self, BenchError> {
        let board = board(PAGE_BYTES)?;
        let setup = Setup::Pair {
            board: board.bytes(),
        };
        let there = partner.open(setup, &[board.file()])?;
        Ok(Self { board, there })
    }
}

impl Contender for LineProcess {
    fn name(&self) -> &'static str {
        "floor/line_process"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (first, second) = (self.board.word(0), self.board.word(SECOND));
        first.store(0, Ordering::Release);
        second.store(0, Ordering::Release);
        let serving = self.there.serve(window.calls())?;
        let mut number = 0;
        window.time(|| {
            number += 1;
            first.store(number, Ordering::Release);
            await_value(second, number);
        });
        check(self.name(), window.calls(), serving.join()?)
    }
}

/// The other side of [`LineProcess`].
pub(crate) struct PairThere(pub(crate) Board);

impl Serve for PairThere {
    fn serve(&mut self, calls: u64) -> Result<u64, String> {
        let (first, second) = (self.0.word(0), self.0.word(SECOND));
        for number in 1..=calls {
            await_value(first, number);
            second.store(number, Ordering::Release);
        }
        Ok(first.load(Ordering::Acquire))
    }
}

/// One line written in turn: odd numbers are questions, even ones answers.
#[derive(Debug)]
pub struct SlotProcess {
    board: Board,
    there: Service,
}

impl SlotProcess {
    /// Between this process and `partner`.
    ///
    /// # Errors
    /// The memory's, or the partner's.
    pub fn new(partner: &Rc<PartnerProcess>) -> Result<Self, BenchError> {
        let board = board(PAGE_BYTES)?;
        let setup = Setup::Turn {
            board: board.bytes(),
        };
        let there = partner.open(setup, &[board.file()])?;
        Ok(Self { board, there })
    }
}

impl Contender for SlotProcess {
    fn name(&self) -> &'static str {
        "floor/slot_process"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let word = self.board.word(0);
        word.store(0, Ordering::Release);
        let serving = self.there.serve(window.calls())?;
        let mut number = 0;
        window.time(|| {
            word.store(number + 1, Ordering::Release);
            number += 2;
            await_value(word, number);
        });
        check(self.name(), 2 * window.calls(), serving.join()?)
    }
}

/// The other side of [`SlotProcess`].
pub(crate) struct TurnThere(pub(crate) Board);

impl Serve for TurnThere {
    fn serve(&mut self, calls: u64) -> Result<u64, String> {
        let word = self.0.word(0);
        for call in 0..calls {
            await_value(word, 2 * call + 1);
            word.store(2 * call + 2, Ordering::Release);
        }
        Ok(2 * calls)
    }
}

/// A payload copied in on one side and out on the other, there and back: what a channel that copies
/// cannot beat.
#[derive(Debug)]
pub struct PayloadProcess {
    name: &'static str,
    board: Board,
    there: Service,
    payload: Vec<u8>,
    back: Vec<u8>,
}

impl PayloadProcess {
    /// Payloads of `bytes` between this process and `partner`.
    ///
    /// # Errors
    /// The memory's, or the partner's.
    pub fn new(
        name: &'static str,
        partner: &Rc<PartnerProcess>,
        bytes: usize,
    ) -> Result<Self, BenchError> {
        let board = board(back_at(bytes) + bytes)?;
        let setup = Setup::Payload {
            board: board.bytes(),
            bytes,
        };
        let there = partner.open(setup, &[board.file()])?;
        let payload = (0..bytes).map(|index| (index % 251) as u8).collect();
        Ok(Self {
            name,
            board,
            there,
            payload,
            back: vec![0; bytes],
        })
    }
}

fn back_at(bytes: usize) -> usize {
    PAGE_BYTES + bytes.next_multiple_of(PAGE_BYTES)
}

impl Contender for PayloadProcess {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let back_at = back_at(self.payload.len());
        let (first, second) = (self.board.word(0), self.board.word(SECOND));
        first.store(0, Ordering::Release);
        second.store(0, Ordering::Release);
        self.back.fill(0);
        let serving = self.there.serve(window.calls())?;
        let mut number = 0;
        window.time(|| {
            number += 1;
            self.board.write(PAGE_BYTES, &self.payload);
            first.store(number, Ordering::Release);
            await_value(second, number);
            self.board.read(back_at, &mut self.back);
        });
        check(self.name, window.calls(), serving.join()?)?;
        check(self.name, true, self.back == self.payload)
    }
}

/// The other side of [`PayloadProcess`].
pub(crate) struct PayloadThere {
    board: Board,
    payload: Vec<u8>,
}

impl PayloadThere {
    pub(crate) fn new(board: Board, bytes: usize) -> Self {
        let payload = vec![0; bytes];
        Self { board, payload }
    }
}

impl Serve for PayloadThere {
    fn serve(&mut self, calls: u64) -> Result<u64, String> {
        let back_at = back_at(self.payload.len());
        let (first, second) = (self.board.word(0), self.board.word(SECOND));
        for number in 1..=calls {
            await_value(first, number);
            self.board.read(PAGE_BYTES, &mut self.payload);
            self.board.write(back_at, &self.payload);
            second.store(number, Ordering::Release);
        }
        Ok(first.load(Ordering::Acquire))
    }
}
