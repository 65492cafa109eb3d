//! A program on a host ([`peer`](crate::peer)), as its test has it: it is told what to do and says what
//! happens. It is killed when the value goes.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use maser_transport::TransportKind;
use rustix::process::{Pid, Signal, kill_process};

use crate::lab::Lab;
use crate::peer::NAME;

/// See the module's page.
pub struct Program {
    child: Child,
    commands: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
    /// Where it is connected to.
    pub address: String,
}

/// How much it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub sent: u64,
    pub received: u64,
}

/// Why its connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// `silent`, `gone`, `closed` or `unreachable`.
    pub kind: String,
    /// How long after the limit.
    pub late: Duration,
    /// Requests that were under way, and failed.
    pub failed: u64,
    /// What the error says.
    pub text: String,
}

impl Program {
    /// Starts it on a host, where a peer may be silent for so long.
    pub fn start(lab: &Lab, host: u8, limit: Duration) -> Self {
        Self::start_with(TransportKind::Tcp, lab, host, limit)
    }

    /// As [`start`](Self::start), with another transport than TCP.
    pub fn start_with(kind: TransportKind, lab: &Lab, host: u8, limit: Duration) -> Self {
        let program = std::env::current_exe().expect("this program's path");
        let part = format!("{} {} {kind}", lab.address(host), limit.as_millis());
        let mut child = lab
            .program(host, &program)
            .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
            .env("MASER_TEST_PART", part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip starts");
        let commands = child.stdin.take().expect("a pipe");
        let told = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut program = Self {
            child,
            commands,
            told,
            address: String::new(),
        };
        program.address = program.hears("listens");
        program
    }

    /// Lets it do something.
    pub fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("it listens");
    }

    /// What it says of `topic`; the watchdog ends a test that waits in vain.
    #[track_caller]
    pub fn hears(&mut self, topic: &str) -> String {
        loop {
            let (found, rest) = self.next();
            if found == topic {
                return rest;
            }
            assert_ne!(found, "ended", "its connection ended: {rest}");
        }
    }

    /// The next that it says: of what, and what.
    #[track_caller]
    fn next(&mut self) -> (String, String) {
        loop {
            let line = match self.told.next() {
                Some(line) => line.expect("a pipe"),
                None => panic!("the program ended"),
            };
            if let Some(said) = line.strip_prefix("peer: ") {
                let (topic, rest) = said.split_once(' ').unwrap_or((said, ""));
                return (topic.to_owned(), rest.to_owned());
            }
        }
    }

    /// How much it has done so far.
    #[track_caller]
    pub fn count(&mut self) -> Count {
        self.tell("count");
        let said = self.hears("count");
        let mut numbers = said.split(' ').map(|word| word.parse().expect("a number"));
        Count {
            sent: numbers.next().expect("one"),
            received: numbers.next().expect("another one"),
        }
    }

    /// Waits until it has received more than it had.
    #[track_caller]
    pub fn receives_more(&mut self) {
        let before = self.count().received;
        while self.count().received < before + 10 {}
    }

    /// Why its connection ended, when it has.
    #[track_caller]
    pub fn ends(&mut self) -> Ended {
        let said = self.hears("ended");
        let mut words = said.splitn(4, ' ');
        let mut word = || words.next().expect("one more word").to_owned();
        let number = |word: String| word.parse().expect("a number");
        Ended {
            kind: word(),
            late: Duration::from_millis(number(word())),
            failed: number(word()),
            text: word(),
        }
    }

    /// Sends it a signal. The process is the program itself: `ip netns exec` becomes it.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("an id");
        kill_process(Pid::from_raw(id).expect("not 0"), signal).expect("it is there");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended if the test killed it.
        let _outcome = self.child.kill();
        let _outcome = self.child.wait();
    }
}

/// Connects the first to the second, as soon as there is a way: a host that could not be reached a moment
/// ago is not looked for at once by the kernel.
#[track_caller]
pub fn connect(a: &mut Program, b: &mut Program) {
    let connect = format!("connect {}", b.address);
    a.tell(&connect);
    loop {
        match a.next() {
            (topic, _) if topic == "connected" => break,
            (topic, rest) if topic == "ended" && rest.starts_with("unreachable") => {
                a.tell(&connect);
            }
            (topic, rest) => panic!("{topic} {rest}"),
        }
    }
    b.hears("connected");
}

/// Lets both go on for a while, and send no more; all that one has sent has come to the other then, in its
/// order.
#[track_caller]
pub fn nothing_is_lost(a: &mut Program, b: &mut Program) {
    a.receives_more();
    b.receives_more();
    let mut sent = [0, 0];
    for (program, sent) in [&mut *a, &mut *b].into_iter().zip(&mut sent) {
        program.tell("stop");
        *sent = program.hears("flushed").parse().expect("a number");
    }
    assert!(sent[0] > 0 && sent[1] > 0, "{sent:?}");
    // A flush says that the transport has it; its program may not have asked for it yet.
    while b.count().received < sent[0] {}
    while a.count().received < sent[1] {}
    assert_eq!((a.count().received, b.count().received), (sent[1], sent[0]));
}
