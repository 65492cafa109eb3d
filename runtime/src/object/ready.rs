//! What can be waited for: refs of tasks, methods and objects, and results of runs of compiled graphs.
#![allow(unsafe_code, reason = "names cells that a borrowed ref keeps alive")]

use super::reference::Ref;
use crate::executor::watch::Pollable;
use crate::graph::core::Core;
use crate::task::raw::Header;
use crate::wait_graph;
use std::ptr::NonNull;
use std::sync::Arc;

/// A [`Ref`], a [`GraphRef`](crate::GraphRef), or a reference to one: something that is there or will
/// be. A list of `&dyn Ready` may hold refs of all kinds and types.
pub trait Ready: Sync {
    /// Whether the value, or an error in its place, is there.
    fn is_ready(&self) -> bool;
    #[doc(hidden)]
    fn awaited(&self) -> Awaited<'_>;
}

/// A [`Ready`] that [`wait`](crate::wait) can give back.
pub trait Waitable: Ready {
    /// What it is given back as: a ref that can be cloned as itself, any other one by reference.
    type Given<'a>
    where
        Self: 'a;
    /// Gives it back.
    #[doc(hidden)]
    fn given(&self) -> Self::Given<'_>;
}

/// What there is to wait for (opaque). It borrows the ref, which keeps it alive.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Awaited<'a> {
    /// The same for the same ref alone.
    pub(crate) key: (usize, u64),
    pub(crate) what: What<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    /// It is there, for good.
    Here,
    Cell(NonNull<Header>),
    Run(&'a dyn RunOf, u64),
}

// SAFETY: a cell's completion may be looked at from any thread, and the ref that is borrowed, which is
// `Sync`, keeps it alive.
unsafe impl Send for What<'_> {}
// SAFETY: as above.
unsafe impl Sync for What<'_> {}

/// The output of a graph, of any type.
pub(crate) trait RunOf: Sync {
    fn core(&self) -> &Core;
    /// Whether its result of `run`, or the graph's error, is there.
    fn is_there(&self, run: u64) -> bool;
    /// Looks for it for a while; true if it came.
    fn looks(&self, run: u64) -> bool;
    /// What the loop of a scheduler polls.
    fn pollable(&self) -> Option<Arc<dyn Pollable>>;
    /// What the graph of waits knows of it, if it knows anything.
    fn needed(&self, run: u64) -> Option<wait_graph::Awaited>;
}

impl Awaited<'_> {
    pub(crate) fn is_there(&self) -> bool {
        match self.what {
            What::Here => true,
            // SAFETY: the ref that is borrowed has a handle.
            What::Cell(cell) => unsafe { &(*cell.as_ptr()).completion }.is_done(),
            What::Run(output, run) => output.is_there(run),
        }
    }
}

impl<T: Send + Sync> Ready for Ref<T> {
    fn is_ready(&self) -> bool {
        Ref::is_ready(self)
    }
    fn awaited(&self) -> Awaited<'_> {
        Awaited {
            key: (self.cell().addr().get(), u64::MAX),
            what: What::Cell(self.cell()),
        }
    }
}

impl<T: Send + Sync> Waitable for Ref<T> {
    type Given<'a>
        = Ref<T>
    where
        T: 'a;
    fn given(&self) -> Ref<T> {
        self.clone()
    }
}

impl<R: Ready + ?Sized> Ready for &R {
    fn is_ready(&self) -> bool {
        R::is_ready(self)
    }
    fn awaited(&self) -> Awaited<'_> {
        R::awaited(self)
    }
}

impl<R: Ready + ?Sized> Waitable for &R {
    type Given<'a>
        = Self
    where
        Self: 'a;
    fn given(&self) -> Self {
        self
    }
}
