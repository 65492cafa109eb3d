//! Calls that only another process can run: streams of an actor that lives there.
#![allow(unsafe_code, reason = "writes fresh cells")]

use super::call::{Call, Method};
use super::core::{Access, ActorCore};
use super::handle::Actor;
use super::stalled;
use crate::object::reference::Ref;
use crate::task::args::Params;
use crate::task::failure::Failure;
use crate::task::meta::Function;
use crate::task::raw::{ActorWord, Extra, Header};
use crate::worker::stream::{Producer, Sink};
use std::ptr::NonNull;
use std::sync::Arc;

/// The code of a call that another process runs.
struct Elsewhere;

impl<A: 'static, P> Method<A, P, ()> for Elsewhere {
    const ACCESS: Access = Access::Exclusive;
    unsafe fn invoke(self, _: *mut A, _: P, _: NonNull<ActorCore>) -> Result<(), Failure> {
        unreachable!("its actor lives in another process")
    }
}

/// Calls a streaming method of an actor in another process, whose items go into `sink`.
pub(crate) fn call_elsewhere<M, A, P>(
    actor: &Actor<A>,
    params: P,
    sink: Box<dyn Sink>,
    way: Arc<Producer>,
) -> Ref<()>
where
    M: Function,
    A: 'static + super::handle::ActorType,
    P: Params,
{
    let core = actor.core();
    let vtable = &Call::<M, A, P, (), Elsewhere>::VTABLE;
    let mut cell = Header::alloc(vtable.layout);
    // SAFETY: fresh memory of the vtable's layout; the one handle goes to the ref. Nobody else
    // reaches the arguments yet.
    let (result, waits) = unsafe {
        let home = core.as_ref().home;
        cell.write(Header::pending(vtable, 1, ActorWord::new(core, home)));
        cell.as_mut().extra = Box::into_raw(Box::new(Extra {
            stream: Some((sink, way)),
            ..Extra::default()
        }));
        let result = Ref::from_cell(cell);
        Header::args::<(P, Elsewhere)>(cell).write((params, Elsewhere));
        let params = &(*Header::args::<(P, Elsewhere)>(cell)).0;
        (result, crate::task::dependencies::of::<P>(params))
    };
    let serve = Call::<M, A, P, (), Elsewhere>::serve_from_cell;
    stalled::send(actor, cell, waits, serve);
    result
}
