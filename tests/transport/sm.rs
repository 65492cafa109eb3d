//! Shared memory in the suite, and between two processes.

use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::{Child, Command, Stdio};

use maser_tests::alone;
use maser_transport::sm::{SmOptions, SmTransport};
use maser_transport::{
    Address, EndReason, Endpoint, Event, PutSource, RemoteRegion, Transport, TransportKind,
    WorkError, WorkRequest,
};

use crate::ends::{Lab, bytes_of, pattern, region};

/// Ends of this process.
pub struct SmLab;

impl Lab for SmLab {
    type End = SmTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> SmTransport {
        SmTransport::open(SmOptions::default()).expect("a Unix socket")
    }

    fn crash(&self, end: SmTransport) {
        end.abort();
    }
}

/// The end of another process: connects to the address in its part, and answers what it is sent.
fn serve(address: &str) {
    let mut end = SmTransport::open(SmOptions::default()).expect("a Unix socket");
    let address = Address::new(TransportKind::Sm, address.to_owned()).expect("short");
    let there = end.connect(&address).expect("an address");
    // Something to read and to write.
    let region = region(&mut end, &[5; 1 << 20]);
    let control = WorkRequest::Control(region.remote().to_wire().into());
    end.post(there, control, None).expect("room");
    loop {
        match end.poll() {
            Some(Event::Message { endpoint, message }) => {
                // Full only if the driver asks faster than it listens, which it does not.
                end.post(endpoint, WorkRequest::Send(message), None)
                    .expect("room");
            }
            Some(Event::Ended { .. }) => return,
            Some(_) => {}
            None => end.wait(None).expect("it waits"),
        }
    }
}

/// Another process that serves this end, what it is called here, and its memory.
fn other_process(test: &str, end: &mut SmTransport) -> (Child, Endpoint, RemoteRegion) {
    let address = end.address();
    let name = std::str::from_utf8(address.bytes()).expect("a name");
    let child = Command::new(std::env::current_exe().expect("this program's path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("MASER_TEST_PART", name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("this program starts again");
    loop {
        match end.poll() {
            Some(Event::Control { endpoint, message }) => {
                let region = RemoteRegion::from_wire(&message).expect("a region");
                return (child, endpoint, region);
            }
            Some(Event::Ended { reason, .. }) => panic!("{reason}"),
            Some(_) => {}
            None => end.wait(None).expect("it waits"),
        }
    }
}

fn next(end: &mut SmTransport) -> Event {
    loop {
        match end.poll() {
            Some(event) => return event,
            None => end.wait(None).expect("it waits"),
        }
    }
}

#[test]
fn messages_and_memory_pass_between_two_processes() {
    const TEST: &str = "sm::messages_and_memory_pass_between_two_processes";
    if let Some(address) = maser_tests::part() {
        return serve(&address);
    }
    alone(|| {
        let mut end = SmTransport::open(SmOptions::default()).expect("a Unix socket");
        let (mut child, there, remote) = other_process(TEST, &mut end);
        for bytes in [0, 1, 48, 49, 4096, 100_000, 3 << 20] {
            let sent = pattern(bytes, 1);
            let request = WorkRequest::Send(sent.clone().into());
            end.post(there, request, None).expect("room");
            let Event::Message { message, .. } = next(&mut end) else {
                panic!("no message of {bytes} bytes");
            };
            assert!(*message == *sent, "{bytes} bytes");
        }
        let here = region(&mut end, &[0; 1 << 20]);
        let get = WorkRequest::Get {
            from: remote.whole(),
            to: here.whole(),
        };
        end.post(there, get, Some(1)).expect("room");
        assert!(matches!(next(&mut end), Event::Completed(done) if done.outcome == Ok(0)));
        assert!(bytes_of(&here) == [5; 1 << 20]);
        end.close(there);
        assert!(matches!(next(&mut end), Event::Ended { .. }));
        assert!(child.wait().expect("it ends").success());
    });
}

#[test]
fn a_process_that_is_killed_is_told_of_after_what_it_said() {
    const TEST: &str = "sm::a_process_that_is_killed_is_told_of_after_what_it_said";
    if let Some(address) = maser_tests::part() {
        return serve(&address);
    }
    alone(|| {
        // Idle, and while all kinds of requests are under way.
        for requests in [0, 60] {
            let mut end = SmTransport::open(SmOptions::default()).expect("a Unix socket");
            let (mut child, there, remote) = other_process(TEST, &mut end);
            let here = region(&mut end, &[0; 1 << 20]);
            for token in 0..requests {
                let request = match token % 3 {
                    0 => WorkRequest::Get {
                        from: remote.whole(),
                        to: here.whole(),
                    },
                    1 => WorkRequest::Put {
                        from: PutSource::Region(here.whole()),
                        to: remote.whole(),
                        signal: None,
                    },
                    _ => WorkRequest::Send(vec![0; 1 << 20].into()),
                };
                end.post(there, request, Some(token)).expect("room");
            }
            child.kill().expect("it runs");
            let mut completed = Vec::new();
            let reason = loop {
                match next(&mut end) {
                    Event::Completed(done) => {
                        let is_right = matches!(done.outcome, Ok(_) | Err(WorkError::Ended(_)));
                        assert!(is_right, "{done:?}");
                        completed.push(done.token);
                    }
                    Event::Ended { endpoint, reason } => {
                        assert_eq!(endpoint, there);
                        break reason;
                    }
                    _ => {}
                }
            };
            assert!(matches!(reason, EndReason::PeerGone(_)), "{reason}");
            completed.sort_unstable();
            assert!(completed.iter().copied().eq(0..requests), "{completed:?}");
            child.wait().expect("it was killed");
            // The end goes on.
            let (mut child, there, _) = other_process(TEST, &mut end);
            end.close(there);
            while !matches!(next(&mut end), Event::Ended { .. }) {}
            assert!(child.wait().expect("it ends").success());
        }
    });
}

#[test]
fn strangers_are_turned_away() {
    alone(|| {
        let mut end = SmTransport::open(SmOptions::default()).expect("a Unix socket");
        let address = end.address();
        let name = SocketAddr::from_abstract_name(&**address.bytes()).expect("a name");
        for words in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"msrS",
            b"msrS\x01\0\0\0\0\0\x01\0\0\0\0\0",
        ] {
            let mut stranger = UnixStream::connect_addr(&name).expect("it listens");
            stranger.write_all(words).expect("room for a few words");
            stranger.set_nonblocking(true).expect("a socket");
            let mut said = Vec::new();
            let mut seconds = 0;
            loop {
                // Who says nothing is turned away by the limit.
                seconds += 1;
                end.advance(seconds * 1_000_000_000);
                assert_eq!(end.poll(), None);
                match stranger.read_to_end(&mut said) {
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
            assert_eq!(said.first(), Some(&b'n'), "{words:?}");
        }
        // Others are taken as before.
        let mut other = SmTransport::open(SmOptions::default()).expect("a Unix socket");
        other.connect(&address).expect("an address");
        loop {
            other.poll();
            if let Some(event) = end.poll() {
                assert!(matches!(event, Event::Accepted { .. }), "{event:?}");
                break;
            }
        }
    });
}
