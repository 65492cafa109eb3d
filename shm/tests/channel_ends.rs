//! What the type system knows of the ends: they may go to another thread, but not be shared.
#![cfg(not(loom))]

use std::cell::Cell;

use maser_shm::channel::{broadcast, call_slot, mpsc, spsc};

/// `is_shared` is ambiguous, and so does not compile, for a type that is `Sync` or `Clone`.
trait Ambiguous<Marker> {
    fn is_shared() -> bool {
        false
    }
}
impl<T: ?Sized> Ambiguous<()> for T {}
impl<T: ?Sized + Sync> Ambiguous<u8> for T {}
impl<T: Clone> Ambiguous<u16> for T {}

fn assert_send<T: Send>() {}

/// One line for each end.
macro_rules! assert_ends {
    ($($end:ty),* $(,)?) => {
        $(assert_send::<$end>();
        assert!(!<$end as Ambiguous<_>>::is_shared());)*
    };
}

#[test]
fn ends_are_send_and_neither_sync_nor_clone() {
    // A cell may be sent, not shared: the ends ask no more of a value than they need.
    type Value = Cell<u64>;
    assert_ends!(
        spsc::Sender<Value>,
        spsc::Receiver<Value>,
        spsc::LineSender<Value>,
        spsc::LineReceiver<Value>,
        call_slot::Caller<Value, Value>,
        call_slot::Callee<Value, Value>,
        mpsc::Sender<Value>,
        mpsc::Receiver<Value>,
        broadcast::Sender<u64>,
        broadcast::Receiver<u64>,
    );
}
