//! Drawings of graphs: DOT, SVG, Mermaid, and text for a terminal.
//!
//! A `Drawing` is what all formats have in common: what stands where, and what joins it. It is made of
//! a graph's nodes, before or after it was compiled (`facts`); only then is known what each edge is.
//!
//! | file | holds |
//! |---|---|
//! | `facts` | a drawing of a graph's nodes, and what became of each edge |
//! | `show` | what graphs offer |
//! | `layers` | which layer each node is in, in which order, and where |
//! | `dot`, `svg`, `mermaid`, `terminal` | the formats |
//!
//! - VW-1 everything that comes from the program (names of functions, actors and types, constants) is
//!   text: each format escapes it, and cuts what is too long.
//! - VW-2 the same graph gives the same drawing, and no step of making one takes time that is quadratic
//!   in nodes and edges.
//!
//! ```
//! # use maser::prelude::*;
//! use maser::view::{Format, View};
//!
//! # struct Echo;
//! # #[maser::actor] impl Echo { fn new() -> Self { Echo } fn echo(&mut self, m: String) -> String { m } }
//! # fn main() -> maser::Result<()> {
//! # let _maser = maser::Config::new().num_cpus(1).init()?;
//! let echo = Echo::options().name("echo").remote();
//! let graph = Graph::new(|msg: Node<String>| echo.echo().bind(msg));
//! assert!(graph.visualize(Format::Mermaid)?.starts_with("flowchart TD"));
//! let compiled = graph.compile()?;
//! println!("{}", compiled.visualize(View::new(Format::Terminal).for_stdout()));
//! # Ok(()) }
//! ```

mod dot;
mod facts;
mod layers;
mod mermaid;
mod show;
mod svg;
mod terminal;
#[cfg(test)]
mod tests;

pub(crate) use facts::{Placed, draw};

use crate::error::{Error, Result};
use std::io::IsTerminal;
use std::path::Path;

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The language of graphviz; `.dot`.
    Dot,
    /// A picture, laid out here; `.svg`.
    Svg,
    /// A flowchart for Markdown that understands Mermaid; `.mmd`.
    Mermaid,
    /// Lines of text, a line for each node; `.txt`.
    Terminal,
}

impl Format {
    /// The format that the name of a file asks for.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for any other ending; it says which there are, and how graphviz makes
    /// the others.
    pub fn of_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let ending = path.extension().map(|ending| ending.to_string_lossy());
        let ending = ending.as_deref().unwrap_or_default().to_lowercase();
        let known = "end its name in .dot, .svg, .mmd or .txt";
        let remedy = match ending.as_str() {
            "dot" => return Ok(Self::Dot),
            "svg" => return Ok(Self::Svg),
            "mmd" => return Ok(Self::Mermaid),
            "txt" => return Ok(Self::Terminal),
            "png" | "pdf" | "jpg" | "jpeg" | "gif" | "ps" | "webp" => format!(
                "{known}; graphviz makes a {ending} of a .dot: dot -T{ending} graph.dot -o graph.{ending}"
            ),
            _ => known.to_owned(),
        };
        Err(Error::InvalidArgument {
            argument: "path",
            problem: format!("no drawing is made for {path:?}"),
            remedy,
        })
    }
}

/// What a drawing shows. A [`Format`] alone will do where one is asked for.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct View {
    format: Format,
    channel_details: bool,
    constants: bool,
    colors: bool,
}

impl View {
    /// Nodes and edges, without details.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            channel_details: false,
            constants: false,
            colors: false,
        }
    }

    /// Whether each edge says the type of its values and how many runs it holds, and each step where it
    /// runs.
    pub fn channel_details(mut self, shown: bool) -> Self {
        self.channel_details = shown;
        self
    }

    /// Whether arguments that are the same in every run are nodes too.
    pub fn constants(mut self, shown: bool) -> Self {
        self.constants = shown;
        self
    }

    /// Whether [`Format::Terminal`] has the codes that make a terminal show colours. The other formats
    /// always have them.
    pub fn colors(mut self, shown: bool) -> Self {
        self.colors = shown;
        self
    }

    /// [`colors`](Self::colors) if standard output is a terminal and `NO_COLOR` is not set.
    pub fn for_stdout(self) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        self.colors(!refused && std::io::stdout().is_terminal())
    }
}

impl From<Format> for View {
    fn from(format: Format) -> Self {
        Self::new(format)
    }
}

/// A graph as all formats see it. Edges lead from lower to higher positions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawing {
    pub(crate) nodes: Vec<DrawnNode>,
    pub(crate) edges: Vec<DrawnEdge>,
    /// The actors of the nodes, each by its name.
    pub(crate) actors: Vec<String>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Input,
    Constant,
    /// Of the actor at this position.
    Method(usize),
    Task,
    Output,
}

#[derive(Clone, Debug)]
pub(crate) struct DrawnNode {
    pub(crate) role: Role,
    /// `#3 Hasher::hash`.
    pub(crate) title: String,
    /// What else there is to say; may be empty.
    pub(crate) note: String,
}

/// All that one node reads of another.
#[derive(Clone, Debug)]
pub(crate) struct DrawnEdge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Known once the graph is compiled.
    pub(crate) channel: Option<Channel>,
    /// Type of the values and depth of the channel; empty unless it was asked for.
    pub(crate) details: String,
}

/// How values get along an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    LocalSlot,
    Ring,
    CallSlot,
    SharedMemory,
    SharedCallSlot,
    /// The writer goes on when the reader has the value.
    Synchronous,
}

impl Channel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LocalSlot => "local slot",
            Self::Ring => "ring",
            Self::CallSlot => "call slot",
            Self::SharedMemory => "shared memory",
            Self::SharedCallSlot => "shared call slot",
            Self::Synchronous => "synchronous",
        }
    }
}

impl DrawnEdge {
    /// What is written beside it; may be empty.
    pub(crate) fn label(&self) -> String {
        let channel = self.channel.map_or("", Channel::name);
        match (channel.is_empty(), self.details.is_empty()) {
            (_, true) => channel.to_owned(),
            (true, false) => self.details.clone(),
            (false, false) => format!("{channel}, {}", self.details),
        }
    }
}

impl Drawing {
    /// The drawing as text.
    pub(crate) fn render(&self, view: View) -> String {
        match view.format {
            Format::Dot => dot::render(self),
            Format::Svg => svg::render(self),
            Format::Mermaid => mermaid::render(self),
            Format::Terminal => terminal::render(self, view.colors),
        }
    }

    /// The channels that it has, each once.
    fn channels(&self) -> Vec<Channel> {
        let mut channels: Vec<Channel> =
            self.edges.iter().filter_map(|edge| edge.channel).collect();
        channels.sort_unstable();
        channels.dedup();
        channels
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        self.edges.iter().map(|edge| (edge.from, edge.to)).collect()
    }
}

/// Writes a drawing to a file.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| Error::System {
        what: format!("cannot write the drawing of a graph to {path:?}"),
        reason: format!("{error}; name a file in a directory that exists and may be written"),
    })
}

/// Columns that a text takes in a font of equal widths, roughly: wide scripts take two.
fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The text in at most `most` columns, with control characters replaced.
fn cut(text: &str, most: usize) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    if columns(text) <= most {
        return text.chars().map(clean).collect();
    }
    let mut left = most.saturating_sub(1);
    let mut short = String::new();
    for c in text.chars().map(clean) {
        match left.checked_sub(columns_of(c)) {
            Some(less) => left = less,
            None => break,
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// The fill of the actor at this position: hues that are far apart for neighbours, and all different.
fn fill_of(actor: usize) -> String {
    /// The golden angle, in degrees.
    const APART: f64 = 137.507_764;
    let hue = (actor as f64 * APART + 200.0) % 360.0;
    // Light enough for black text on it.
    let (saturation, lightness) = (0.65, 0.80);
    let chroma = (1.0_f64 - (2.0_f64 * lightness - 1.0).abs()) * saturation;
    let part = |at: f64| {
        let k = (at + hue / 30.0) % 12.0;
        let level = lightness - chroma / 2.0 * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (level * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", part(0.0), part(8.0), part(4.0))
}
