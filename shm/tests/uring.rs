//! The io_uring ring: buffers come back, whatever happens. Skipped, and said so, where it is refused.
#![cfg(not(any(loom, miri)))]

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use maser_shm::os::file_io::{ReadPart, WritePart};
use maser_shm::os::uring::op::socket::{READABLE, WRITABLE};
use maser_shm::os::uring::{
    Buffer, FileOperation, Operation, Ring, SocketOperation, waiting_available,
};

/// A ring, or `None` after having said why there is none.
fn ring(depth: u32) -> Option<Ring> {
    if let Err(refusal) = Ring::available() {
        println!("skipped: {refusal}");
        return None;
    }
    Some(Ring::new(depth).expect("a ring, as the probe found"))
}

/// A file that has no name any more.
fn file(name: &str) -> Arc<OwnedFd> {
    let unique = format!("maser-uring-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(unique);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("a file");
    std::fs::remove_file(&path).expect("its name goes");
    Arc::new(file.into())
}

fn pipe() -> (Arc<OwnedFd>, PipeWriter) {
    let (reader, writer): (PipeReader, PipeWriter) = std::io::pipe().expect("a pipe");
    (Arc::new(reader.into()), writer)
}

fn read(file: &Arc<OwnedFd>, bytes: usize, offset: u64) -> Operation {
    let (file, buffer) = (file.clone(), Buffer::new(bytes));
    Operation::File(FileOperation::Read {
        file,
        buffer,
        offset,
    })
}

fn write(file: &Arc<OwnedFd>, bytes: &[u8], offset: u64) -> Operation {
    let (file, buffer) = (file.clone(), Buffer::copy_of(bytes));
    Operation::File(FileOperation::Write {
        file,
        buffer,
        offset,
    })
}

#[test]
fn what_was_written_is_read_and_both_buffers_come_back() {
    let Some(mut ring) = ring(4) else { return };
    let file = file("round_trip");
    ring.try_push(1, write(&file, b"hello", 3)).expect("room");
    let written = ring.wait().expect("no refusal").expect("one is under way");
    assert_eq!((written.tag, written.result.expect("written")), (1, 5));
    assert_eq!(
        &written.operation.into_buffer().expect("UR-1")[..],
        b"hello"
    );

    ring.try_push(2, read(&file, 100, 0)).expect("room");
    let done = ring.wait().expect("no refusal").expect("one is under way");
    assert_eq!((done.tag, done.result.expect("read")), (2, 8));
    let buffer = done.operation.into_buffer().expect("UR-1");
    assert_eq!(&buffer[..], b"\0\0\0hello");
    assert_eq!(buffer.capacity(), 100);
    assert!(ring.wait().expect("no refusal").is_none());
}

#[test]
fn a_failed_operation_gives_its_buffer_and_its_file_back() {
    let Some(mut ring) = ring(4) else { return };
    let read_only: Arc<OwnedFd> = Arc::new(File::open("/dev/null").expect("a device").into());
    let operation = write(&read_only, b"kept", 0);
    ring.try_push(9, operation).expect("room");
    let completion = ring.wait().expect("no refusal").expect("one is under way");
    let error = completion.result.expect_err("opened for reading");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    assert_eq!(
        &completion.operation.into_buffer().expect("UR-1")[..],
        b"kept"
    );
    assert_eq!(Arc::strong_count(&read_only), 1);
}

#[test]
fn a_cancelled_operation_gives_its_buffer_back() {
    let Some(mut ring) = ring(4) else { return };
    let (reader, _writer) = pipe();
    let id = ring.try_push(5, read(&reader, 64, 0)).expect("room");
    ring.submit().expect("no refusal");
    assert!(ring.try_complete().is_none(), "nothing to read yet");
    ring.cancel(id);
    let completion = ring.wait().expect("no refusal").expect("it ends");
    assert_eq!(completion.tag, 5);
    let error = completion.result.expect_err("cancelled");
    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    assert_eq!(
        completion.operation.into_buffer().expect("UR-1").capacity(),
        64
    );
    // The slot has another generation now: a late cancellation hits nobody else (UR-6).
    let mut writer = _writer;
    ring.try_push(6, read(&reader, 64, 0)).expect("room");
    ring.cancel(id);
    writer.write_all(b"x").expect("a reader");
    let completion = ring.wait().expect("no refusal").expect("it ends");
    assert_eq!((completion.tag, completion.result.expect("read")), (6, 1));
}

#[test]
fn a_dropped_ring_ends_what_is_under_way_first() {
    let Some(mut ring) = ring(4) else { return };
    let (reader, mut writer) = pipe();
    for tag in 0..3 {
        ring.try_push(tag, read(&reader, 4096, 0)).expect("room");
    }
    ring.submit().expect("no refusal");
    assert_eq!(Arc::strong_count(&reader), 4);
    drop(ring);
    assert_eq!(Arc::strong_count(&reader), 1, "UR-2: waited, not leaked");
    // Nobody reads any more but us.
    writer.write_all(b"later").expect("a reader");
    let mut bytes = [0; 5];
    rustix::io::read(&*reader, &mut bytes).expect("what was written");
    assert_eq!(&bytes, b"later");
}

#[test]
fn a_dropped_ring_waits_for_what_cannot_be_cancelled_any_more() {
    let Some(mut ring) = ring(4) else { return };
    let file = file("waits");
    let bytes = vec![7; 16 << 20];
    for tag in 0..4 {
        let offset = tag * bytes.len() as u64;
        ring.try_push(tag, write(&file, &bytes, offset))
            .expect("room");
    }
    ring.submit().expect("no refusal");
    drop(ring);
    assert_eq!(Arc::strong_count(&file), 1, "UR-2: waited, not leaked");
}

#[test]
fn a_full_ring_gives_the_operation_back() {
    let Some(mut ring) = ring(2) else { return };
    let file = file("full");
    for tag in 0..ring.depth() as u64 {
        ring.try_push(tag, write(&file, b"x", tag)).expect("room");
    }
    let back = ring
        .try_push(99, write(&file, b"back", 0))
        .expect_err("UR-4");
    assert_eq!(&back.into_buffer().expect("UR-1")[..], b"back");
    let mut tags = Vec::new();
    while let Some(completion) = ring.wait().expect("no refusal") {
        completion.result.expect("written");
        tags.push(completion.tag);
    }
    tags.sort_unstable();
    assert_eq!(tags, [0, 1]);
}

#[test]
fn room_is_taken_flushed_and_given_back() {
    let Some(mut ring) = ring(4) else { return };
    let file = file("room");
    let on = |file: &Arc<OwnedFd>| file.clone();
    let mut run = |operation| {
        ring.try_push(0, Operation::File(operation)).expect("room");
        let completion = ring.wait().expect("no refusal").expect("one is under way");
        completion.result
    };
    let (offset, bytes) = (0, 1 << 20);
    let allocated = run(FileOperation::Allocate {
        file: on(&file),
        offset,
        bytes,
    });
    if allocated.is_err() {
        println!("skipped: the temporary folder cannot allocate: {allocated:?}");
        return;
    }
    let blocks = || rustix::fs::fstat(&*file).expect("a file").st_blocks;
    assert!(blocks() >= 2048, "512-byte blocks of 1 MiB");
    run(FileOperation::Flush { file: on(&file) }).expect("flushed");
    run(FileOperation::PunchHole {
        file: on(&file),
        offset,
        bytes,
    })
    .expect("punched");
    assert!(blocks() < 2048, "given back");
    let size = rustix::fs::fstat(&*file).expect("a file").st_size;
    assert_eq!(size, 1 << 20, "the length stays");
}

#[test]
fn a_batch_runs_beside_operations_of_others() {
    let Some(mut ring) = ring(4) else { return };
    let (reader, mut writer) = pipe();
    let file = file("beside");
    ring.try_push(77, read(&reader, 16, 0)).expect("room");
    ring.submit().expect("no refusal");
    writer.write_all(b"done").expect("a reader");
    // More chunks than the ring is deep.
    let bytes: Vec<u8> = (0..(9 << 20) + 123)
        .map(|at: u32| (at >> 8) as u8)
        .collect();
    let part = WritePart {
        offset: 5,
        bytes: &bytes,
    };
    ring.write_batch(file.as_fd(), &[part]).expect("written");
    let mut back = vec![0; bytes.len()];
    let part = ReadPart {
        offset: 5,
        bytes: &mut back,
    };
    ring.read_batch(file.as_fd(), &mut [part]).expect("read");
    assert!(back == bytes);
    let completion = ring.wait().expect("no refusal").expect("the pipe's read");
    assert_eq!((completion.tag, completion.result.expect("read")), (77, 4));
}

#[test]
fn a_batch_in_a_ring_that_is_full_of_others_is_told_so() {
    let Some(mut ring) = ring(2) else { return };
    let (reader, _writer) = pipe();
    for tag in 0..2 {
        ring.try_push(tag, read(&reader, 16, 0)).expect("room");
    }
    let file = file("busy");
    let part = WritePart {
        offset: 0,
        bytes: b"x",
    };
    let error = ring
        .write_batch(file.as_fd(), &[part])
        .expect_err("no slot");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn rings_move_between_threads_while_operations_are_under_way() {
    let Some(mut ring) = ring(4) else { return };
    let (reader, mut writer) = pipe();
    ring.try_push(1, read(&reader, 16, 0)).expect("room");
    let waiting = std::thread::spawn(move || {
        let completion = ring.wait().expect("no refusal").expect("one is under way");
        completion.result.expect("read")
    });
    writer.write_all(b"four").expect("a reader");
    assert_eq!(waiting.join().expect("no panic"), 4);
}

/// A ring that waits for sockets, or `None` after having said why there is none.
fn waiting_ring() -> Option<Ring> {
    if let Err(refusal) = waiting_available() {
        println!("skipped: {refusal}");
        return None;
    }
    Some(Ring::for_waiting(8, 100).expect("a ring, as the probe found"))
}

/// A socket that listens, and where.
fn listener() -> (Arc<OwnedFd>, std::net::SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let address = listener.local_addr().expect("an address");
    (Arc::new(listener.into()), address)
}

/// The next completion, asleep until it comes.
fn asleep(ring: &mut Ring) -> maser_shm::os::uring::Completion {
    loop {
        if let Some(completion) = ring.try_complete() {
            return completion;
        }
        ring.sleep(None).expect("it sleeps");
    }
}

#[test]
fn one_operation_accepts_all_who_connect() {
    let Some(mut ring) = waiting_ring() else {
        return;
    };
    let (listener, address) = listener();
    let accept = SocketOperation::Accept { listener };
    let id = ring
        .try_push(3, Operation::Socket(accept))
        .expect("there is room");
    for _ in 0..5 {
        let mut peer = std::net::TcpStream::connect(address).expect("it listens");
        let completion = asleep(&mut ring);
        assert_eq!((completion.tag, completion.is_last), (3, false));
        let socket = std::net::TcpStream::from(completion.socket.expect("a socket"));
        peer.write_all(b"there").expect("it is connected");
        socket.set_nonblocking(false).expect("a socket");
        let mut word = [0; 5];
        (&socket).read_exact(&mut word).expect("five bytes");
        assert_eq!(&word, b"there");
    }
    ring.cancel(id);
    let last = asleep(&mut ring);
    assert!(last.is_last && last.socket.is_none() && last.result.is_err());
    assert_eq!(ring.under_way(), 0);
}

#[test]
fn a_socket_is_watched_until_it_has_something() {
    let Some(mut ring) = waiting_ring() else {
        return;
    };
    let (reader, mut writer) = pipe();
    let watch = |bytes, room| {
        Operation::Socket(SocketOperation::Watch {
            socket: reader.clone(),
            bytes,
            room,
        })
    };
    ring.try_push(1, watch(true, false)).expect("there is room");
    ring.sleep(Some(std::time::Duration::from_millis(1)))
        .expect("it sleeps");
    assert!(ring.try_complete().is_none());
    writer.write_all(b"now").expect("room");
    let completion = asleep(&mut ring);
    assert_eq!(
        (completion.tag, completion.result.ok()),
        (1, Some(READABLE))
    );
    // It is there still, and the end of it looks like both.
    drop(writer);
    ring.try_push(2, watch(true, true)).expect("there is room");
    assert_eq!(asleep(&mut ring).result.ok(), Some(READABLE | WRITABLE));
}

#[test]
fn more_operations_wait_than_are_handed_over_at_a_time() {
    let Some(mut ring) = waiting_ring() else {
        return;
    };
    let pipes: Vec<_> = (0..100).map(|_| pipe()).collect();
    for (tag, (reader, _)) in (0..).zip(&pipes) {
        let watch = SocketOperation::Watch {
            socket: reader.clone(),
            bytes: true,
            room: false,
        };
        ring.try_push(tag, Operation::Socket(watch))
            .expect("there is room");
    }
    let (reader, _) = &pipes[0];
    assert!(ring.try_push(0, read(reader, 1, 0)).is_err());
    for (tag, (_, writer)) in (0..).zip(&pipes) {
        (&*writer).write_all(b"!").expect("room");
        assert_eq!(asleep(&mut ring).tag, tag);
    }
}

#[test]
fn a_ring_that_sleeps_is_woken_from_any_thread() {
    let Some(mut ring) = waiting_ring() else {
        return;
    };
    let waker = match ring.waker() {
        Ok(waker) => waker,
        Err(error) => return println!("skipped: no thread without a ring wakes one ({error})"),
    };
    // What making it has sent.
    while ring.try_complete().is_some() {}
    for _ in 0..100 {
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake().expect("it wakes"));
            ring.sleep(None).expect("it sleeps");
        });
        assert!(ring.try_complete().is_none());
    }
}
