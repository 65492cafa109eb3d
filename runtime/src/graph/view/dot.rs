//! DOT, the language of graphviz.

use super::{Channel, Drawing, DrawnNode, Role, cut, fill_of};
use std::fmt::Write;

/// Longest line of a label, in columns.
const MOST_COLUMNS: usize = 60;

/// A text between quotes. graphviz reads entities in labels, so `&` is written as one.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '&' => quoted.push_str("&amp;"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn label(node: &DrawnNode) -> String {
    let title = cut(&node.title, MOST_COLUMNS);
    match node.note.is_empty() {
        true => title,
        false => format!("{title}\n{}", cut(&node.note, MOST_COLUMNS)),
    }
}

fn look(role: Role) -> (&'static str, String) {
    match role {
        Role::Input => ("box", "#cfe2f3".into()),
        Role::Constant => ("note", "#eeeeee".into()),
        Role::Method(actor) => ("ellipse", fill_of(actor)),
        Role::Task => ("ellipse", "#ffffff".into()),
        Role::Output => ("box", "#fff2cc".into()),
    }
}

fn style(channel: Channel) -> &'static str {
    match channel {
        Channel::LocalSlot => "solid",
        Channel::Ring => "dashed",
        Channel::CallSlot | Channel::Synchronous => "bold",
        Channel::SharedMemory => "dotted",
        Channel::SharedCallSlot => "dotted,bold",
    }
}

/// The drawing as DOT.
pub(super) fn render(drawing: &Drawing) -> String {
    let mut out = String::from("digraph graph_of_calls {\n");
    out.push_str("  rankdir=TB;\n");
    out.push_str("  node [style=filled, fontname=\"sans-serif\", fontsize=11];\n");
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=9];\n");
    for (at, node) in drawing.nodes.iter().enumerate() {
        let (shape, fill) = look(node.role);
        let label = quoted(&label(node));
        let _written = writeln!(
            out,
            "  n{at} [label={label}, shape={shape}, fillcolor=\"{fill}\"];"
        );
    }
    for edge in &drawing.edges {
        let _written = write!(out, "  n{} -> n{}", edge.from, edge.to);
        let label = cut(&edge.label(), MOST_COLUMNS);
        let mut attributes = Vec::new();
        if !label.is_empty() {
            attributes.push(format!("label={}", quoted(&label)));
        }
        if let Some(channel) = edge.channel {
            attributes.push(format!("style=\"{}\"", style(channel)));
        }
        if !attributes.is_empty() {
            let _written = write!(out, " [{}]", attributes.join(", "));
        }
        out.push_str(";\n");
    }
    out.push_str("}\n");
    out
}
