//! Objects between processes: read without a copy, kept while they are held, freed when their
//! holder dies, and safe from whatever a peer sends.
//!
//! The reader is this executable again, told by its environment to be one.
#![cfg(not(any(loom, miri)))]

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use maser_shm::os::shared_memory;
use maser_shm::store::{
    Descriptor, Foreign, HugePages, Object, PeerId, Release, Store, StoreConfig, StoreError,
    StoreEvents,
};
use zerocopy::{FromBytes, IntoBytes};

const OWNER: PeerId = PeerId(1);
const READER: PeerId = PeerId(2);
const SOCKET: &str = "MASER_TEST_READER_SOCKET";
const MIB: usize = 1 << 20;

/// What the owner sends; the reader answers each with one byte or one descriptor.
const EXTENT: u8 = 1;
const OPEN: u8 = 2;
const DROP_ALL: u8 = 3;

/// Sends extents to the reader as they are made, before any object can lie in them.
struct Announcer(Mutex<UnixStream>);

impl StoreEvents for Announcer {
    fn extent_made(&self, id: u32, file: BorrowedFd<'_>, bytes: u64) {
        let mut message = vec![EXTENT];
        message.extend(id.to_le_bytes());
        message.extend(bytes.to_le_bytes());
        let socket = self.0.lock().unwrap();
        let sent = shared_memory::send(&socket, &message, &[file]);
        assert_eq!(sent.unwrap(), message.len());
    }
}

struct Reader {
    child: Child,
    socket: UnixStream,
}

impl Reader {
    fn start() -> (Self, Arc<Announcer>) {
        let (here, there) = UnixStream::pair().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_reader", "--nocapture"]);
        command.env(SOCKET, "stdin");
        command.stdin(Stdio::from(OwnedFd::from(there)));
        let child = command.spawn().unwrap();
        let announcer = Announcer(Mutex::new(here.try_clone().unwrap()));
        (
            Self {
                child,
                socket: here,
            },
            Arc::new(announcer),
        )
    }

    /// Has it open an object; the sum of its bytes.
    fn open(&mut self, descriptor: Descriptor) -> u64 {
        let mut message = vec![OPEN];
        message.extend(descriptor.as_bytes());
        self.socket.write_all(&message).unwrap();
        let mut sum = [0; 8];
        self.socket.read_exact(&mut sum).unwrap();
        u64::from_le_bytes(sum)
    }

    /// Has it drop all it opened; what it gives back.
    fn drop_all(&mut self) -> Vec<Descriptor> {
        self.socket.write_all(&[DROP_ALL]).unwrap();
        let mut count = [0; 8];
        self.socket.read_exact(&mut count).unwrap();
        let mut bytes = vec![0; u64::from_le_bytes(count) as usize * size_of::<Descriptor>()];
        self.socket.read_exact(&mut bytes).unwrap();
        bytes
            .chunks_exact(size_of::<Descriptor>())
            .map(|bytes| Descriptor::read_from_bytes(bytes).unwrap())
            .collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn store(announcer: Arc<Announcer>) -> Store {
    let mut config = StoreConfig::new(64 * MIB);
    config.huge_pages = HugePages::Off;
    config.events = Some(announcer);
    let store = Store::new(config).unwrap();
    store.add_peer(READER, "reader");
    store
}

fn object(store: &Store, bytes: usize, with: u8) -> Object {
    let mut object = store.create(bytes).unwrap();
    object.fill(with);
    object.seal()
}

#[derive(Default)]
struct Returned(Mutex<Vec<Descriptor>>);

impl Release for Returned {
    fn release(&self, owner: PeerId, descriptor: Descriptor, count: u64) {
        assert_eq!((owner, count), (OWNER, 1));
        self.0.lock().unwrap().push(descriptor);
    }
}

/// The other process; a test that does nothing without its variable.
#[test]
fn a_reader() {
    if std::env::var_os(SOCKET).is_none() {
        return;
    }
    let returned = Arc::new(Returned::default());
    let foreign = Foreign::new(returned.clone());
    let mut open = Vec::new();
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    loop {
        // One message at a time: descriptors come with the first byte of theirs.
        let mut kind = [0; 1];
        let (count, files) = shared_memory::receive(&socket, &mut kind).unwrap();
        match (count, kind[0]) {
            (0, _) => return,
            (_, EXTENT) => {
                let mut rest = [0; 12];
                socket.read_exact(&mut rest).unwrap();
                let (id, bytes) = rest.split_at(4);
                let id = u32::from_le_bytes(id.try_into().unwrap());
                let bytes = u64::from_le_bytes(bytes.try_into().unwrap());
                foreign
                    .add_extent(OWNER, id, files[0].as_fd(), bytes)
                    .unwrap();
            }
            (_, OPEN) => {
                let mut bytes = [0; size_of::<Descriptor>()];
                socket.read_exact(&mut bytes).unwrap();
                let descriptor = Descriptor::read_from_bytes(&bytes).unwrap();
                let object = foreign.open(OWNER, descriptor).unwrap();
                let sum: u64 = object.iter().map(|&byte| u64::from(byte)).sum();
                open.push(object);
                socket.write_all(&sum.to_le_bytes()).unwrap();
            }
            _ => {
                open.clear();
                let returned = std::mem::take(&mut *returned.0.lock().unwrap());
                socket
                    .write_all(&(returned.len() as u64).to_le_bytes())
                    .unwrap();
                socket.write_all(returned.as_bytes()).unwrap();
            }
        }
    }
}

#[test]
fn another_process_reads_objects_of_all_sizes_and_gives_them_back() {
    let (mut reader, announcer) = Reader::start();
    let store = store(announcer);
    for (with, bytes) in [(1, 1), (2, 1024), (3, 33_000), (4, 5 * MIB), (5, 0)] {
        let object = object(&store, bytes, with);
        let descriptor = store.give(&object, READER).unwrap();
        drop(object);
        assert_eq!(reader.open(descriptor), u64::from(with) * bytes as u64);
    }
    assert_eq!(store.usage().objects, 5);
    let returned = reader.drop_all();
    assert_eq!(returned.len(), 5);
    for descriptor in returned {
        store.take_back(READER, descriptor, 1).unwrap();
    }
    store.trim();
    assert_eq!(store.usage(), maser_shm::store::Usage::default());
}

#[test]
fn what_a_killed_process_held_is_free_and_nothing_else() {
    let (mut reader, announcer) = Reader::start();
    let store = store(announcer);
    let kept = object(&store, 1000, 1);
    for number in 0..100 {
        let descriptor = store.give(&object(&store, 10_000, number), READER).unwrap();
        reader.open(descriptor);
        store.give(&kept, READER).unwrap();
    }
    reader.child.kill().unwrap();
    reader.child.wait().unwrap();
    assert_eq!(store.usage().objects, 101);
    store.peer_died(READER);
    assert_eq!(store.usage().objects, 1);
    assert!(kept.iter().all(|&byte| byte == 1));
    let error = store.give(&kept, READER).unwrap_err();
    assert!(matches!(error, StoreError::UnknownPeer { .. }), "{error}");
}

#[test]
fn a_reader_keeps_reading_when_the_owner_is_gone() {
    let extents = Mutex::new(Vec::new());
    let (_reader, announcer) = Reader::start();
    let store = store(announcer);
    let object = object(&store, 3000, 7);
    let descriptor = object.descriptor();
    store.extents(|id, file, bytes| {
        extents
            .lock()
            .unwrap()
            .push((id, file.try_clone_to_owned().unwrap(), bytes));
    });
    let foreign = Foreign::new(Arc::new(Returned::default()));
    for (id, file, bytes) in extents.lock().unwrap().drain(..) {
        foreign.add_extent(OWNER, id, file.as_fd(), bytes).unwrap();
        // Announced twice, as may happen to a peer that joins while an extent is made.
        foreign.add_extent(OWNER, id, file.as_fd(), bytes).unwrap();
    }
    let opened = foreign.open(OWNER, descriptor).unwrap();
    let (count, bytes) = foreign.mapped(OWNER);
    assert!(count == 1 && bytes >= 3000);
    foreign.populate(OWNER, descriptor.extent).unwrap();
    foreign.remove_peer(OWNER);
    drop(object);
    drop(store);
    assert_eq!(opened.len(), 3000);
    assert_eq!(
        foreign.mapped(OWNER),
        (count, bytes),
        "an open object keeps it"
    );
    let error = foreign.open(OWNER, descriptor).unwrap_err();
    assert!(matches!(error, StoreError::UnknownExtent { .. }), "{error}");
    drop(opened);
    assert_eq!(foreign.mapped(OWNER), (0, 0));
}
