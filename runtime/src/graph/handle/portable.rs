//! Inputs and outputs of graphs whose handles can be sent to other processes.

use super::coded::{Erased, ValueFns};
use super::inlet::{FarArrivals, Inlet, value_of};
use crate::error::Result;
use crate::graph::build::Node;
use crate::graph::core::Core;
use crate::graph::driver::Output;
use crate::graph::inputs::InputNodes;
use crate::graph::outputs::{OutputBox, OutputNodes};
use crate::graph::reference::GraphRef;
use crate::graph::slot::GraphValue;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Inputs whose values can be sent to another process.
#[diagnostic::on_unimplemented(
    message = "the inputs `{Self}` of a graph cannot be sent to another process",
    note = "values that a handle sends go through serde: derive `Serialize` and `Deserialize`"
)]
pub trait PortableInputs: InputNodes<Values: crate::Value> {}
impl<I: InputNodes<Values: crate::Value>> PortableInputs for I {}

/// A result of a run.
#[doc(hidden)]
pub struct Given(pub(crate) GivenKind);

pub(crate) enum GivenKind {
    Here(Result<Erased>),
    Later(Pin<Box<dyn Future<Output = Result<Erased>> + Send>>),
}

/// The outputs of a handle in another process while they are put together.
#[doc(hidden)]
pub struct FarOuts {
    pub(crate) core: Arc<Core>,
    pub(crate) count: usize,
    pub(crate) inlets: Vec<Arc<Inlet>>,
}

impl FarOuts {
    fn next<T: GraphValue>(&mut self) -> OutputBox<T> {
        let inlet = Arc::new(Inlet::new(self.core.clone()));
        self.inlets.push(inlet.clone());
        let arrivals = Box::new(FarArrivals::new(inlet, value_of::<T>));
        OutputBox(Output::new(self.core.clone(), arrivals))
    }
}

/// Outputs whose values can be sent to another process.
#[diagnostic::on_unimplemented(
    message = "the outputs `{Self}` of a graph cannot be sent to another process",
    note = "values that a handle gets go through serde: derive `Serialize` and `Deserialize`"
)]
pub trait PortableOutputs: OutputNodes {
    /// How the values of the output at `at` travel.
    #[doc(hidden)]
    fn value_fns(at: u32) -> Option<ValueFns>;
    /// Whether all results of a run are there.
    #[doc(hidden)]
    fn are_ready(refs: &Self::GraphRefs) -> bool;
    /// The results of a run, one after the other.
    #[doc(hidden)]
    fn give(refs: Self::GraphRefs, each: &mut dyn FnMut(Given));
    #[doc(hidden)]
    fn far(outs: &mut FarOuts) -> Self::Outs;
}

fn given<T: GraphValue>(result: GraphRef<T>) -> Given {
    let erased = |value: T| Arc::new(value) as Erased;
    Given(match result.is_ready() {
        true => GivenKind::Here(result.take().map(erased)),
        false => GivenKind::Later(Box::pin(async move { result.await.map(erased) })),
    })
}

impl<T: GraphValue + crate::Value> PortableOutputs for Node<T> {
    fn value_fns(at: u32) -> Option<ValueFns> {
        (at == 0).then(ValueFns::of::<T>)
    }
    fn are_ready(result: &GraphRef<T>) -> bool {
        result.is_ready()
    }
    fn give(result: GraphRef<T>, each: &mut dyn FnMut(Given)) {
        each(given(result));
    }
    fn far(outs: &mut FarOuts) -> OutputBox<T> {
        outs.next()
    }
}

macro_rules! outputs {
    ($($name:ident $at:tt)*) => {
        impl<$($name: GraphValue + crate::Value),*> PortableOutputs for ($(Node<$name>,)*) {
            fn value_fns(at: u32) -> Option<ValueFns> {
                [$(ValueFns::of::<$name>()),*].get(at as usize).copied()
            }
            fn are_ready(refs: &Self::GraphRefs) -> bool {
                true $(&& refs.$at.is_ready())*
            }
            fn give(refs: Self::GraphRefs, each: &mut dyn FnMut(Given)) {
                $(each(given(refs.$at));)*
            }
            fn far(outs: &mut FarOuts) -> Self::Outs {
                ($(outs.next::<$name>(),)*)
            }
        }
    };
}

outputs!(A 0);
outputs!(A 0 B 1);
outputs!(A 0 B 1 C 2);
outputs!(A 0 B 1 C 2 D 3);
outputs!(A 0 B 1 C 2 D 3 E 4);
outputs!(A 0 B 1 C 2 D 3 E 4 F 5);
outputs!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
outputs!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);

impl<T: GraphValue + crate::Value> PortableOutputs for Vec<Node<T>> {
    fn value_fns(_: u32) -> Option<ValueFns> {
        Some(ValueFns::of::<T>())
    }
    fn are_ready(refs: &Vec<GraphRef<T>>) -> bool {
        refs.iter().all(GraphRef::is_ready)
    }
    fn give(refs: Vec<GraphRef<T>>, each: &mut dyn FnMut(Given)) {
        refs.into_iter().for_each(|result| each(given(result)));
    }
    fn far(outs: &mut FarOuts) -> Self::Outs {
        (0..outs.count).map(|_| outs.next()).collect()
    }
}

impl<T: GraphValue + crate::Value, const N: usize> PortableOutputs for [Node<T>; N] {
    fn value_fns(at: u32) -> Option<ValueFns> {
        ((at as usize) < N).then(ValueFns::of::<T>)
    }
    fn are_ready(refs: &[GraphRef<T>; N]) -> bool {
        refs.iter().all(GraphRef::is_ready)
    }
    fn give(refs: [GraphRef<T>; N], each: &mut dyn FnMut(Given)) {
        refs.into_iter().for_each(|result| each(given(result)));
    }
    fn far(outs: &mut FarOuts) -> Self::Outs {
        std::array::from_fn(|_| outs.next())
    }
}
