//! `Graph::compile`: checks, plan, channels, and the parts on their schedulers.

use super::build::{Action, Graph, NodeDef};
use super::compiled::CompiledGraph;
use super::core::Core;
use super::inputs::InputNodes;
use super::layout::Layout;
use super::options::{CompileOptions, limits_of};
use super::outputs::OutputNodes;
use super::plan::{check, lay_out, reserve};
use super::record::control::{Driven, watched};
use super::record::watch::watched_submit;
use super::registry::shut_down;
use super::relay;
use super::remote::draft::peers;
use super::remote::wiring::Wiring;
use super::rendezvous::Pairs;
use super::schedule::Shape;
use super::transport;
use crate::actor::address::HeldCore;
use crate::error::Result;
use crate::node::Node as HostNode;
use crate::worker::remote::FIRST_HOME;
use std::cell::UnsafeCell;
use std::collections::HashSet;
use std::mem::ManuallyDrop;

impl<I: InputNodes, O: OutputNodes> Graph<I, O> {
    /// Puts channels and buffers in place, with the configuration's limits.
    ///
    /// # Errors
    /// [`Error::Graph`](crate::Error::Graph) names the node that cannot run and what to do; [`Error::NotRunning`](crate::Error::NotRunning);
    /// [`Error::ShutDown`](crate::Error::ShutDown); the death of an actor of the graph.
    pub fn compile(self) -> Result<CompiledGraph<I, O>> {
        self.compile_with(CompileOptions::default())
    }

    /// As [`compile`](Self::compile), with limits of its own.
    ///
    /// # Errors
    /// As [`compile`](Self::compile), and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a limit out of range.
    pub fn compile_with(self, options: CompileOptions) -> Result<CompiledGraph<I, O>> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let host = HostNode::entered("compiling a graph")?;
        let mut outputs = Vec::new();
        self.outputs.visit(&mut |id| outputs.push(id.0.index));
        check(&self.nodes, &outputs, &host)?;
        transport::check(&self.nodes, &outputs)?;
        let mut limits = limits_of(&options, &host, outputs.len())?;
        let overlap = options
            .overlap_communication
            .unwrap_or(host.settings.graph_overlap_communication);
        let pairs = Pairs::new(&self.nodes, overlap);
        pairs.check(&self.nodes)?;
        let plan = lay_out(&self.nodes, &pairs, &host);
        if relay::is_needed(&self.nodes, &host) {
            let drafted = (plan, pairs, outputs);
            return relay::client::compile(self, &host, &options, &limits, drafted);
        }
        reserve(&self.nodes, &host)?;
        let tokens = pairs.tokens(&plan);
        let segments = plan.segment.iter().filter(|at| **at != usize::MAX);
        limits.segments = segments.max().map_or(0, |last| last + 1);
        let mut homes: Vec<usize> = plan
            .scheduler
            .iter()
            .copied()
            .filter(|at| *at < FIRST_HOME)
            .collect();
        let peers = peers(&self.nodes);
        if !peers.is_empty() {
            // It wakes those who wait for results that others send.
            homes.push(host.schedulers().len() - 1);
        }
        homes.sort_unstable();
        homes.dedup();
        let core = Core::new(
            host.random.next_u64(),
            host.clone(),
            &limits,
            actors_of(&self.nodes),
            homes,
            peers,
        );
        let wiring = Wiring::new(
            &self.nodes,
            &plan,
            &outputs,
            &tokens,
            &core,
            limits.max_inflight,
            O::IS_ONE,
        )?;
        let hooks = options.record.as_ref().map(|record| {
            let now_ns = host.clock.now_ns();
            watched(record, (&self.nodes, &plan, &outputs), now_ns)
        });
        let hooks = hooks.transpose()?;
        let mut layout = Layout::new(
            &self.nodes,
            &plan,
            &outputs,
            core.clone(),
            limits.max_inflight,
            wiring,
        );
        layout.watch(hooks.as_ref());
        let (submit, outs) = layout.connect::<I, O>(&self.outputs);
        let submit = match &hooks {
            Some(hooks) => watched_submit(hooks, &host, submit),
            None => submit,
        };
        let is_call_slot = layout.is_call_slot();
        layout.signal(&tokens);
        layout.install(&host);
        if host.graphs.add(&core) {
            // An actor may have died meanwhile.
            core.check_actors();
            core.check_parts();
        } else {
            core.end(shut_down());
            return Err(shut_down());
        }
        let teardown = options
            .teardown_timeout
            .unwrap_or(host.settings.graph_teardown_timeout);
        Ok(CompiledGraph {
            core,
            fan_out: submit.fan_out(),
            submit: UnsafeCell::new(submit),
            outs: ManuallyDrop::new(outs),
            teardown_timeout: teardown.limit(),
            shape: Shape {
                nodes: self.nodes,
                plan,
                outputs,
                pairs,
                is_call_slot,
            },
            hooks: hooks.map(Driven),
        })
    }
}

/// The actors of these nodes, each once.
pub(super) fn actors_of(nodes: &[NodeDef]) -> Vec<HeldCore> {
    let mut seen = HashSet::new();
    let mut actors = Vec::new();
    for def in nodes {
        if let Action::Call {
            actor: Some(actor), ..
        } = &def.action
            && seen.insert(actor.core.get())
        {
            actors.extend(actor.core.try_hold());
        }
    }
    actors
}
