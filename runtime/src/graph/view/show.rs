//! Drawings of a graph, before and after it was compiled.

use super::{Format, Placed, View, draw, write};
use crate::error::Result;
use crate::graph::build::Graph;
use crate::graph::compiled::CompiledGraph;
use crate::graph::inputs::InputNodes;
use crate::graph::outputs::OutputNodes;
use std::path::Path;

impl<I: InputNodes, O: OutputNodes> Graph<I, O> {
    /// Draws the graph as it was written: a [`Format`], or a [`View`] that says what is shown.
    ///
    /// A graph can be drawn that [`compile`](Self::compile) refuses because of what stands beside a
    /// node: an input that nobody reads, an actor that is dead.
    ///
    /// # Errors
    /// [`Error::Graph`](crate::Error::Graph) if its nodes are not all of this graph.
    pub fn visualize(&self, view: impl Into<View>) -> Result<String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let mut outputs = Vec::new();
        self.outputs.visit(&mut |id| outputs.push(id.0.index));
        let view = view.into();
        Ok(draw(&self.nodes, &outputs, None, view).render(view))
    }

    /// Draws it into a file, in the format that the file's ending names: `.dot`, `.svg`, `.mmd` or
    /// `.txt`.
    ///
    /// # Errors
    /// As [`visualize`](Self::visualize); [`Error::InvalidArgument`](crate::Error::InvalidArgument) for
    /// another ending; [`Error::System`](crate::Error::System) if the file cannot be written.
    pub fn visualize_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let format = Format::of_path(&path)?;
        write(path.as_ref(), &self.visualize(format)?)
    }
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// Draws the graph with what became of each edge: a [`Format`], or a [`View`] that says what is
    /// shown.
    pub fn visualize(&self, view: impl Into<View>) -> String {
        let view = view.into();
        let shape = &self.shape;
        let placed = Placed {
            shape,
            depth: self.core.max_inflight,
        };
        draw(&shape.nodes, &shape.outputs, Some(placed), view).render(view)
    }

    /// Draws it into a file, in the format that the file's ending names: `.dot`, `.svg`, `.mmd` or
    /// `.txt`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for another ending;
    /// [`Error::System`](crate::Error::System) if the file cannot be written.
    pub fn visualize_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let format = Format::of_path(&path)?;
        write(path.as_ref(), &self.visualize(format))
    }
}
