//! `Actor<A>`: a typed, counted handle of an actor.
#![allow(
    unsafe_code,
    reason = "a handle is a counted pointer to the actor's block"
)]

use super::core::ActorCore;
use super::registry;
use crate::error::Result;
use crate::node::Node;
use crate::task::meta::Meta;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

/// How the name of every type of handles begins.
pub(crate) const TYPE_NAME: &str = concat!(module_path!(), "::Actor<");

/// Implemented by `#[maser::actor]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    note = "put `#[maser::actor]` on the `impl` block that has its `new` and its methods"
)]
pub trait ActorType: Sized + 'static {
    /// The methods that a handle has.
    type Methods: MethodTable<Self>;
    /// Name and defaults of the class.
    const META: &'static Meta;
}

/// Types that are `repr(transparent)` over [`RawActor<A>`].
///
/// # Safety
/// The type is `repr(transparent)` over `RawActor<A>`.
pub unsafe trait MethodTable<A> {}

/// The pointer in a handle.
#[repr(transparent)]
pub struct RawActor<A> {
    core: NonNull<ActorCore>,
    class: PhantomData<fn() -> A>,
}

// SAFETY: the block's shared part is atomic; its state is only touched on its home (AC-2).
unsafe impl<A> Send for RawActor<A> {}
// SAFETY: as above.
unsafe impl<A> Sync for RawActor<A> {}

/// A handle of an actor of class `A`: call its methods with `a.method().remote(..)`.
///
/// Handles are cheap to clone and may be passed to tasks, methods and other threads. The actor
/// ends when its last handle is dropped, after the calls that were made before.
#[repr(transparent)]
pub struct Actor<A: ActorType> {
    raw: RawActor<A>,
}

impl<A: ActorType> Actor<A> {
    /// Takes over a handle.
    ///
    /// # Safety
    /// The block is of an actor of class `A`, and the caller gives its handle up.
    pub(crate) unsafe fn from_core(core: NonNull<ActorCore>) -> Self {
        Self {
            raw: RawActor {
                core,
                class: PhantomData,
            },
        }
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> NonNull<ActorCore> {
        self.raw.core
    }

    pub(crate) fn block(&self) -> &ActorCore {
        // SAFETY: AC-1, our handle.
        unsafe { self.raw.core.as_ref() }
    }
}

/// The handle that a method table lies over.
#[inline(always)]
pub fn actor_of<A: ActorType>(raw: &RawActor<A>) -> &Actor<A> {
    // SAFETY: `Actor<A>` is repr(transparent) over `RawActor<A>`, and a table is only ever reached
    // through a handle.
    unsafe { &*(raw as *const RawActor<A>).cast::<Actor<A>>() }
}

impl<A: ActorType> Deref for Actor<A> {
    type Target = A::Methods;

    #[inline(always)]
    fn deref(&self) -> &A::Methods {
        // SAFETY: `MethodTable` promises repr(transparent) over `RawActor<A>`.
        unsafe { &*(&raw const self.raw).cast::<A::Methods>() }
    }
}

impl<A: ActorType> Clone for Actor<A> {
    fn clone(&self) -> Self {
        self.block().retain();
        Self {
            raw: RawActor {
                core: self.raw.core,
                class: PhantomData,
            },
        }
    }
}

impl<A: ActorType> Drop for Actor<A> {
    fn drop(&mut self) {
        // SAFETY: our handle, used no more.
        unsafe { ActorCore::release(self.raw.core) };
    }
}

impl<A: ActorType> PartialEq for Actor<A> {
    fn eq(&self, other: &Self) -> bool {
        self.raw.core == other.raw.core
    }
}

impl<A: ActorType> Eq for Actor<A> {}

impl<A: ActorType> fmt::Debug for Actor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({})", self.block().display_name())
    }
}

/// Ends `actor` at once: queued calls fail with [`Error::ActorDied`](crate::Error::ActorDied), a running method ends at its
/// next wait, and it is not made again. Dropping the handles instead lets it finish what was asked.
pub fn kill<A: ActorType>(actor: &Actor<A>) {
    ActorCore::kill(actor.core());
}

/// Ends the process of `actor` as a crash would, so that it is made again, as its `max_restarts`
/// allows; an actor with no restart left, or with no process of its own, ends as by [`kill`].
pub fn kill_and_restart<A: ActorType>(actor: &Actor<A>) {
    ActorCore::restart(actor.core());
}

/// Number of the actor, unique in the cluster.
pub fn actor_id<A: ActorType>(actor: &Actor<A>) -> u64 {
    actor.block().id
}

/// The live actor of class `A` that was made with this name, in whichever process of the node.
///
/// # Errors
/// [`Error::ActorNotFound`](crate::Error::ActorNotFound) if there is none, or if it is of another class.
pub fn get_actor<A: ActorType>(name: &str) -> Result<Actor<A>> {
    registry::find(&Node::entered("get_actor")?, name)
}
