//! A future that is driven on one scheduler, for nobody who waits for it.
//!
//! - ED-1 a wake-up posts a letter; the letter polls. One that comes while it is polled posts another.
//!   Where no letter can be delivered any more the future goes with the last waker.

use crate::executor::letter;
use crate::node::Node;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

type Driven = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Errand {
    node: Arc<Node>,
    home: usize,
    future: Mutex<Option<Driven>>,
}

/// Polls `future` now, on this thread, and again on the scheduler `home` whenever it is woken.
pub(crate) fn drive(
    node: &Arc<Node>,
    home: usize,
    future: impl Future<Output = ()> + Send + 'static,
) {
    let errand = Arc::new(Errand {
        node: node.clone(),
        home,
        future: Mutex::new(Some(Box::pin(future))),
    });
    errand.poll();
}

impl Errand {
    fn poll(self: &Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut slot = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = slot.as_mut() else { return };
        if future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            let done = slot.take();
            drop(slot);
            drop(done);
        }
    }
}

impl Wake for Errand {
    fn wake(self: Arc<Self>) {
        let node = self.node.clone();
        let home = self.home;
        node.post_to(home, letter::closure(move |_| self.poll())); // ED-1
    }
}
