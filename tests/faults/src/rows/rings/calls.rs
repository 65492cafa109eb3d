//! A callee or a caller dies.

use std::os::unix::net::UnixStream;

use maser_shm::channel::call_slot::{Callee, Caller, call_bytes, callee_in, caller_in};
use maser_shm::channel::{PeerFault, Shared};
use maser_shm::control::ControlMemory;

use super::{CAPACITY, map, show, shown, unexpected, value, write_late};
use crate::row::{Outcome, Row, broken, check};
use crate::stepper::{Stepped, Survivor, Victim};
use crate::wire;

/// The rows of this file.
pub const ROWS: [Row; 2] = [
    Row {
        name: "A1.call_slot",
        claim: "a callee killed while it answers: its caller gets the answer or hears that none \
                will come, and what was answered before stays",
        canary: "an answer is published before it is written whole",
        run: |run| CALLEE.run(run),
    },
    Row {
        name: "A1.call",
        claim: "a caller killed while it asks: its callee gets the question whole or not at all",
        canary: "a question is published before it is written whole",
        run: |run| CALLER.run(run),
    },
];

type Question = [u64; 3];

fn question(number: u64) -> Question {
    let [one, two, three, ..] = value(number);
    [one, two, three]
}

fn answer_to(question: Question) -> Question {
    question.map(|word| word.wrapping_mul(3))
}

const CALLEE: Stepped = Stepped {
    victim: |link, marks, planted| {
        let memory = map(shown(link)?)?;
        let mut callee: Callee<Question, Question, Shared> =
            callee_in(&memory.whole(), CAPACITY).map_err(broken)?;
        check(callee.try_serve(answer_to), || {
            "the first question is not there".into()
        })?;
        marks.begin();
        let (number, asked) = callee.try_next().ok_or_else(|| broken("no question"))?;
        let mut answer = answer_to(asked);
        if planted {
            answer[2] = 0;
        }
        callee.answer(number, answer);
        if planted {
            write_late(&memory, answer[1], answer_to(asked)[2])?;
        }
        marks.end();
        Ok(())
    },
    survivor: |_| Ok(Box::new(Asks)),
};

struct Asks;

impl Survivor for Asks {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        let bytes = call_bytes::<Question, Question>(CAPACITY).map_err(broken)?;
        let memory = ControlMemory::create(bytes).map_err(broken)?;
        let mut caller: Caller<Question, Question, Shared> =
            caller_in(&memory.whole(), CAPACITY).map_err(broken)?;
        let mut numbers = Vec::new();
        for number in 0..3 {
            let asked = caller.try_call(question(number));
            numbers.push(asked.map_err(unexpected("not asked"))?);
        }
        wire::send_memory(&link, 0, memory.bytes() as u64, memory.file())?;
        victim.wait_for_death()?;
        caller.peer_died();
        check(
            caller.is_closed() && caller.fault() == Some(PeerFault::Died),
            || format!("the fault is {:?}", caller.fault()),
        )?;
        let answers: Vec<_> = numbers
            .iter()
            .map(|&number| caller.try_settle(number))
            .collect();
        let right = |at: u64| Some(Ok(answer_to(question(at))));
        check(answers[0] == right(0), || {
            format!("answer 0 is {:x?}", answers[0])
        })?;
        let may_be_missing = !victim.had_finished() && answers[1].is_none();
        check(may_be_missing || answers[1] == right(1), || {
            format!("answer 1 is {:x?}", answers[1])
        })?;
        check(answers[2].is_none(), || {
            format!("answer 2 is {:x?}", answers[2])
        })?;
        let left = caller.in_flight();
        let open = answers.iter().filter(|answer| answer.is_none()).count();
        check(left == open, || {
            format!("{left} in flight, and {open} without an answer")
        })?;
        check(caller.try_call(question(9)).is_err(), || {
            "a dead callee was asked".into()
        })
    }
}

const CALLER: Stepped = Stepped {
    victim: |link, marks, planted| {
        let memory = map(shown(link)?)?;
        let mut caller: Caller<Question, Question, Shared> =
            caller_in(&memory.whole(), CAPACITY).map_err(broken)?;
        caller
            .try_call(question(0))
            .map_err(unexpected("not asked"))?;
        marks.begin();
        let mut asked = question(1);
        if planted {
            asked[2] = 0;
        }
        caller.try_call(asked).map_err(unexpected("not asked"))?;
        if planted {
            write_late(&memory, asked[1], question(1)[2])?;
        }
        marks.end();
        Ok(())
    },
    survivor: |_| Ok(Box::new(Answers)),
};

struct Answers;

impl Survivor for Answers {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        let bytes = call_bytes::<Question, Question>(CAPACITY).map_err(broken)?;
        let memory = show(&link, bytes)?;
        let mut callee: Callee<Question, Question, Shared> =
            callee_in(&memory.whole(), CAPACITY).map_err(broken)?;
        victim.wait_for_death()?;
        callee.peer_died();
        let mut count = 0;
        while let Some((number, asked)) = callee.try_next() {
            check(asked == question(count), || {
                format!("question {count} is torn, lost or another: {asked:x?}")
            })?;
            callee.answer(number, answer_to(asked));
            count += 1;
        }
        let least = if victim.had_finished() { 2 } else { 1 };
        check((least..=2).contains(&count), || {
            format!("{count} questions came")
        })?;
        check(
            callee.is_closed() && callee.fault() == Some(PeerFault::Died),
            || format!("the fault is {:?}", callee.fault()),
        )
    }
}
