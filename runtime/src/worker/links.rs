//! The links of one scheduler to other processes.

use super::link::{Link, LinkSource};
use super::peer::Peer;
use super::serving::Serving;
use crate::error::{Error, Result};
use crate::executor::local::Local;
use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// The links to one process, by its scheduler. As sources, whose handles cost less.
type OfPeer = Vec<Option<Rc<LinkSource>>>;

/// See the module's page.
#[derive(Default)]
pub(crate) struct Links {
    /// By the process's number.
    table: RefCell<Vec<OfPeer>>,
    /// Memory for messages.
    buffers: RefCell<Vec<Vec<u8>>>,
    /// The calls of other processes that run here.
    pub(crate) serving: Serving,
}

impl Links {
    /// The link to scheduler `there` of another process, made at its first use.
    pub(crate) fn get(&self, local: &Local, peer: &Arc<Peer>, there: usize) -> Result<Arc<Link>> {
        match self.lend(peer, there) {
            Some(link) => Ok(link.clone()),
            None => self.open(local, peer, there),
        }
    }

    /// The same to send something over it, without a handle.
    ///
    /// # Errors
    /// If it cannot be made; what was to be sent is for the caller to end.
    #[inline]
    pub(super) fn with<T, R>(
        &self,
        local: &Local,
        (peer, there): (&Arc<Peer>, usize),
        message: T,
        send: impl FnOnce(&Arc<Link>, T) -> R,
    ) -> std::result::Result<R, (T, Error)> {
        if let Some(link) = self.lend(peer, there) {
            return Ok(send(&link, message));
        }
        match self.open(local, peer, there) {
            Ok(link) => Ok(send(&link, message)),
            Err(error) => Err((message, error)),
        }
    }

    /// The link, if it was made. Nothing that opens one may run while it is lent.
    #[inline]
    fn lend(&self, peer: &Arc<Peer>, there: usize) -> Option<Ref<'_, Arc<Link>>> {
        let links = self.table.borrow();
        let link = Ref::filter_map(links, |links| {
            let source = links.get(peer.slot as usize)?.get(there)?.as_deref();
            source.map(|source| &source.0)
        });
        link.ok().filter(|link| Arc::ptr_eq(&link.peer, peer))
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
        links[slot][there] = Some(Rc::new(LinkSource(link.clone())));
        Ok(link)
    }

    /// The first link to a process by its number, from `there` on, that has something.
    pub(super) fn ready(&self, slot: usize, there: &mut usize) -> Option<Rc<LinkSource>> {
        let links = self.table.borrow();
        let mut of = links.get(slot)?.iter().skip(*there);
        let ready = of.find_map(|link| {
            *there += 1;
            link.as_ref().filter(|link| !link.0.is_idle())
        });
        ready.cloned()
    }

    /// Forgets the links to a process that has ended.
    pub(crate) fn remove(&self, local: &Local, peer: &Arc<Peer>) {
        local.remove_graph(peer.id);
        let is_its = |link: &Option<Rc<LinkSource>>| {
            let link = link.as_ref();
            link.is_some_and(|link| Arc::ptr_eq(&link.0.peer, peer))
        };
        let mut links = self.table.borrow_mut();
        if let Some(of) = links.get_mut(peer.slot as usize) {
            of.retain(|link| !is_its(link));
        }
    }
}
