//! Inputs and outputs of graphs whose handles can be sent to other processes.

use super::coded::{Erased, ValueFns};
use super::inlet::{FarArrivals, Inlet};
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

/// A result on its way.
#[doc(hidden)]
pub struct Pending(pub(crate) Pin<Box<dyn Future<Output = Result<Erased>> + Send>>);

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
        let arrivals = Box::new(FarArrivals::<T>::new(inlet));
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
    /// The results of a run, each to be awaited.
    #[doc(hidden)]
    fn pending(refs: Self::GraphRefs, each: &mut dyn FnMut(Pending));
    #[doc(hidden)]
    fn far(outs: &mut FarOuts) -> Self::Outs;
}

fn pending<T: GraphValue>(result: GraphRef<T>) -> Pending {
    Pending(Box::pin(async move {
        let value: Erased = Arc::new(result.await?);
        Ok(value)
    }))
}

impl<T: GraphValue + crate::Value> PortableOutputs for Node<T> {
    fn value_fns(at: u32) -> Option<ValueFns> {
        (at == 0).then(ValueFns::of::<T>)
    }
    fn pending(result: GraphRef<T>, each: &mut dyn FnMut(Pending)) {
        each(pending(result));
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
            fn pending(refs: Self::GraphRefs, each: &mut dyn FnMut(Pending)) {
                $(each(pending(refs.$at));)*
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
    fn pending(refs: Vec<GraphRef<T>>, each: &mut dyn FnMut(Pending)) {
        refs.into_iter().for_each(|result| each(pending(result)));
    }
    fn far(outs: &mut FarOuts) -> Self::Outs {
        (0..outs.count).map(|_| outs.next()).collect()
    }
}

impl<T: GraphValue + crate::Value, const N: usize> PortableOutputs for [Node<T>; N] {
    fn value_fns(at: u32) -> Option<ValueFns> {
        ((at as usize) < N).then(ValueFns::of::<T>)
    }
    fn pending(refs: [GraphRef<T>; N], each: &mut dyn FnMut(Pending)) {
        refs.into_iter().for_each(|result| each(pending(result)));
    }
    fn far(outs: &mut FarOuts) -> Self::Outs {
        std::array::from_fn(|_| outs.next())
    }
}
