//! The reference transport in the suite.

use maser_transport::loopback::{LoopbackTransport, Network};

use crate::ends::Lab;

/// A network of its own.
pub struct LoopbackLab(Network);

impl Lab for LoopbackLab {
    type End = LoopbackTransport;

    fn open() -> Result<Self, String> {
        Ok(Self(Network::new()))
    }

    fn end(&self) -> LoopbackTransport {
        LoopbackTransport::open(&self.0)
    }

    fn crash(&self, end: LoopbackTransport) {
        end.crash();
    }
}
