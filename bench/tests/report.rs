//! The report of a quick run, as a program that reads it sees it.

use maser_bench::harness::{Cores, Options, run};
use maser_bench::rows;
use serde_json::Value;

/// Runs `filters` quickly on a thread of its own (a run pins its thread) and gives the table and
/// the JSON rows.
fn quick(filters: &'static [&'static str]) -> (String, Vec<Value>) {
    let path = std::env::temp_dir().join(format!(
        "maser-bench-{}-{}.json",
        std::process::id(),
        filters.join("-").replace('/', "_")
    ));
    let options = Options {
        filters: filters.iter().map(ToString::to_string).collect(),
        json: Some(path.clone()),
        quick: true,
        ..Options::default()
    };
    let table = std::thread::spawn(move || {
        let mut table = Vec::new();
        run(&rows::all(), &options, &mut table).expect("a run");
        String::from_utf8(table).expect("text")
    })
    .join()
    .expect("no panic");
    let text = std::fs::read_to_string(&path).expect("the report");
    std::fs::remove_file(&path).expect("the report can go");
    (
        table,
        serde_json::from_str(&text).expect("an array of rows"),
    )
}

fn is_number_or_null(value: &Value) -> bool {
    value.is_number() || value.is_null()
}

#[test]
fn every_channel_row_gives_right_answers_and_figures() {
    let (table, rows) = quick(&["channel/"]);
    let two_cores = Cores::usable().expect("a mask").count() >= 2;
    assert!(rows.len() >= 2, "{table}");
    for row in &rows {
        assert!(row.get("error").is_none(), "{row}");
        if two_cores {
            assert!(row.get("skipped").is_none(), "{row}");
            // All windows of a noisy minute may lie across a jump of the floor.
            let is_measured = row["n"].as_u64().is_some_and(|n| n > 0);
            assert!(is_measured || row["dropped"] != 0, "{row}");
        } else {
            assert!(
                row["skipped"]
                    .as_str()
                    .is_some_and(|why| why.contains("2 cores")),
                "{row}"
            );
        }
        let name = row["name"].as_str().expect("a name");
        assert!(table.contains(name), "{name} is missing in\n{table}");
    }
}

#[test]
fn a_row_has_the_keys_that_readers_rely_on() {
    let (_, rows) = quick(&["floor/line_turn", "floor/memcpy_64", "channel/call_slot"]);
    for row in &rows {
        let keys = row.as_object().expect("an object");
        for key in [
            "p50",
            "p99",
            "p999",
            "min",
            "ratio",
            "floor_p99",
            "floor_p999",
        ] {
            assert!(
                keys.get(key).is_some_and(is_number_or_null),
                "{key} of {row}"
            );
        }
        for key in ["n", "windows", "dropped"] {
            assert!(keys.get(key).is_some_and(Value::is_u64), "{key} of {row}");
        }
        assert!(
            matches!(row["unit"].as_str(), Some("ns" | "per_s")),
            "{row}"
        );
        let floor = keys.get("floor").expect("a floor");
        assert!(
            floor.is_null() || floor["name"].is_string() && floor["p50"].is_number(),
            "{row}"
        );
        for peer in keys["peers"].as_object().expect("peers").values() {
            let peer = peer.as_object().expect("a peer");
            assert!(
                is_number_or_null(&peer["p50"]) && is_number_or_null(&peer["ratio"]),
                "{row}"
            );
        }
    }
}

#[test]
fn a_row_on_one_core_never_lacks_figures() {
    let (_, rows) = quick(&["floor/noop_call", "jitter"]);
    for row in &rows {
        for key in ["p50", "p99", "p999", "min"] {
            assert!(
                row[key].as_f64().is_some_and(|figure| figure > 0.0),
                "{key} of {row}"
            );
        }
    }
}
