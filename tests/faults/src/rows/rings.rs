//! Rings between two processes of which one dies in the middle of a step.
//!
//! Values are checked: a torn one, one that was never sent, one that comes twice or one that is
//! missing is seen.
#![allow(unsafe_code, reason = "planted bugs write where they must not")]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use maser_shm::channel::call_slot::{Callee, Caller, call_bytes, callee_in, caller_in};
use maser_shm::channel::spsc::{
    LineReceiver, LineSender, Receiver, Sender, channel_bytes, line_bytes, line_receiver_in,
    line_sender_in, receiver_in, sender_in,
};
use maser_shm::channel::{PeerFault, Shared, TryRecvError, TrySendError};
use maser_shm::control::ControlMemory;

use crate::marks::Marks;
use crate::row::{Outcome, Row, broken, check};
use crate::stepper::{Stepped, Survivor, Victim};
use crate::wire::{self, Message};

/// Slots of the rings here.
const CAPACITY: usize = 4;

/// The rows of this file.
pub const ROWS: [Row; 8] = [
    Row {
        name: "A1.channel_write",
        claim: "a writer killed while it sends: all that was sent is received, nothing else, and \
                then the channel is closed",
        canary: "a message is published before it is written whole",
        run: |run| writer::<LineEnds>().run(run),
    },
    Row {
        name: "A1.channel_read",
        claim: "a reader killed while it receives: no slot is lost or doubled, and the writer is \
                told that the channel is closed",
        canary: "the writer is not told of the death",
        run: |run| reader::<LineEnds>().run(run),
    },
    Row {
        name: "A1.stream_write",
        claim: "as A1.channel_write, over the ring for rates",
        canary: "a message is published before it is written whole",
        run: |run| writer::<StreamEnds>().run(run),
    },
    Row {
        name: "A1.stream_read",
        claim: "as A1.channel_read, over the ring for rates",
        canary: "the writer is not told of the death",
        run: |run| reader::<StreamEnds>().run(run),
    },
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
    Row {
        name: "A1.attach",
        claim: "a process killed while it maps control memory and opens its end: the other end can \
                be opened and is told",
        canary: "the dead one opened a ring of another capacity",
        run: |run| ATTACH.run(run),
    },
    Row {
        name: "A1.detach",
        claim: "a process killed while it closes its end and unmaps: the other end hears that the \
                channel is closed, and gets what was sent",
        canary: "the other end is not told of the death",
        run: |run| DETACH.run(run),
    },
];

/// A value that shows whether it is whole.
type Value = [u64; 5];

fn value(number: u64) -> Value {
    std::array::from_fn(|at| {
        number
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(at as u32)
    })
}

/// One kind of ring.
trait Ends: 'static {
    type Sender: Send;
    type Receiver: Send;
    fn bytes() -> usize;
    fn sender(memory: &ControlMemory) -> Outcome<Self::Sender>;
    fn receiver(memory: &ControlMemory) -> Outcome<Self::Receiver>;
    fn try_send(sender: &mut Self::Sender, value: Value) -> Result<(), TrySendError<Value>>;
    fn try_recv(receiver: &mut Self::Receiver) -> Result<Value, TryRecvError>;
    fn writer_died(receiver: &mut Self::Receiver) -> Option<PeerFault>;
    fn reader_died(sender: &mut Self::Sender) -> Option<PeerFault>;
}

macro_rules! ends {
    ($name:ident, $sender:ident, $receiver:ident, $bytes:ident, $open_sender:ident, $open_receiver:ident) => {
        struct $name;

        impl Ends for $name {
            type Sender = $sender<Value, Shared>;
            type Receiver = $receiver<Value, Shared>;
            fn bytes() -> usize {
                $bytes::<Value>(CAPACITY).expect("the capacity is possible")
            }
            fn sender(memory: &ControlMemory) -> Outcome<Self::Sender> {
                $open_sender(&memory.whole(), CAPACITY).map_err(broken)
            }
            fn receiver(memory: &ControlMemory) -> Outcome<Self::Receiver> {
                $open_receiver(&memory.whole(), CAPACITY).map_err(broken)
            }
            fn try_send(
                sender: &mut Self::Sender,
                value: Value,
            ) -> Result<(), TrySendError<Value>> {
                sender.try_send(value)
            }
            fn try_recv(receiver: &mut Self::Receiver) -> Result<Value, TryRecvError> {
                receiver.try_recv()
            }
            fn writer_died(receiver: &mut Self::Receiver) -> Option<PeerFault> {
                receiver.peer_died();
                receiver.fault()
            }
            fn reader_died(sender: &mut Self::Sender) -> Option<PeerFault> {
                sender.peer_died();
                sender.fault()
            }
        }
    };
}

ends!(
    LineEnds,
    LineSender,
    LineReceiver,
    line_bytes,
    line_sender_in,
    line_receiver_in
);
ends!(
    StreamEnds,
    Sender,
    Receiver,
    channel_bytes,
    sender_in,
    receiver_in
);

/// Makes control memory and shows it to the victim.
fn show(link: &UnixStream, bytes: usize) -> Outcome<ControlMemory> {
    let memory = ControlMemory::create(bytes).map_err(broken)?;
    wire::send_memory(link, 0, memory.bytes() as u64, memory.file())?;
    Ok(memory)
}

/// The control memory that was shown, not mapped yet.
fn shown(link: &UnixStream) -> Outcome<(OwnedFd, u64)> {
    match wire::receive(link)? {
        Some(Message::Memory { bytes, file, .. }) => Ok((file, bytes)),
        other => Err(broken(format!("no control memory came but {other:?}"))),
    }
}

fn map((file, bytes): (OwnedFd, u64)) -> Outcome<ControlMemory> {
    ControlMemory::attach(file, bytes, "the survivor").map_err(broken)
}

/// The bug of a publisher that is too early: writes the word after the one that holds `before`.
fn write_late(memory: &ControlMemory, before: u64, word: u64) -> Outcome<()> {
    let region = memory.whole();
    let words = region.start().cast::<u64>();
    for at in 0..region.bytes() / size_of::<u64>() - 1 {
        // SAFETY: inside of the mapping and aligned; the words are also written by nobody else now.
        unsafe {
            if words.add(at).read_volatile() == before {
                words.add(at + 1).write_volatile(word);
                return Ok(());
            }
        }
    }
    Err(broken("the half that was published is not there"))
}

/// A full ring where there should be room, and the like.
fn unexpected<T: std::fmt::Debug>(what: &str) -> impl FnOnce(T) -> crate::row::Stop + '_ {
    move |got| broken(format!("{what}: {got:?}"))
}

fn all_received<E: Ends>(receiver: &mut E::Receiver, least: u64, most: u64) -> Outcome<()> {
    let fault = E::writer_died(receiver);
    check(fault == Some(PeerFault::Died), || {
        format!("the fault is {fault:?}")
    })?;
    let mut count = 0;
    let end = loop {
        match E::try_recv(receiver) {
            Ok(got) => {
                check(got == value(count), || {
                    format!("value {count} is torn, lost or another: {got:x?}")
                })?;
                count += 1;
                check(count <= most, || format!("{count} values came of {most}"))?;
            }
            Err(end) => break end,
        }
    };
    check(end == TryRecvError::Closed, || {
        format!("after the last value: {end}")
    })?;
    check(count >= least, || {
        format!("{count} of {least} values came that were sent")
    })
}

/// The writer dies.
fn writer<E: Ends>() -> Stepped {
    Stepped {
        victim: |link, marks, planted| {
            let memory = map(shown(link)?)?;
            let mut sender = E::sender(&memory)?;
            for number in 0..2 {
                E::try_send(&mut sender, value(number)).map_err(unexpected("no room"))?;
            }
            marks.begin();
            if planted {
                let mut half = value(2);
                half[4] = 0;
                E::try_send(&mut sender, half).map_err(unexpected("no room"))?;
                write_late(&memory, half[3], value(2)[4])?;
            } else {
                E::try_send(&mut sender, value(2)).map_err(unexpected("no room"))?;
            }
            marks.end();
            Ok(())
        },
        survivor: |_| Ok(Box::new(ReadOn::<E>(std::marker::PhantomData))),
    }
}

struct ReadOn<E>(std::marker::PhantomData<E>);

impl<E: Ends> Survivor for ReadOn<E> {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        let memory = show(&link, E::bytes())?;
        let mut receiver = E::receiver(&memory)?;
        victim.wait_for_death()?;
        let least = if victim.had_finished() { 3 } else { 2 };
        all_received::<E>(&mut receiver, least, 3)
    }
}

/// The reader dies.
fn reader<E: Ends>() -> Stepped {
    Stepped {
        victim: |link, marks, _| {
            let memory = map(shown(link)?)?;
            let mut receiver = E::receiver(&memory)?;
            marks.begin();
            let got = E::try_recv(&mut receiver).map_err(unexpected("nothing came"))?;
            marks.end();
            check(got == value(0), || format!("the reader got {got:x?}"))
        },
        survivor: |planted| {
            Ok(Box::new(WriteOn::<E> {
                planted,
                ends: std::marker::PhantomData,
            }))
        },
    }
}

struct WriteOn<E> {
    planted: bool,
    ends: std::marker::PhantomData<E>,
}

impl<E: Ends> Survivor for WriteOn<E> {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        let memory = ControlMemory::create(E::bytes()).map_err(broken)?;
        let mut sender = E::sender(&memory)?;
        for number in 0..3 {
            E::try_send(&mut sender, value(number)).map_err(unexpected("no room"))?;
        }
        wire::send_memory(&link, 0, memory.bytes() as u64, memory.file())?;
        victim.wait_for_death()?;
        // Three are in it, of which one may have been taken.
        let mut room = 0;
        while E::try_send(&mut sender, value(3 + room)).is_ok() {
            room += 1;
            check(room <= 2, || {
                "the ring has more room than it has slots".into()
            })?;
        }
        check(room >= 1, || "a slot of the ring is lost".into())?;
        if !self.planted {
            let fault = E::reader_died(&mut sender);
            check(fault == Some(PeerFault::Died), || {
                format!("the fault is {fault:?}")
            })?;
        }
        let answer = E::try_send(&mut sender, value(9));
        check(matches!(answer, Err(TrySendError::Closed(_))), || {
            format!("to a dead reader the answer is {answer:?}")
        })
    }
}

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

const ATTACH: Stepped = Stepped {
    victim: |link, marks, planted| {
        let shown = shown(link)?;
        marks.begin();
        let memory = map(shown)?;
        let capacity = if planted { 2 * CAPACITY } else { CAPACITY };
        let sender = line_sender_in::<Value>(&memory.whole(), capacity);
        let mut sender = sender.map_err(broken)?;
        sender.try_send(value(0)).map_err(unexpected("no room"))?;
        marks.end();
        std::mem::forget(sender);
        Ok(())
    },
    survivor: |_| Ok(Box::new(OpensLater)),
};

struct OpensLater;

impl Survivor for OpensLater {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        let bytes = line_bytes::<Value>(2 * CAPACITY).map_err(broken)?;
        let memory = show(&link, bytes)?;
        victim.wait_for_death()?;
        let mut receiver = LineEnds::receiver(&memory)?;
        let least = u64::from(victim.had_finished());
        all_received::<LineEnds>(&mut receiver, least, 1)
    }
}

const DETACH: Stepped = Stepped {
    victim: |link, marks: &Marks, _| {
        let memory = map(shown(link)?)?;
        let mut sender = LineEnds::sender(&memory)?;
        sender.try_send(value(0)).map_err(unexpected("no room"))?;
        marks.begin();
        drop(sender);
        drop(memory);
        marks.end();
        Ok(())
    },
    survivor: |planted| Ok(Box::new(Hears { planted })),
};

struct Hears {
    planted: bool,
}

impl Survivor for Hears {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        let memory = show(&link, LineEnds::bytes())?;
        let mut receiver = LineEnds::receiver(&memory)?;
        victim.wait_for_death()?;
        if !self.planted {
            return all_received::<LineEnds>(&mut receiver, 1, 1);
        }
        check(receiver.try_recv() == Ok(value(0)), || {
            "what was sent is lost".into()
        })?;
        let end = receiver.try_recv();
        check(end == Err(TryRecvError::Closed), || {
            format!("after the last value: {end:?}")
        })
    }
}
