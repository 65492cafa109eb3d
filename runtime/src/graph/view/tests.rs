//! Drawings of graphs that are made up.

use super::facts::short_type;
use super::layers::{lay_out, layers};
use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

fn node(role: Role, title: &str, note: &str) -> DrawnNode {
    DrawnNode {
        role,
        title: title.into(),
        note: note.into(),
    }
}

fn edge(from: usize, to: usize, channel: Option<Channel>) -> DrawnEdge {
    DrawnEdge {
        from,
        to,
        channel,
        details: String::new(),
    }
}

/// One input, two actors, one output.
fn diamond(channel: Option<Channel>) -> Drawing {
    Drawing {
        nodes: vec![
            node(Role::Input, "#0 input 0", "u64"),
            node(Role::Method(0), "#1 A::left", "\"a\", bind 0"),
            node(Role::Method(1), "#2 B::right", "\"b\", bind 0"),
            node(Role::Method(0), "#3 A::join", "\"a\", bind 1"),
            node(Role::Output, "output 0", "u64"),
        ],
        edges: [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]
            .map(|(from, to)| edge(from, to, channel))
            .into(),
        actors: vec!["A \"a\"".into(), "B \"b\"".into()],
    }
}

const ALL: [Format; 4] = [Format::Dot, Format::Svg, Format::Mermaid, Format::Terminal];

#[test]
fn a_diamond_as_lines_of_text() {
    let expected = "\
layer 0  ◆    #0 input 0   u64
      1  ├─●  #1 A::left   \"a\", bind 0  ◂ #0
         ● │  #2 B::right  \"b\", bind 0  ◂ #0
      2  ●─┘  #3 A::join   \"a\", bind 1  ◂ #1 #2
      3  ■    output 0     u64          ◂ #3
";
    let text = diamond(None).render(View::new(Format::Terminal));
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn text_says_by_which_channel_a_value_comes() {
    let mut drawing = diamond(Some(Channel::Ring));
    drawing.edges[3].channel = Some(Channel::SharedMemory);
    let text = drawing.render(View::new(Format::Terminal));
    assert!(text.contains("◂ #1 ring; #2 shared memory\n"), "{text}");
}

#[test]
fn colours_are_there_only_when_they_are_asked_for() {
    let drawing = diamond(None);
    let plain = drawing.render(View::new(Format::Terminal));
    assert!(!plain.contains('\x1b'));
    let colored = drawing.render(View::new(Format::Terminal).colors(true));
    // Both steps of one actor have its colour, title and mark alike.
    assert_eq!(colored.matches("\x1b[36m").count(), 4, "{colored}");
    assert_eq!(colored.matches("\x1b[33m").count(), 2, "{colored}");
    let mut stripped = colored;
    for code in ["\x1b[36m", "\x1b[33m", "\x1b[0m"] {
        stripped = stripped.replace(code, "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn a_diamond_as_dot() {
    let mut drawing = diamond(None);
    drawing.nodes.truncate(2);
    drawing.edges.truncate(1);
    drawing.edges[0].channel = Some(Channel::CallSlot);
    let expected = r##"digraph graph_of_calls {
  rankdir=TB;
  node [style=filled, fontname="sans-serif", fontsize=11];
  edge [fontname="sans-serif", fontsize=9];
  n0 [label="#0 input 0\nu64", shape=box, fillcolor="#cfe2f3"];
  n1 [label="#1 A::left\n\"a\", bind 0", shape=ellipse, fillcolor="FILL"];
  n0 -> n1 [label="call slot", style="bold"];
}
"##;
    let text = drawing.render(View::new(Format::Dot));
    assert_eq!(text, expected.replace("FILL", &fill_of(0)), "\n{text}");
}

#[test]
fn a_diamond_as_mermaid() {
    let mut drawing = diamond(None);
    drawing.nodes.truncate(2);
    drawing.edges.truncate(1);
    drawing.edges[0].channel = Some(Channel::Ring);
    let text = drawing.render(View::new(Format::Mermaid));
    let expected = "\
flowchart TD
  n0[\"#35;0 input 0<br/>u64\"]:::input
  n1([\"#35;1 A::left<br/>#quot;a#quot;, bind 0\"]):::actor0
  n0 -.->|\"ring\"| n1
";
    assert!(text.starts_with(expected), "\n{text}");
    assert!(text.contains("  classDef actor1 fill:#"), "\n{text}");
}

#[test]
fn neighbours_have_colours_of_their_own() {
    let fills: HashSet<String> = (0..40).map(fill_of).collect();
    assert_eq!(fills.len(), 40);
}

#[test]
fn types_are_shown_without_their_modules() {
    for (name, short) in [
        ("u64", "u64"),
        ("alloc::string::String", "String"),
        (
            "core::result::Result<alloc::vec::Vec<(u8, a::B)>, c::D>",
            "Result<Vec<(u8, B)>, D>",
        ),
        ("&str", "&str"),
        ("[f32; 4]", "[f32; 4]"),
        (
            "dyn core::fmt::Debug + core::marker::Send",
            "dyn Debug + Send",
        ),
    ] {
        assert_eq!(short_type(name), short);
    }
}

#[test]
fn other_endings_are_refused_and_the_error_says_what_to_do() {
    for (path, format) in [
        ("a.dot", Format::Dot),
        ("a/b.SVG", Format::Svg),
        ("x.y.mmd", Format::Mermaid),
        ("a.txt", Format::Terminal),
    ] {
        assert_eq!(Format::of_path(path).unwrap(), format);
    }
    let text = Format::of_path("a.png").unwrap_err().to_string();
    assert!(text.contains(".dot, .svg, .mmd or .txt"), "{text}");
    assert!(text.contains("dot -Tpng graph.dot -o graph.png"), "{text}");
    for path in ["a", "a.", ".svg", "", "svg", "a.jpeg2"] {
        let text = Format::of_path(path).unwrap_err().to_string();
        assert!(text.contains(".dot, .svg, .mmd or .txt"), "{path}: {text}");
    }
}

#[test]
fn odd_names_are_text_in_every_format() {
    let odd = "\"<&>'\\`#;|[]{}~*_\n\t\u{1b}[31m\u{0} -->\u{ffff} ünïcödé 漢字 🚀";
    let long = "x".repeat(10_000);
    let drawing = Drawing {
        nodes: vec![
            node(Role::Method(0), odd, odd),
            node(Role::Task, &long, &long),
        ],
        edges: vec![DrawnEdge {
            details: odd.into(),
            ..edge(0, 1, Some(Channel::Ring))
        }],
        actors: vec![odd.into()],
    };
    for format in ALL {
        let text = drawing.render(View::new(format));
        assert!(!text.contains("\x1b[31m"), "{format:?}: {text}");
        assert!(!text.contains('\0'), "{format:?}: {text}");
        assert!(text.contains("漢字"), "{format:?}: {text}");
        // Tips of pictures have the whole name.
        let most = if format == Format::Svg { 30_000 } else { 3_000 };
        assert!(text.len() < most, "{format:?}: {}", text.len());
    }
    let mermaid = drawing.render(View::new(Format::Mermaid));
    let label = mermaid.lines().nth(1).unwrap();
    let inside = label.split('"').nth(1).unwrap();
    let bare = inside.replace("<br/>", "");
    assert!(!bare.contains(['<', '>', '`', '|', '[', ']']), "{bare}");
    assert_eq!(label.matches('"').count(), 2, "{label}");
    let dot = drawing.render(View::new(Format::Dot));
    let label = dot.lines().nth(4).unwrap();
    assert!(label.contains(r#"label="\"<&amp;>'\\`#;"#), "{label}");
    let svg = drawing.render(View::new(Format::Svg));
    let tree = roxmltree::Document::parse(&svg).unwrap();
    let texts = tree.descendants().filter(|at| at.has_tag_name("text"));
    let start = "\"<&>'\\`#;|[]{}~*_";
    assert!(
        texts
            .clone()
            .any(|at| at.text().unwrap().starts_with(start))
    );
}

/// Any graph whose edges lead forward.
fn graphs() -> impl Strategy<Value = Drawing> {
    (2_usize..40).prop_flat_map(|count| {
        let pair = (0..count, 0..count, 0..6_usize);
        (Just(count), prop::collection::vec(pair, 0..80)).prop_map(|(count, pairs)| {
            let channels = [
                None,
                Some(Channel::LocalSlot),
                Some(Channel::Ring),
                Some(Channel::CallSlot),
                Some(Channel::SharedMemory),
                Some(Channel::SharedCallSlot),
            ];
            let mut seen = HashSet::new();
            let mut drawing = Drawing {
                nodes: (0..count)
                    .map(|at| node(Role::Method(at % 5), &format!("#{at} S::step"), "note"))
                    .collect(),
                edges: Vec::new(),
                actors: (0..5).map(|at| format!("S#{at}")).collect(),
            };
            for (a, b, channel) in pairs {
                if a != b && seen.insert((a.min(b), a.max(b))) {
                    drawing
                        .edges
                        .push(edge(a.min(b), a.max(b), channels[channel]));
                }
            }
            drawing
        })
    })
}

proptest! {
    #[test]
    fn every_node_and_edge_appears_once(drawing in graphs()) {
        let dot = drawing.render(View::new(Format::Dot));
        let mermaid = drawing.render(View::new(Format::Mermaid));
        let text = drawing.render(View::new(Format::Terminal));
        let svg = drawing.render(View::new(Format::Svg));
        let tree = roxmltree::Document::parse(&svg).unwrap();
        let ids = |class: &str| -> Vec<String> {
            let of = tree.descendants().filter(|at| at.attribute("class") == Some(class));
            of.map(|at| at.attribute("id").unwrap().to_owned()).collect()
        };
        let (nodes, edges) = (ids("node"), ids("edge"));
        prop_assert_eq!(nodes.len(), drawing.nodes.len());
        prop_assert_eq!(edges.len(), drawing.edges.len());
        prop_assert_eq!(text.lines().count(), drawing.nodes.len());
        for at in 0..drawing.nodes.len() {
            prop_assert_eq!(nodes.iter().filter(|id| **id == format!("n{at}")).count(), 1);
            prop_assert_eq!(dot.matches(&format!("  n{at} [")).count(), 1);
            prop_assert_eq!(mermaid.matches(&format!("  n{at}([")).count(), 1);
            prop_assert_eq!(text.matches(&format!("  #{at} S::step")).count(), 1);
        }
        for DrawnEdge { from, to, .. } in &drawing.edges {
            let id = format!("e{from}-{to}");
            prop_assert_eq!(edges.iter().filter(|edge| **edge == id).count(), 1);
            let arrow = format!("  n{from} -> n{to}");
            let ends = |line: &&str| line.strip_prefix(&arrow).is_some_and(|rest| rest.starts_with([' ', ';']));
            prop_assert_eq!(dot.lines().filter(ends).count(), 1);
            let of = |line: &&str| line.starts_with(&format!("  n{from} ")) && line.ends_with(&format!(" n{to}"));
            prop_assert_eq!(mermaid.lines().filter(of).count(), 1);
        }
    }

    #[test]
    fn boxes_of_a_layer_never_overlap(drawing in graphs()) {
        let pairs = drawing.pairs();
        let layer = layers(drawing.nodes.len(), &pairs);
        for (from, to) in &pairs {
            prop_assert!(layer[*from] < layer[*to]);
        }
        let widths: Vec<f64> = (0..drawing.nodes.len()).map(|at| 50.0 + at as f64).collect();
        let layered = lay_out(&layer, &widths, &pairs, 10.0);
        for row in &layered.rows {
            for two in row.windows(2) {
                let [a, b] = [0, 1].map(|at| &layered.places[two[at]]);
                prop_assert!(a.x + a.width / 2.0 + 9.999 <= b.x - b.width / 2.0);
            }
        }
        for place in &layered.places {
            prop_assert!(place.x - place.width / 2.0 > -0.001);
            prop_assert!(place.x + place.width / 2.0 <= layered.width + 0.001);
        }
        for (edge, way) in pairs.iter().zip(&layered.ways) {
            let stops = way.iter().map(|at| layered.places[*at].layer);
            let between = layer[edge.0] + 1..layer[edge.1];
            prop_assert!(way.is_empty() || stops.eq(between));
        }
    }

    #[test]
    fn the_same_graph_gives_the_same_drawing(drawing in graphs()) {
        for format in ALL {
            prop_assert_eq!(drawing.render(View::new(format)), drawing.clone().render(View::new(format)));
        }
    }
}

/// A chain in which each step reads the input too, and a graph of one wide layer.
fn large(count: usize) -> [Drawing; 2] {
    let nodes: Vec<DrawnNode> = (0..count)
        .map(|at| {
            node(
                Role::Method(at % 10),
                &format!("#{at} Stage::step"),
                "bind 0",
            )
        })
        .collect();
    let mut chain: Vec<DrawnEdge> = (1..count).map(|at| edge(at - 1, at, None)).collect();
    chain.extend((2..count).map(|at| edge(0, at, None)));
    let last = count - 1;
    let mut wide: Vec<DrawnEdge> = (1..last).map(|at| edge(0, at, None)).collect();
    wide.extend((1..last).map(|at| edge(at, last, None)));
    [chain, wide].map(|edges| Drawing {
        nodes: nodes.clone(),
        edges,
        actors: vec![String::new(); 10],
    })
}

#[test]
fn a_drawing_grows_with_nodes_and_edges_and_not_with_their_square() {
    for format in ALL {
        let small = large(500).map(|drawing| drawing.render(View::new(format)).len());
        let big = large(4000).map(|drawing| drawing.render(View::new(format)).len());
        for (small, big) in small.into_iter().zip(big) {
            // Eight times as large; numbers have a digit more.
            assert!(big < small * 12, "{format:?}: {small} and {big} bytes");
        }
    }
}

#[test]
fn the_way_of_long_edges_is_bounded_in_all() {
    for drawing in large(2000) {
        let pairs = drawing.pairs();
        let layer = layers(drawing.nodes.len(), &pairs);
        let widths = vec![80.0; drawing.nodes.len()];
        let layered = lay_out(&layer, &widths, &pairs, 10.0);
        let stops: usize = layered.ways.iter().map(Vec::len).sum();
        assert!(stops <= 16 * 2000, "{stops}");
        assert!(layered.places.len() <= 17 * 2000);
    }
}
