//! What the fuzzers found worth keeping, once each, and what they began with.

use crate::mutator::{Mutator, Shape};
use crate::targets::TARGETS;
use std::path::PathBuf;

fn folder(name: &str) -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.join("fuzz/corpus").join(name)
}

#[test]
fn the_corpora_of_the_fuzzers_pass() {
    for (name, target) in TARGETS {
        let files = std::fs::read_dir(folder(name));
        let files = files.unwrap_or_else(|error| panic!("no corpus of {name}: {error}"));
        let mut count = 0;
        for file in files {
            let path = file.expect("a file").path();
            let bytes = std::fs::read(&path).expect("it can be read");
            println!("{}: {} bytes", path.display(), bytes.len());
            target(&bytes);
            count += 1;
        }
        assert!(count > 0, "the corpus of {name} is empty");
    }
}

#[test]
#[ignore = "writes what the corpora begin with into the tree"]
fn corpora_begin_with_good_streams() {
    for (name, _) in TARGETS {
        let shape = match name {
            "header" => Shape::Header,
            "forms" => Shape::Forms,
            "handshake" => Shape::Hello,
            "packets" => Shape::Packets,
            _ => Shape::Frames,
        };
        std::fs::create_dir_all(folder(name)).expect("a folder");
        for seed in 0..20 {
            let (_, stream) = Mutator::new(seed).stream(shape);
            let path = folder(name).join(format!("seed-{seed:02}"));
            std::fs::write(path, stream).expect("a file");
        }
    }
}
