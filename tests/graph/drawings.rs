//! What graphs look like, before and after they are compiled. The drawing in the README is made here.

use std::process::{Command, Stdio};

use maser::prelude::*;
use maser::view::{Format, View};
use maser_tests::{quiet, with_runtime};

/// A picture of the story below.
#[derive(Clone, Default)]
struct Frame;

macro_rules! stages {
    ($($class:ident: $($method:ident($($arg:ident: $type:ty),*) -> $out:ty),*;)*) => {
        $(
            struct $class;
            #[maser::actor(local)]
            impl $class {
                fn new() -> Self {
                    $class
                }
                $(fn $method(&mut self, $($arg: $type),*) -> $out {
                    $(let _unused = $arg;)*
                    Default::default()
                })*
            }
        )*
    };
}

type Boxes = Vec<u32>;

stages! {
    Camera: decode(packet: Vec<u8>) -> Frame;
    Detector: cars(frame: Frame) -> Boxes, faces(frame: Frame) -> Boxes;
    Tracker: follow(boxes: Boxes) -> Boxes, identify(tracks: Boxes, faces: Boxes) -> Boxes;
    Plates: read(frame: Frame, boxes: Boxes) -> Vec<String>;
    Index: add(plates: Vec<String>, people: Boxes) -> u64;
    Encoder: encode(frame: Frame) -> Vec<u8>;
}

#[maser::task(local)]
fn blur(frame: Frame, _faces: Vec<u32>) -> Frame {
    frame
}

type Street = Graph<Node<Vec<u8>>, (Node<u64>, Node<Vec<u8>>)>;

/// The graph of the README: twelve nodes, six actors on three schedulers.
fn street() -> Street {
    let camera = Camera::options().name("camera").scheduler(0).remote();
    let detector = Detector::options().name("detector").scheduler(1).remote();
    let tracker = Tracker::options().name("tracker").scheduler(1).remote();
    let plates = Plates::options().name("plates").scheduler(2).remote();
    let index = Index::options().name("index").scheduler(2).remote();
    let encoder = Encoder::options().name("encoder").scheduler(0).remote();
    Graph::new(|packet: Node<Vec<u8>>| {
        let frame = camera.decode().bind(packet);
        let cars = detector.cars().bind(frame);
        let faces = detector.faces().bind(frame);
        let tracks = tracker.follow().bind(cars);
        let people = tracker.identify().bind(tracks, faces);
        let plates = plates.read().bind(frame, cars);
        let blurred = blur::bind(frame, faces);
        let found = index.add().bind(plates, people);
        (found, encoder.encode().bind(blurred))
    })
}

#[test]
fn the_drawing_in_the_readme_is_what_the_graph_looks_like() {
    with_runtime(quiet(3), |_| {
        let drawing = street().compile().unwrap().visualize(Format::Terminal);
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        assert!(
            readme.contains(&format!("```text\n{drawing}```\n")),
            "the README has another drawing than this:\n{drawing}"
        );
    });
}

#[test]
fn before_a_graph_is_compiled_nothing_is_known_of_its_channels() {
    with_runtime(quiet(3), |_| {
        let graph = street();
        for format in [Format::Dot, Format::Svg, Format::Mermaid, Format::Terminal] {
            let text = graph.visualize(format).unwrap();
            for channel in ["ring", "local slot", "call slot", "shared memory"] {
                // In the language of a format `stroke-dasharray` and the like may stand.
                assert!(
                    !text.contains(&format!("{channel}\"")),
                    "{format:?}: {text}"
                );
                assert!(!text.contains(&format!(">{channel}")), "{format:?}: {text}");
                assert!(
                    !text.contains(&format!(" {channel}\n")),
                    "{format:?}: {text}"
                );
            }
        }
    });
}

#[test]
fn every_channel_of_a_graph_in_one_process_is_named() {
    with_runtime(quiet(3), |_| {
        let text = street().compile().unwrap().visualize(Format::Terminal);
        assert!(text.contains(" local slot"), "{text}");
        assert!(text.contains(" ring"), "{text}");
        let camera = Camera::remote();
        let one = Graph::new(|packet: Node<Vec<u8>>| camera.decode().bind(packet));
        let text = one.compile().unwrap().visualize(Format::Terminal);
        // There and back on one line.
        assert_eq!(text.matches(" call slot").count(), 2, "{text}");
    });
}

#[test]
fn an_edge_whose_writer_waits_for_its_reader_is_synchronous() {
    with_runtime(quiet(2), |_| {
        let [a, b] = [0, 1].map(|at| Scale::options().scheduler(at).remote());
        let graph = Graph::new(|x: Node<u64>| {
            let sent = a.both().bind(x, x).with_tensor_transport("gloo");
            b.both().bind(sent, x)
        });
        let graph = graph.compile().unwrap();
        let text = graph.visualize(Format::Terminal);
        assert_eq!(text.matches("#1 synchronous").count(), 1, "{text}");
        let svg = graph.visualize(Format::Svg);
        assert_eq!(
            svg.matches("<title>synchronous</title>").count(),
            1,
            "{svg}"
        );
    });
}

#[test]
fn details_are_the_type_the_depth_and_the_scheduler() {
    with_runtime(quiet(3), |_| {
        let options = CompileOptions {
            max_inflight: Some(7),
            ..Default::default()
        };
        let graph = street().compile_with(options).unwrap();
        let view = View::new(Format::Terminal).channel_details(true);
        let text = graph.visualize(view);
        assert!(text.contains("◂ #0 ring (Vec<u8>, depth 7)"), "{text}");
        assert!(text.contains("\"plates\", bind 0, scheduler 2"), "{text}");
        assert!(text.contains(" local slot (Vec<u32>)"), "{text}");
        assert!(!graph.visualize(Format::Terminal).contains("depth"));
    });
}

struct Scale;

#[maser::actor(local)]
impl Scale {
    fn new() -> Self {
        Scale
    }
    fn by(&mut self, factor: u64, value: u64, _note: String) -> u64 {
        factor * value
    }
    fn both(&mut self, a: u64, b: u64) -> u64 {
        a + b
    }
}

#[test]
fn constants_are_nodes_if_they_are_asked_for() {
    with_runtime(quiet(1), |_| {
        let scale = Scale::options().name("scale").remote();
        let graph = Graph::new(|x: Node<u64>| scale.by().bind(3, x, "a \"note\""));
        let plain = graph.visualize(Format::Terminal).unwrap();
        assert_eq!(plain.lines().count(), 3, "{plain}");
        let view = View::new(Format::Terminal).constants(true);
        let text = graph.visualize(view).unwrap();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.contains("argument 0 = 3"), "{text}");
        assert!(text.contains(r#"argument 2 = "a \"note\"""#), "{text}");
        let compiled = graph.compile().unwrap();
        assert_eq!(compiled.visualize(view).lines().count(), 5);
    });
}

#[test]
fn a_node_that_is_read_twice_by_another_has_one_edge_to_it() {
    with_runtime(quiet(1), |_| {
        let scale = Scale::remote();
        let graph = Graph::new(|x: Node<u64>| scale.both().bind(x, x));
        let dot = graph.visualize(Format::Dot).unwrap();
        assert_eq!(dot.matches(" -> ").count(), 2, "{dot}");
        let view = View::new(Format::Dot).channel_details(true);
        assert!(graph.visualize(view).unwrap().contains("u64, 2 arguments"));
    });
}

#[test]
fn outputs_are_numbered_and_may_be_the_same_node() {
    with_runtime(quiet(1), |_| {
        let scale = Scale::remote();
        let graph = Graph::new(|x: Node<u64>| {
            let twice = scale.both().bind(x, x);
            vec![twice, scale.both().bind(twice, x), twice]
        });
        let text = graph.compile().unwrap().visualize(Format::Terminal);
        for at in 0..3 {
            assert_eq!(text.matches(&format!("output {at} ")).count(), 1, "{text}");
        }
    });
}

#[test]
fn a_graph_that_compile_refuses_can_be_drawn_and_one_with_foreign_nodes_cannot() {
    with_runtime(quiet(1), |_| {
        let scale = Scale::remote();
        let unread = Graph::new(|(x, _y): (Node<u64>, Node<u64>)| scale.both().bind(x, x));
        assert!(unread.visualize(Format::Svg).is_ok());
        assert!(unread.compile().is_err());
        let mut kept = None;
        let _first = Graph::new(|x: Node<u64>| {
            let both = scale.both().bind(x, x);
            kept = Some(both);
            both
        });
        let foreign = kept.unwrap();
        let second = Graph::new(|x: Node<u64>| scale.both().bind(x, foreign));
        let error = second.visualize(Format::Dot).unwrap_err().to_string();
        assert!(error.contains("of another graph"), "{error}");
    });
}

#[test]
fn the_name_of_a_file_says_the_format() {
    with_runtime(quiet(1), |_| {
        let folder = std::env::temp_dir().join(format!("maser-drawings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let scale = Scale::remote();
        let graph = Graph::new(|x: Node<u64>| scale.both().bind(x, x));
        for (name, start) in [
            ("graph.dot", "digraph"),
            ("graph.svg", "<svg"),
            ("graph.mmd", "flowchart"),
            ("graph.txt", "layer 0"),
        ] {
            let path = folder.join(name);
            graph.visualize_to(&path).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(start), "{name}: {text}");
        }
        let compiled = graph.compile().unwrap();
        let error = compiled.visualize_to(folder.join("graph.pdf")).unwrap_err();
        assert!(error.to_string().contains("dot -Tpdf"), "{error}");
        let error = compiled
            .visualize_to(folder.join("none/graph.svg"))
            .unwrap_err();
        assert!(error.to_string().contains("none/graph.svg"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    });
}

#[test]
fn graphviz_reads_the_dot() {
    with_runtime(quiet(3), |_| {
        let dot = street().compile().unwrap().visualize(Format::Dot);
        let child = Command::new("dot")
            .args(["-Tplain"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return eprintln!("skipped: graphviz's dot cannot be started: {error}"),
        };
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, dot.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{dot}");
        let plain = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            plain
                .lines()
                .filter(|line| line.starts_with("node "))
                .count(),
            12
        );
        assert_eq!(
            plain
                .lines()
                .filter(|line| line.starts_with("edge "))
                .count(),
            15
        );
    });
}
