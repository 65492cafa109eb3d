//! SVG: a picture with its own layout, boxes in layers from top to bottom.

use super::layers::{Layered, lay_out, layers};
use super::{Channel, Drawing, DrawnNode, Role, columns, cut, fill_of};
use std::fmt::Write;

/// Longest line of a label, in columns.
const MOST_COLUMNS: usize = 36;

// Pixels. A column of the font below is about 0.6 of its size wide.
const COLUMN: f64 = 7.3;
const SMALL_COLUMN: f64 = 5.6;
const BOX_HEIGHT: f64 = 44.0;
const BOX_GAP: f64 = 28.0;
const LAYER_GAP: f64 = 72.0;
const MARGIN: f64 = 20.0;
const LEGEND_LINE: f64 = 18.0;

/// Labels beside arrows that come into one box are put at so many heights in turn.
const LABEL_HEIGHTS: usize = 3;

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            // No XML may have these.
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn dashes(channel: Channel) -> &'static str {
    match channel {
        Channel::LocalSlot => "",
        Channel::Ring => " stroke-dasharray=\"7 4\"",
        Channel::CallSlot => " stroke-width=\"2.5\"",
        Channel::SharedMemory => " stroke-dasharray=\"2 4\"",
        Channel::Synchronous => " stroke-width=\"4\"",
        Channel::SharedCallSlot => " stroke-width=\"2.5\" stroke-dasharray=\"2 4\"",
    }
}

fn width_of(node: &DrawnNode) -> f64 {
    let title = columns(&cut(&node.title, MOST_COLUMNS)) as f64 * COLUMN;
    let note = columns(&cut(&node.note, MOST_COLUMNS)) as f64 * SMALL_COLUMN;
    (title.max(note) + 24.0).max(80.0)
}

struct Picture<'a> {
    drawing: &'a Drawing,
    layered: Layered,
    out: String,
}

/// The drawing as SVG.
pub(super) fn render(drawing: &Drawing) -> String {
    let pairs = drawing.pairs();
    let layer = layers(drawing.nodes.len(), &pairs);
    let widths: Vec<f64> = drawing.nodes.iter().map(width_of).collect();
    let mut picture = Picture {
        drawing,
        layered: lay_out(&layer, &widths, &pairs, BOX_GAP),
        out: String::new(),
    };
    picture.render();
    picture.out
}

impl Picture<'_> {
    fn top(&self, place: usize) -> f64 {
        MARGIN + self.layered.places[place].layer as f64 * (BOX_HEIGHT + LAYER_GAP)
    }

    fn x(&self, place: usize) -> f64 {
        MARGIN + self.layered.places[place].x
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn render(&mut self) {
        let drawing = self.drawing;
        let channels = drawing.channels();
        let rows = self.layered.rows.len() as f64;
        let bottom = MARGIN + rows * (BOX_HEIGHT + LAYER_GAP) - LAYER_GAP + MARGIN;
        let legend = channels.len() as f64 * LEGEND_LINE;
        let (width, height) = (
            self.layered.width + 2.0 * MARGIN,
            bottom.max(MARGIN) + legend,
        );
        let width = width.max(220.0);
        self.line(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, monospace\" \
             font-size=\"12\">"
        ));
        self.line("<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>");
        self.line("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
        let ports = self.ports();
        for (edge, port) in ports.iter().enumerate() {
            self.edge(edge, *port);
        }
        for (at, node) in drawing.nodes.iter().enumerate() {
            self.node(at, node);
        }
        for (at, channel) in channels.iter().enumerate() {
            let y = bottom + at as f64 * LEGEND_LINE;
            let (dashes, name) = (dashes(*channel), channel.name());
            self.line(&format!(
                "<g class=\"legend\"><path d=\"M{MARGIN} {y:.1}h40\" stroke=\"#555\"{dashes}/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{name}</text></g>",
                MARGIN + 50.0,
                y + 4.0
            ));
        }
        self.line("</svg>");
    }

    /// For each edge: where it comes into its box, and the how manieth it is there.
    fn ports(&self) -> Vec<(f64, usize)> {
        let edges = &self.drawing.edges;
        let mut into: Vec<Vec<usize>> = vec![Vec::new(); self.drawing.nodes.len()];
        for (at, edge) in edges.iter().enumerate() {
            into[edge.to].push(at);
        }
        let from = |at: usize| {
            let before = self.layered.ways[at].last().copied();
            self.x(before.unwrap_or(edges[at].from))
        };
        let mut ports = vec![(0.0, 0); edges.len()];
        for (to, mut incoming) in into.into_iter().enumerate() {
            incoming.sort_by(|a, b| from(*a).total_cmp(&from(*b)));
            let width = self.layered.places[to].width;
            let apart = width / (incoming.len() + 1) as f64;
            for (at, edge) in incoming.into_iter().enumerate() {
                let x = self.x(to) - width / 2.0 + apart * (at + 1) as f64;
                ports[edge] = (x, at);
            }
        }
        ports
    }

    fn edge(&mut self, at: usize, (port, number): (f64, usize)) {
        let edge = &self.drawing.edges[at];
        let mut x = self.x(edge.from);
        let mut y = self.top(edge.from) + BOX_HEIGHT;
        let mut path = format!("M{x:.1} {y:.1}");
        let ways = self.layered.ways[at].iter();
        let mut stops: Vec<(f64, f64)> = ways.map(|way| (self.x(*way), self.top(*way))).collect();
        stops.push((port, self.top(edge.to)));
        let last = stops.len() - 1;
        for (stop, (to_x, to_y)) in stops.into_iter().enumerate() {
            let middle = y + LAYER_GAP / 2.0;
            let bend = to_y - LAYER_GAP / 2.0;
            let _written = write!(
                path,
                "C{x:.1} {middle:.1} {to_x:.1} {bend:.1} {to_x:.1} {to_y:.1}"
            );
            (x, y) = (to_x, to_y);
            if stop < last {
                y += BOX_HEIGHT;
                let _written = write!(path, "V{y:.1}");
            }
        }
        let label = edge.label();
        let dashes = edge.channel.map_or("", dashes);
        let tip = match label.is_empty() {
            true => String::new(),
            false => format!("<title>{}</title>", escaped(&label)),
        };
        self.line(&format!(
            "<path class=\"edge\" id=\"e{}-{}\" d=\"{path}\" fill=\"none\" stroke=\"#555\"{dashes} \
             marker-end=\"url(#arrow)\">{tip}</path>",
            edge.from, edge.to
        ));
        if !label.is_empty() {
            let up = 10.0 + 11.0 * (number % LABEL_HEIGHTS) as f64;
            let label = escaped(&cut(&label, MOST_COLUMNS));
            self.line(&format!(
                "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" fill=\"#333\">{label}</text>",
                x + 4.0,
                y - up
            ));
        }
    }

    fn node(&mut self, at: usize, node: &DrawnNode) {
        let width = self.layered.places[at].width;
        let (x, top) = (self.x(at), self.top(at));
        let (fill, round) = match node.role {
            Role::Input => ("#cfe2f3".into(), 0),
            Role::Constant => ("#eeeeee".into(), 0),
            Role::Method(actor) => (fill_of(actor), 14),
            Role::Task => ("#ffffff".into(), 14),
            Role::Output => ("#fff2cc".into(), 0),
        };
        let left = x - width / 2.0;
        let full = escaped(&format!("{} {}", node.title, node.note));
        let title = escaped(&cut(&node.title, MOST_COLUMNS));
        let note = escaped(&cut(&node.note, MOST_COLUMNS));
        let (title_y, note_y) = match note.is_empty() {
            true => (top + 26.0, top),
            false => (top + 19.0, top + 35.0),
        };
        let mut text = format!(
            "<g class=\"node\" id=\"n{at}\"><title>{full}</title><rect x=\"{left:.1}\" y=\"{top:.1}\" \
             width=\"{width:.1}\" height=\"{BOX_HEIGHT}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"#333\"/>\
             <text x=\"{x:.1}\" y=\"{title_y:.1}\" text-anchor=\"middle\">{title}</text>"
        );
        if !note.is_empty() {
            let _written = write!(
                text,
                "<text x=\"{x:.1}\" y=\"{note_y:.1}\" text-anchor=\"middle\" font-size=\"9\">{note}</text>"
            );
        }
        text.push_str("</g>");
        self.line(&text);
    }
}
