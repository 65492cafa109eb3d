//! A writer or a reader dies.

use std::marker::PhantomData;
use std::os::unix::net::UnixStream;

use maser_shm::channel::{PeerFault, TryRecvError, TrySendError};
use maser_shm::control::ControlMemory;

use super::{Ends, LineEnds, StreamEnds, map, show, shown, unexpected, value, write_late};
use crate::row::{Outcome, Row, broken, check};
use crate::stepper::{Stepped, Survivor, Victim};
use crate::wire;

/// The rows of this file.
pub const ROWS: [Row; 4] = [
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
];

/// What must be in the ring of a dead writer: so many values, and the end.
pub(super) fn all_received<E: Ends>(
    receiver: &mut E::Receiver,
    least: u64,
    most: u64,
) -> Outcome<()> {
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
        survivor: |_| Ok(Box::new(ReadOn::<E>(PhantomData))),
    }
}

struct ReadOn<E>(PhantomData<E>);

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
                ends: PhantomData,
            }))
        },
    }
}

struct WriteOn<E> {
    planted: bool,
    ends: PhantomData<E>,
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
