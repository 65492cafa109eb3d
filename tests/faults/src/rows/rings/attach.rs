//! A process dies while it comes to a ring or leaves it.

use std::os::unix::net::UnixStream;

use maser_shm::channel::TryRecvError;
use maser_shm::channel::spsc::{line_bytes, line_sender_in};

use super::channels::all_received;
use super::{CAPACITY, Ends, LineEnds, Value, map, show, shown, unexpected, value};
use crate::row::{Outcome, Row, broken, check};
use crate::stepper::{Stepped, Survivor, Victim};

/// The rows of this file.
pub const ROWS: [Row; 2] = [
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
    victim: |link, marks, _| {
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
