//! How the code of a method, or of a constructor, gets at the actor's state.
#![allow(unsafe_code, reason = "type-erased actor states")]

use super::core::{Access, ActorCore};
use crate::executor::block_on::block_on;
use crate::task::failure::Failure;
use std::ptr::NonNull;

/// How the code of a method gets at the state.
pub trait Method<A, P, T>: Send + 'static {
    #[doc(hidden)]
    const ACCESS: Access;
    #[doc(hidden)]
    const IS_CONSTRUCTOR: bool = false;
    /// # Safety
    /// AC-3 for the access; `core` runs this call.
    #[doc(hidden)]
    unsafe fn invoke(
        self,
        state: *mut A,
        params: P,
        core: NonNull<ActorCore>,
    ) -> Result<T, Failure>;
}

/// A constructor, which makes the state.
pub struct Construct<F>(pub F);

impl<A: 'static, P, F> Method<A, P, ()> for Construct<F>
where
    F: FnOnce(P) -> Result<A, Failure> + Send + 'static,
{
    const ACCESS: Access = Access::Construct;
    const IS_CONSTRUCTOR: bool = true;
    unsafe fn invoke(self, _: *mut A, params: P, core: NonNull<ActorCore>) -> Result<(), Failure> {
        let state = (self.0)(params)?;
        // SAFETY: AC-1, a call that runs.
        unsafe { core.as_ref() }.install(state);
        Ok(())
    }
}

/// `&mut self`.
pub struct ByMut<F>(pub F);
/// `&self`.
pub struct ByRef<F>(pub F);
/// `async fn(&self)`.
pub struct ByAsync<F>(pub F);
/// `async fn(&mut self)`.
pub struct ByAsyncMut<F>(pub F);

impl<A, P, T, F> Method<A, P, T> for ByMut<F>
where
    F: FnOnce(&mut A, P) -> Result<T, Failure> + Send + 'static,
{
    const ACCESS: Access = Access::Exclusive;
    #[inline(always)]
    unsafe fn invoke(self, state: *mut A, params: P, _: NonNull<ActorCore>) -> Result<T, Failure> {
        // SAFETY: AC-3, nothing else of the actor runs.
        (self.0)(unsafe { &mut *state }, params)
    }
}

impl<A, P, T, F> Method<A, P, T> for ByRef<F>
where
    F: FnOnce(&A, P) -> Result<T, Failure> + Send + 'static,
{
    const ACCESS: Access = Access::Shared;
    #[inline(always)]
    unsafe fn invoke(self, state: *mut A, params: P, _: NonNull<ActorCore>) -> Result<T, Failure> {
        // SAFETY: AC-3, only others with `&self` run.
        (self.0)(unsafe { &*state }, params)
    }
}

impl<A: 'static, P, T, F> Method<A, P, T> for ByAsync<F>
where
    F: AsyncFnOnce(&A, P) -> Result<T, Failure> + Send + 'static,
{
    const ACCESS: Access = Access::Async;
    unsafe fn invoke(self, state: *mut A, params: P, _: NonNull<ActorCore>) -> Result<T, Failure> {
        // SAFETY: AC-3, only others with `&self` run.
        let state = unsafe { &*state };
        block_on((self.0)(state, params)).map_err(Failure::runtime)?
    }
}

impl<A: 'static, P, T, F> Method<A, P, T> for ByAsyncMut<F>
where
    F: AsyncFnOnce(&mut A, P) -> Result<T, Failure> + Send + 'static,
{
    const ACCESS: Access = Access::Exclusive;
    unsafe fn invoke(self, state: *mut A, params: P, _: NonNull<ActorCore>) -> Result<T, Failure> {
        // SAFETY: AC-3, nothing else of the actor runs.
        let state = unsafe { &mut *state };
        block_on((self.0)(state, params)).map_err(Failure::runtime)?
    }
}
