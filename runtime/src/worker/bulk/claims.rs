//! References that came with a value: each is taken by the array that is decoded from it, and what
//! nobody took goes back when the value has been decoded, or could not be.

use super::Name;
use super::entry::{self, Entry};
use crate::node::Node;
use crate::worker::peer::Peer;
use std::sync::Arc;

/// In the flag of a message: a list of objects follows the value.
pub(crate) const HAS_OBJECTS: u8 = 2;

/// Lists objects behind a value; the flag of its message.
pub(in crate::worker) fn append(objects: impl Iterator<Item = Name>, bytes: &mut Vec<u8>) -> u8 {
    let mut count = 0;
    for name in objects {
        name.entry().write(bytes);
        count += 1;
    }
    if count == 0 {
        return 0;
    }
    entry::finish(count, bytes);
    HAS_OBJECTS
}

/// See the module's page.
pub(crate) struct Claims {
    from: Option<Arc<Peer>>,
    left: Vec<Entry>,
}

impl Claims {
    /// The value in a message from `peer`, and what came with it.
    #[inline]
    pub(crate) fn split<'a>(peer: &Arc<Peer>, flag: u8, body: &'a [u8]) -> (&'a [u8], Self) {
        let (bytes, left) = match flag & HAS_OBJECTS {
            0 => (body, Vec::new()),
            _ => entry::split(body).unwrap_or((body, Vec::new())),
        };
        let from = (!left.is_empty()).then(|| peer.clone());
        (bytes, Self { from, left })
    }

    /// The first of what came.
    pub(crate) fn first(&self) -> Option<Name> {
        let entry = self.left.first()?;
        Some(Name::of(entry.owner, entry.descriptor))
    }

    /// Whether an object of this name came and was not taken yet; it is then the caller's.
    pub(crate) fn take(&mut self, name: Name) -> bool {
        let wanted = name.entry();
        let at = self.left.iter().position(|entry| *entry == wanted);
        at.map(|at| self.left.swap_remove(at)).is_some()
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let Some(giver) = self.from.as_ref().and_then(|peer| peer.store_id.get()) else {
            return;
        };
        if !self.left.is_empty()
            && let Ok(node) = Node::current("giving arrays back")
        {
            let left = self.left.drain(..);
            left.for_each(|entry| node.bulk.give_back(*giver, entry));
        }
    }
}
