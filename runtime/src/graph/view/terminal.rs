//! Text for a terminal: a line for each node, layer by layer, with what is still to be read of each node
//! as a lane on the left, in the manner of the history of a version control system.
//!
//! ```text
//! layer 0  ◆    #0 input 0      u64
//!       1  ├─●  #1 Worker::a    "one", bind 0   ◂ #0 ring
//!       2  ├─┴  ...
//! ```
//!
//! A lane begins below its node and ends at its last reader, so a graph of any size takes as many lines
//! as it has nodes. There is a limit to how many lanes are drawn; what is read stands behind each node
//! in words as well.

use super::layers::layers;
use super::{Channel, Drawing, Role, columns, cut};
use std::fmt::Write;

/// Lanes that are drawn.
const MOST_LANES: usize = 24;

/// Longest title, in columns.
const MOST_TITLE: usize = 48;

/// Longest note, in columns.
const MOST_NOTE: usize = 48;

/// Nodes that are named behind a reader.
const MOST_READS: usize = 12;

/// Colours of actors, as codes of a terminal; beyond their number they repeat.
const COLORS: [u8; 12] = [36, 33, 35, 32, 34, 31, 96, 93, 95, 92, 94, 91];

fn glyph(role: Role) -> char {
    match role {
        Role::Input => '◆',
        Role::Constant => '◇',
        Role::Method(_) => '●',
        Role::Task => '○',
        Role::Output => '■',
    }
}

/// What is still to be read, by lane.
struct Lanes {
    /// Of each lane: its node, and how many are still to read it.
    open: Vec<Option<(usize, usize)>>,
}

impl Lanes {
    fn lane_of(&self, node: usize) -> Option<usize> {
        let is_of = |lane: &Option<(usize, usize)>| lane.is_some_and(|(of, _)| of == node);
        self.open.iter().position(is_of)
    }

    /// The line of `node`, which reads `reads` and is read `readers` times: its lanes as text, and where
    /// its own mark is.
    fn line(
        &mut self,
        mark: char,
        reads: &[usize],
        node: usize,
        readers: usize,
    ) -> (String, usize) {
        let mut tapped: Vec<(usize, bool)> = Vec::new();
        for read in reads {
            let Some(lane) = self.lane_of(*read) else {
                continue;
            };
            let mut ends = true;
            if let Some((_, left)) = &mut self.open[lane] {
                *left -= 1;
                ends = *left == 0;
            }
            tapped.push((lane, ends));
        }
        // Straight on below what ends here, else in the first lane that is free.
        let below = tapped.iter().filter(|(_, ends)| *ends);
        let free = || self.open.iter().position(Option::is_none);
        let own = below.map(|(lane, _)| *lane).min();
        let own = own.or_else(free).unwrap_or(self.open.len());
        let first = tapped.iter().map(|(lane, _)| *lane).fold(own, usize::min);
        let last = tapped.iter().map(|(lane, _)| *lane).fold(own, usize::max);
        let mut line = String::new();
        for lane in 0..self.open.len().max(own + 1) {
            let tap = tapped.iter().find(|(at, _)| *at == lane);
            let is_open = self.open.get(lane).is_some_and(Option::is_some);
            let is_inside = first < lane && lane < last;
            line.push(match tap {
                _ if lane == own => mark,
                Some((_, ends)) => corner(lane > first, lane < last, *ends),
                None if is_open => '│',
                None if is_inside => '─',
                None => ' ',
            });
            line.push(if first <= lane && lane < last {
                '─'
            } else {
                ' '
            });
        }
        for (lane, ends) in tapped {
            if ends {
                self.open[lane] = None;
            }
        }
        if readers > 0 && own < MOST_LANES {
            if own == self.open.len() {
                self.open.push(None);
            }
            self.open[own] = Some((node, readers));
        }
        while self.open.last().is_some_and(Option::is_none) {
            self.open.pop();
        }
        (line.trim_end().to_owned(), own)
    }
}

/// A lane that is read: whether the line goes on to its left and right, and whether the lane ends.
fn corner(left: bool, right: bool, ends: bool) -> char {
    match (left, right, ends) {
        (true, true, false) => '┼',
        (true, true, true) => '┴',
        (true, false, false) => '┤',
        (true, false, true) => '┘',
        (false, _, false) => '├',
        (false, _, true) => '└',
    }
}

struct Line {
    layer: usize,
    lanes: String,
    /// Where the mark is among the lanes.
    own: usize,
    title: String,
    note: String,
    reads: String,
    role: Role,
}

/// The drawing as lines of text.
pub(super) fn render(drawing: &Drawing, colors: bool) -> String {
    let lines = lines(drawing);
    let widest = |of: fn(&Line) -> &str| lines.iter().map(|line| columns(of(line))).max();
    let lanes = widest(|line| &line.lanes).unwrap_or(0);
    let title = widest(|line| &line.title).unwrap_or(0);
    let note = widest(|line| &line.note).unwrap_or(0);
    let mut out = String::new();
    let mut layer = None;
    for line in &lines {
        let head = match layer == Some(line.layer) {
            true => String::new(),
            false if line.layer == 0 => "layer 0".into(),
            false => line.layer.to_string(),
        };
        layer = Some(line.layer);
        let pad = |text: &str, width: usize| " ".repeat(width.saturating_sub(columns(text)));
        let text = format!(
            "{head:>7}  {}{}  {}{}  {}{}  {}",
            paint_mark(line, colors),
            pad(&line.lanes, lanes),
            paint(&line.title, line.role, colors),
            pad(&line.title, title),
            line.note,
            pad(&line.note, note),
            line.reads,
        );
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

fn lines(drawing: &Drawing) -> Vec<Line> {
    let layer = layers(drawing.nodes.len(), &drawing.pairs());
    let mut order: Vec<usize> = (0..drawing.nodes.len()).collect();
    order.sort_by_key(|at| layer[*at]);
    let mut into: Vec<Vec<usize>> = vec![Vec::new(); drawing.nodes.len()];
    let mut readers = vec![0; drawing.nodes.len()];
    for (at, edge) in drawing.edges.iter().enumerate() {
        into[edge.to].push(at);
        readers[edge.from] += 1;
    }
    let mut lanes = Lanes { open: Vec::new() };
    let line = |at: &usize| {
        let node = &drawing.nodes[*at];
        let reads: Vec<usize> = into[*at]
            .iter()
            .map(|edge| drawing.edges[*edge].from)
            .collect();
        let (text, own) = lanes.line(glyph(node.role), &reads, *at, readers[*at]);
        Line {
            layer: layer[*at],
            lanes: text,
            own,
            title: cut(&node.title, MOST_TITLE),
            note: cut(&node.note, MOST_NOTE),
            reads: words(drawing, &into[*at]),
            role: node.role,
        }
    };
    order.iter().map(line).collect()
}

/// What a node reads, in words: nodes that come by the same channel together.
fn words(drawing: &Drawing, edges: &[usize]) -> String {
    let mut groups: Vec<(Option<Channel>, &str, Vec<String>)> = Vec::new();
    for edge in edges.iter().take(MOST_READS) {
        let edge = &drawing.edges[*edge];
        let title = &drawing.nodes[edge.from].title;
        let name = match title.starts_with('#') {
            true => title.split(' ').next().unwrap_or(title).to_owned(),
            false => cut(title, MOST_TITLE),
        };
        let is_same = |group: &&mut (Option<Channel>, &str, Vec<String>)| {
            group.0 == edge.channel && group.1 == edge.details
        };
        match groups.iter_mut().find(is_same) {
            Some((_, _, names)) => names.push(name),
            None => groups.push((edge.channel, &edge.details, vec![name])),
        }
    }
    let mut words = String::new();
    for (channel, details, names) in groups {
        words.push_str(if words.is_empty() { "◂ " } else { "; " });
        words.push_str(&names.join(" "));
        if let Some(channel) = channel {
            let _written = write!(words, " {}", channel.name());
        }
        if !details.is_empty() {
            let _written = write!(words, " ({})", cut(details, MOST_NOTE));
        }
    }
    if edges.len() > MOST_READS {
        let _written = write!(words, "; and {} more", edges.len() - MOST_READS);
    }
    words
}

/// The text in the colour of its actor, if colours are wanted.
fn paint(text: &str, role: Role, colors: bool) -> String {
    match role {
        Role::Method(actor) if colors => {
            format!("\x1b[{}m{text}\x1b[0m", COLORS[actor % COLORS.len()])
        }
        _ => text.to_owned(),
    }
}

/// The lanes with the mark in the colour of its actor.
fn paint_mark(line: &Line, colors: bool) -> String {
    let mark = |(at, c): (usize, char)| match at == 2 * line.own {
        true => paint(&c.to_string(), line.role, colors),
        false => c.to_string(),
    };
    line.lanes.chars().enumerate().map(mark).collect()
}
