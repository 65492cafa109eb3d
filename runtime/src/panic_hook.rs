//! Panics of tasks, and all others on threads of schedulers, are errors, not messages: their place
//! is noted for the error. The hook that was there before is called on other threads, and on the
//! main thread outside of tasks.

use crate::executor::local::Local;
use crate::task::failure::note_panic_location;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

/// Puts the hook in front of the present one, once a process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if let Some(place) = info.location() {
                note_panic_location(place.to_string());
            }
            if !Local::current().is_some_and(Local::reports_panics) {
                before(info);
            }
        }));
    });
}
