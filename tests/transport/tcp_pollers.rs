//! What TCP waits by: a ring of io_uring or epoll, what happens where one is refused, and what either does
//! when descriptors run out or its thread ends.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use maser_shm::os::uring::waiting_available;
use maser_tests::{alone, part, rerun, sandbox};
use maser_transport::tcp::{PollerChoice, PollerInUse, TcpTransport, TcpTuning};
use maser_transport::wire::Integrity;
use maser_transport::{Event, Message, Transport, WorkRequest};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::ends::{A, B, Ends};
use crate::tcp::{open_by, options};

/// An end by this poller; `None`, and says why, if this machine has none.
fn end(poller: PollerChoice) -> Option<TcpTransport> {
    match (poller, waiting_available()) {
        (PollerChoice::Ring, Err(refusal)) => {
            println!("skipped: {refusal}");
            None
        }
        _ => Some(open_by(poller, None, Integrity::None)),
    }
}

const BOTH: [PollerChoice; 2] = [PollerChoice::Ring, PollerChoice::Epoll];

fn is_greeted(ends: &mut Ends<TcpTransport>) {
    let (to_b, _) = ends.connect(A, B);
    let word = Message::copied(b"there");
    ends.post(A, to_b, WorkRequest::Send(word.clone()), None);
    assert_eq!(ends.message(B).1, word);
}

#[test]
fn an_end_says_what_it_waits_by() {
    alone(|| {
        for poller in BOTH {
            let Some(end) = end(poller) else { continue };
            let in_use = match poller {
                PollerChoice::Epoll => PollerInUse::Epoll,
                _ => PollerInUse::Ring,
            };
            assert_eq!(*end.poller_in_use(), in_use);
        }
    });
}

#[test]
fn where_rings_are_refused_it_goes_by_epoll_and_says_why() {
    const TEST: &str = "tcp_pollers::where_rings_are_refused_it_goes_by_epoll_and_says_why";
    if part().is_none() {
        let output = rerun(TEST, "refused");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{output:?}"
        );
        return;
    }
    alone(|| {
        sandbox::refuse_from_now_on(&sandbox::IO_URING, libc::EPERM).expect("a filter");
        let mut ends = Ends::new([0; 2].map(|_| {
            let end = open_by(PollerChoice::Best, None, Integrity::None);
            match end.poller_in_use() {
                PollerInUse::EpollInstead(why) => assert!(why.contains("io_uring"), "{why}"),
                other => panic!("{other:?}"),
            }
            end
        }));
        is_greeted(&mut ends);
        let tuning = TcpTuning {
            poller: PollerChoice::Ring,
        };
        let opened = TcpTransport::open_tuned(options(None, Integrity::None), tuning);
        let error = opened.err().expect("there is no ring");
        assert!(error.to_string().contains("io_uring"), "{error}");
    });
}

#[test]
fn who_connects_while_there_are_no_descriptors_is_turned_away() {
    const TEST: &str = "tcp_pollers::who_connects_while_there_are_no_descriptors_is_turned_away";
    if part().is_none() {
        let output = rerun(TEST, "without");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{output:?}"
        );
        return;
    }
    alone(|| {
        // A ring asks for the limit when it begins to accept.
        let few = Rlimit {
            current: Some(200),
            ..getrlimit(Resource::Nofile)
        };
        setrlimit(Resource::Nofile, few).expect("fewer are always allowed");
        for poller in BOTH {
            let Some(end) = end(poller) else { continue };
            are_turned_away(end, poller);
        }
    });
}

/// Without descriptors each who connects hears the end of the connection; with them they are taken again.
fn are_turned_away(end: TcpTransport, poller: PollerChoice) {
    const STRANGERS: usize = 5;
    let address = end.local_addr();
    let mut ends = Ends::new([open_by(poller, None, Integrity::None), end]);
    is_greeted(&mut ends);
    let socket = || rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
    let sockets: Vec<OwnedFd> = (0..STRANGERS)
        .map(|_| socket().expect("a socket"))
        .collect();
    let files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    // None of them gives its own back before.
    let mut gone = Vec::new();
    for socket in sockets {
        rustix::net::connect(&socket, &address).expect("its host answers");
        let mut stranger = std::net::TcpStream::from(socket);
        stranger.set_nonblocking(true).expect("a socket");
        loop {
            ends.turn();
            match stranger.read(&mut [0; 8]) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
                Ok(bytes) => panic!("{bytes} bytes were said to a stranger"),
            }
        }
        gone.push(stranger);
    }
    drop((files, gone));
    is_greeted(&mut ends);
}

#[test]
fn what_waits_outlives_the_thread_that_asked_for_it() {
    alone(|| {
        for poller in BOTH {
            let (Some(a), Some(b)) = (end(poller), end(poller)) else {
                continue;
            };
            // Everything is asked for by a thread that ends.
            let asked = std::thread::spawn(move || {
                let mut ends = Ends::new([a, b]);
                is_greeted(&mut ends);
                let (to_b, _) = ends.connect(A, B);
                (ends.take(B), ends.take(A), to_b)
            });
            let (mut b, mut a, to_b) = asked.join().expect("it ended");
            let address: SocketAddr = b.local_addr();
            let stranger = std::net::TcpStream::connect(address).expect("it listens");
            let word = Message::copied(b"still");
            a.post(to_b, WorkRequest::Send(word.clone()), None)
                .expect("room");
            loop {
                match b.poll() {
                    Some(Event::Message { message, .. }) => break assert_eq!(message, word),
                    Some(_) => {}
                    None => b.wait(None).expect("it waits"),
                }
            }
            drop(stranger);
        }
    });
}
