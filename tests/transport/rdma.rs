//! RDMA verbs in the suite: both ends on the device of this machine.

use maser_transport::rdma::{RdmaOptions, RdmaTransport};
use maser_transport::wire::{Integrity, Secret};

use std::sync::Arc;

use maser_tests::alone;
use maser_transport::rdma::RdmaError;
use maser_transport::{Access, HeapMemory, Memory, Transport};

use crate::ends::{A, B, Ends, Lab};
use crate::tcp;

/// The first device there is.
pub struct RdmaLab;

/// How an end is opened.
pub fn options(secret: Option<Secret>) -> RdmaOptions {
    RdmaOptions::new(tcp::options(secret, Integrity::None))
}

impl Lab for RdmaLab {
    type End = RdmaTransport;

    fn open() -> Result<Self, String> {
        match RdmaTransport::open(options(None)) {
            Ok(_) => Ok(Self),
            Err(error) => Err(format!(
                "{error}; or run this in a kernel that has one: tests/labs/rdma/run -- PROGRAM"
            )),
        }
    }

    fn end(&self) -> RdmaTransport {
        RdmaTransport::open(options(None)).expect("there is a device")
    }

    fn crash(&self, end: RdmaTransport) {
        end.abort();
    }
}

/// An end of the first device, or why there is none.
fn end() -> Option<RdmaTransport> {
    match RdmaLab::open() {
        Ok(lab) => Some(lab.end()),
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

#[test]
fn without_a_device_the_error_says_what_was_looked_at() {
    let error = match RdmaTransport::open(options(None)) {
        Ok(end) => {
            println!("skipped: there is a device, {}", end.device());
            return;
        }
        Err(error) => error,
    };
    let text = error.to_string();
    let wanted = match error {
        RdmaError::Library(_) => "libibverbs.so.1",
        RdmaError::NoDevice { .. } => "/sys/class/infiniband",
        other => panic!("{other}"),
    };
    assert!(
        text.starts_with("no RDMA: ") && text.contains(wanted),
        "{text}"
    );
}

#[test]
fn a_device_or_address_that_is_not_there_is_named() {
    alone(|| {
        let Some(end) = end() else {
            return;
        };
        let mut other = options(None);
        other.device = Some("none9".into());
        let error = RdmaTransport::open(other).err().expect("there is none");
        let text = error.to_string();
        assert!(
            text.contains("none9") && text.contains(end.device()),
            "{text}"
        );
        let mut other = options(None);
        other.gid_index = Some(200);
        let error = RdmaTransport::open(other).err().expect("there is none");
        assert!(matches!(error, RdmaError::NoAddress { .. }), "{error}");
        let mut other = options(None);
        other.mtu_bytes = Some(1500);
        let error = RdmaTransport::open(other).err().expect("there is none");
        assert!(matches!(error, RdmaError::Mtu { bytes: 1500 }), "{error}");
    });
}

#[test]
fn memory_is_registered_once_while_a_region_of_it_lives() {
    alone(|| {
        let (Some(mut one), Some(mut other)) = (end(), end()) else {
            return;
        };
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory::new(8192));
        let first = one.register(memory.clone(), Access::all()).expect("memory");
        // Another end of the same process, too.
        let second = other
            .register(memory.clone(), Access::all())
            .expect("memory");
        assert_eq!(first.key(), second.key());
        let less = other
            .register(memory.clone(), Access::READ)
            .expect("memory");
        assert_ne!(first.key(), less.key());
    });
}

#[test]
fn packets_and_inline_bytes_are_of_the_size_that_is_asked_for() {
    alone(|| {
        if end().is_none() {
            return;
        }
        for (mtu_bytes, inline_bytes) in [(Some(256), 0), (Some(1024), 64), (None, 1 << 20)] {
            let open = || {
                let mut options = options(None);
                (options.mtu_bytes, options.inline_bytes) = (mtu_bytes, inline_bytes);
                RdmaTransport::open(options).expect("there is a device")
            };
            let mut ends = Ends::new([open(), open()]);
            let (to_b, to_a) = ends.connect(A, B);
            for bytes in [1, 200, 5000] {
                let sent = crate::ends::pattern(bytes, 1);
                let request = maser_transport::WorkRequest::Send(sent.clone().into());
                ends.post(A, to_b, request, None);
                assert_eq!(ends.message(B), (to_a, sent.into()));
            }
        }
    });
}
