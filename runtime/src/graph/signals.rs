//! Segments that tell others when they took the inputs of a run, and segments that wait for that.
//!
//! A graph without synchronous pairs has none of this: its segments have the heads they always had.

use super::remote::edge::{EdgeReceiver, EdgeSender};
use super::remote::packet::{EMPTY, Packed};
use super::segment::Head;
use super::slot::InPort;
use crate::executor::shared::Shared;
use crate::executor::sources::Probes;
use maser_shm::channel::Probe;
use maser_shm::channel::spsc::LineSender;
use std::sync::Arc;

/// Whom to tell.
pub(crate) enum Signal {
    /// A segment of this process, on this scheduler.
    Here(LineSender<()>, Arc<Shared>),
    /// A segment of another process, or of this worker.
    There(Box<EdgeSender>),
}

impl Signal {
    fn send(&mut self) {
        match self {
            Self::Here(line, target) => {
                // It holds what may be on its way (RV-3); a closed one belongs to a graph that ends.
                let _sent = line.try_send(());
                target.event.notify();
            }
            Self::There(edge) => edge.send_packet(EMPTY),
        }
    }
}

/// A head that tells.
struct Signalling {
    head: Box<dyn Head>,
    signals: Vec<Signal>,
}

impl Head for Signalling {
    fn idle(&self) -> Option<Probes> {
        self.head.idle()
    }

    fn try_load(&mut self) -> bool {
        let is_loaded = self.head.try_load();
        if is_loaded {
            self.signals.iter_mut().for_each(Signal::send);
        }
        is_loaded
    }

    fn finish(&mut self) {
        self.head.finish();
    }
}

/// `head`, which tells these if there are any.
pub(crate) fn signalling(head: Box<dyn Head>, signals: Vec<Signal>) -> Box<dyn Head> {
    if signals.is_empty() {
        return head;
    }
    Box::new(Signalling { head, signals })
}

/// Waits for tokens, all but the first few runs.
pub(crate) struct TokenPort<P> {
    port: P,
    /// Runs that need none.
    ahead: u32,
}

impl<P: InPort> TokenPort<P> {
    pub(crate) fn new(port: P, ahead: u32) -> Self {
        Self { port, ahead }
    }
}

impl TokenPort<FarToken> {
    /// Tokens that come from another process.
    pub(crate) fn far(edge: EdgeReceiver, ahead: u32) -> Self {
        let packed = Packed::default();
        Self::new(FarToken { edge, packed }, ahead)
    }
}

impl<P: InPort> InPort for TokenPort<P> {
    fn idle(&self) -> Option<Probe> {
        if self.ahead > 0 {
            return None;
        }
        self.port.idle()
    }

    fn load(&mut self) -> bool {
        if self.ahead > 0 {
            self.ahead -= 1;
            return true;
        }
        self.port.load()
    }
}

/// The receiving end of an edge that carries nothing but news.
pub(crate) struct FarToken {
    edge: EdgeReceiver,
    packed: Packed,
}

impl InPort for FarToken {
    fn idle(&self) -> Option<Probe> {
        self.edge.idle()
    }

    fn load(&mut self) -> bool {
        self.edge.take(&mut self.packed)
    }
}
