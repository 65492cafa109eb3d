//! Mermaid: a flowchart.

use super::{Channel, Drawing, DrawnNode, Role, cut, fill_of};
use std::fmt::Write;

/// Longest line of a label, in columns.
const MOST_COLUMNS: usize = 60;

/// A text inside quotes: whatever means something to Mermaid, Markdown or HTML is an entity.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("<br/>"),
            '"' => escaped.push_str("#quot;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '&' => escaped.push_str("#amp;"),
            '#' | '`' | '*' | '_' | '\\' | ';' | '|' | '[' | ']' | '{' | '}' | '~' => {
                let _written = write!(escaped, "#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn label(node: &DrawnNode) -> String {
    let title = cut(&node.title, MOST_COLUMNS);
    escaped(&match node.note.is_empty() {
        true => title,
        false => format!("{title}\n{}", cut(&node.note, MOST_COLUMNS)),
    })
}

/// The drawing as Mermaid.
pub(super) fn render(drawing: &Drawing) -> String {
    let mut out = String::from("flowchart TD\n");
    for (at, node) in drawing.nodes.iter().enumerate() {
        let label = label(node);
        let _written = match node.role {
            Role::Input => writeln!(out, "  n{at}[\"{label}\"]:::input"),
            Role::Constant => writeln!(out, "  n{at}>\"{label}\"]:::constant"),
            Role::Method(actor) => writeln!(out, "  n{at}([\"{label}\"]):::actor{actor}"),
            Role::Task => writeln!(out, "  n{at}([\"{label}\"]):::task"),
            Role::Output => writeln!(out, "  n{at}[\"{label}\"]:::output"),
        };
    }
    for edge in &drawing.edges {
        let arrow = match edge.channel {
            Some(Channel::Ring | Channel::SharedMemory) => "-.->",
            Some(Channel::CallSlot | Channel::SharedCallSlot | Channel::Synchronous) => "==>",
            Some(Channel::LocalSlot) | None => "-->",
        };
        let label = escaped(&cut(&edge.label(), MOST_COLUMNS));
        let _written = match label.is_empty() {
            true => writeln!(out, "  n{} {arrow} n{}", edge.from, edge.to),
            false => writeln!(out, "  n{} {arrow}|\"{label}\"| n{}", edge.from, edge.to),
        };
    }
    out.push_str("  classDef input fill:#cfe2f3,stroke:#333,color:#000\n");
    out.push_str("  classDef constant fill:#eeeeee,stroke:#333,color:#000\n");
    out.push_str("  classDef task fill:#ffffff,stroke:#333,color:#000\n");
    out.push_str("  classDef output fill:#fff2cc,stroke:#333,color:#000\n");
    for actor in 0..drawing.actors.len() {
        let fill = fill_of(actor);
        let _written = writeln!(
            out,
            "  classDef actor{actor} fill:{fill},stroke:#333,color:#000"
        );
    }
    out
}
