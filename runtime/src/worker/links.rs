//! The links of one scheduler to other processes.

use super::link::Link;
use super::peer::Peer;
use super::serving::Serving;
use crate::error::Result;
use crate::executor::local::Local;
use std::cell::RefCell;
use std::sync::Arc;

/// See the module's page.
#[derive(Default)]
pub(crate) struct Links {
    /// By the process's number, then by its scheduler.
    table: RefCell<Vec<Vec<Option<Arc<Link>>>>>,
    /// Memory for messages.
    buffers: RefCell<Vec<Vec<u8>>>,
    /// The calls of other processes that run here.
    pub(crate) serving: Serving,
}

impl Links {
    /// The link to scheduler `there` of another process, made at its first use.
    #[inline]
    pub(crate) fn get(&self, local: &Local, peer: &Arc<Peer>, there: usize) -> Result<Arc<Link>> {
        let links = self.table.borrow();
        let known = links.get(peer.slot as usize).and_then(|of| of.get(there));
        match known {
            Some(Some(link)) if Arc::ptr_eq(&link.peer, peer) => Ok(link.clone()),
            _ => {
                drop(links);
                self.open(local, peer, there)
            }
        }
    }

    /// Memory for a message.
    #[inline]
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives the memory of a message back.
    #[inline]
    pub(super) fn give_buffer(&self, mut bytes: Vec<u8>) {
        const KEPT_BYTES_MAX: usize = 64 << 10;
        if bytes.capacity() <= KEPT_BYTES_MAX {
            bytes.clear();
            self.buffers.borrow_mut().push(bytes);
        }
    }

    #[cold]
    fn open(&self, local: &Local, peer: &Arc<Peer>, there: usize) -> Result<Arc<Link>> {
        let link = peer.open(there, local)?;
        let mut links = self.table.borrow_mut();
        let slot = peer.slot as usize;
        if links.len() <= slot {
            links.resize_with(slot + 1, Vec::new);
        }
        links[slot].resize(peer.schedulers(), None);
        links[slot][there] = Some(link.clone());
        Ok(link)
    }

    /// The link to a process by its number, if it was made.
    pub(super) fn known(&self, slot: usize, there: usize) -> Option<Arc<Link>> {
        let links = self.table.borrow();
        links.get(slot)?.get(there)?.clone()
    }

    /// Forgets the links to a process that has ended.
    pub(crate) fn remove(&self, local: &Local, peer: &Arc<Peer>) {
        local.remove_graph(peer.id);
        let is_its = |link: &Option<Arc<Link>>| {
            let link = link.as_ref();
            link.is_some_and(|link| Arc::ptr_eq(&link.peer, peer))
        };
        let mut links = self.table.borrow_mut();
        if let Some(of) = links.get_mut(peer.slot as usize) {
            of.retain(|link| !is_its(link));
        }
    }
}
