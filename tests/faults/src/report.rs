//! What is printed: one line a row, and one JSON record.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::row::{Outcome, Row, Run, Stop, Tally, broken};

/// How a row came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It held; or its canary was caught.
    Held,
    /// This machine could not try it.
    Skipped,
    /// It did not hold; or its canary was not caught.
    Failed,
}

/// Where the records go.
#[derive(Debug, Default)]
pub struct Report {
    json: Option<File>,
    counts: [usize; 3],
}

impl Report {
    /// A report that also appends its records to a file.
    pub fn new(json: Option<&Path>) -> Outcome<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(|error| broken(format!("cannot write {}: {error}", path.display())))
        };
        Ok(Self {
            json: json.map(open).transpose()?,
            counts: [0; 3],
        })
    }

    /// Prints how a row came out, with its canary (`run.planted`) or without.
    pub fn row(&mut self, row: &Row, run: &Run, took: Duration, outcome: &Outcome<Tally>) {
        let (verdict, text) = match (outcome, run.planted) {
            (Ok(tally), false) => (Verdict::Held, tally_text(tally, took)),
            (Ok(tally), true) => (
                Verdict::Failed,
                format!("not caught in {} points: {}", tally.points, row.canary),
            ),
            (Err(Stop::Skipped(reason)), _) => (Verdict::Skipped, reason.clone()),
            (Err(Stop::Broken(wrong)), false) => (Verdict::Failed, wrong.clone()),
            (Err(Stop::Broken(wrong)), true) => {
                (Verdict::Held, format!("caught \"{}\": {wrong}", row.canary))
            }
        };
        self.counts[verdict as usize] += 1;
        let word = match (verdict, run.planted) {
            (Verdict::Held, false) => "ok",
            (Verdict::Held, true) => "caught",
            (Verdict::Skipped, _) => "skipped",
            (Verdict::Failed, _) => "FAILED",
        };
        println!("{:<18} {word:<8} {text}", row.name);
        let tally = outcome.as_ref().ok();
        let record = json!({
            "row": row.name,
            "claim": row.claim,
            "canary": run.planted.then_some(row.canary),
            "verdict": word,
            "text": text,
            "points": tally.map(|tally| tally.points),
            "points_of": tally.and_then(|tally| tally.points_of),
            "notes": tally.map(|tally| &tally.notes),
            "seed": run.seed,
            "sample": run.sample,
            "seconds": took.as_secs_f64(),
        });
        if let Some(file) = &mut self.json
            && let Err(error) = writeln!(file, "{record}")
        {
            eprintln!("cannot write the record: {error}");
        }
    }

    /// Prints the sum; whether nothing failed.
    pub fn end(&self) -> bool {
        let [held, skipped, failed] = self.counts;
        println!("{held} held, {skipped} skipped, {failed} failed");
        failed == 0
    }
}

fn tally_text(tally: &Tally, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-9);
    let of = tally
        .points_of
        .map_or(String::new(), |of| format!(" of {of}"));
    let points = tally.points;
    let rate = points as f64 / seconds;
    let mut text = format!("{points}{of} points in {seconds:.1} s ({rate:.0}/s)");
    for note in &tally.notes {
        text.push_str("; ");
        text.push_str(note);
    }
    text
}
