//! Panics of tasks are errors, not messages: their place is noted for the error, and the hook that
//! was there before is called for all other panics.

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
            let in_task = Local::current().is_some_and(|local| !local.frame.get().is_null());
            if !in_task {
                return before(info);
            }
            if let Some(place) = info.location() {
                note_panic_location(place.to_string());
            }
        }));
    });
}
