//! A schedule as a table: for each actor and task its operations, one a line, and then the groups.

use super::schedule::{ChannelKind, EdgeEnd, GroupKind, Operation, OperationKind, Schedule};
use std::fmt;

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "READ",
            Self::Compute => "COMPUTE",
            Self::Write => "WRITE",
        })
    }
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Slot => "slot",
            Self::Ring => "ring",
            Self::CallSlot => "call slot",
            Self::SharedMemory => "shared memory",
        })
    }
}

impl fmt::Display for EdgeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(n) => write!(f, "input {n}"),
            Self::Step(node) => write!(f, "#{node}"),
            Self::Output(n) => write!(f, "output {n}"),
        }
    }
}

impl Operation {
    /// `<- input 0 (ring), #1 (slot)`.
    fn write_edges(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_read = self.kind == OperationKind::Read;
        for (at, edge) in self.edges.iter().enumerate() {
            f.write_str(match (at, is_read) {
                (0, true) => "<- ",
                (0, false) => "-> ",
                _ => ", ",
            })?;
            let other = if is_read { edge.from } else { edge.to };
            let how = match edge.is_synchronous {
                true => ", synchronous",
                false => "",
            };
            write!(f, "{other} ({}{how})", edge.channel)?;
        }
        Ok(())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = || self.actors.iter().flat_map(|actor| &actor.operations);
        let widths = operations().map(|operation| operation.step.chars().count());
        let width = widths.max().unwrap_or(0);
        for actor in &self.actors {
            let what = if actor.is_actor { "actor" } else { "task" };
            write!(f, "{what} {}", actor.name)?;
            match actor.scheduler {
                Some(at) => writeln!(f, ", scheduler {at}")?,
                None => writeln!(f, ", another process")?,
            }
            for (at, operation) in actor.operations.iter().enumerate() {
                let Operation { kind, step, .. } = operation;
                if operation.edges.is_empty() {
                    write!(f, "  {at:>3}  {kind:<7}  {step}")?;
                } else {
                    write!(f, "  {at:>3}  {kind:<7}  {step:<width$}  ")?;
                }
                operation.write_edges(f)?;
                if let Some(group) = operation.group {
                    write!(f, "  [group {group}]")?;
                }
                writeln!(f)?;
            }
        }
        for (at, group) in self.groups.iter().enumerate() {
            let what = match group.kind {
                GroupKind::SynchronousPair => "synchronous pair",
                GroupKind::Collective => "collective",
            };
            write!(f, "group {at}, {what}:")?;
            for (at, (kind, node)) in group.members.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                write!(f, "{comma} {kind} #{node}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
