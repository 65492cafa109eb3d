//! Shared memory in the suite.

use maser_transport::sm::{SmOptions, SmTransport};

use crate::ends::Lab;

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
