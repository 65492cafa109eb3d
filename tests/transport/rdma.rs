//! RDMA verbs in the suite: both ends on the device of this machine.

use maser_transport::rdma::{RdmaOptions, RdmaTransport};
use maser_transport::wire::{Integrity, Secret};

use crate::ends::Lab;
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
