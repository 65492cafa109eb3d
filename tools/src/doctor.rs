//! `maser doctor`: shows what the machine lacks, as a text or as JSON.

use std::io::{self, Write};
use std::process::ExitCode;

use maser::doctor::{Check, Needs, Report, Verdict, examine_for};

/// Examines the machine and prints the report.
///
/// Ends with 0 if nothing is wrong, 1 if something degrades, 2 if something prevents running.
pub fn main(needs: &Needs, is_json: bool) -> ExitCode {
    let report = examine_for(needs);
    let text = match is_json {
        true => serde_json::to_string_pretty(&report).map(|json| json + "\n"),
        false => Ok(rendered(&report)),
    };
    let written = text
        .map_err(io::Error::from)
        .and_then(|text| io::stdout().lock().write_all(text.as_bytes()));
    match written {
        // A reader that has seen enough, `maser doctor | head`, still gets the verdict.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("maser doctor: cannot write the report: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(report.exit_code()),
    }
}

fn rendered(report: &Report) -> String {
    let mut text = String::new();
    for check in &report.checks {
        text += &lines(check);
    }
    let count = |verdict| {
        let of = report
            .checks
            .iter()
            .filter(|check| check.verdict == verdict);
        of.count()
    };
    let (degrade, prevent) = (count(Verdict::Degrades), count(Verdict::Prevents));
    let unknown = count(Verdict::Unknown);
    text += &format!(
        "\n{} checks: {} fine, {degrade} degrade, {prevent} prevent running, {unknown} unknown\n",
        report.checks.len(),
        count(Verdict::Fine),
    );
    text
}

fn lines(check: &Check) -> String {
    let mark = match check.verdict {
        Verdict::Fine => "fine    ",
        Verdict::Unknown => "unknown ",
        Verdict::Degrades => "DEGRADES",
        Verdict::Prevents => "PREVENTS",
    };
    let mut text = format!("{mark}  {:<18} {}\n", check.name, check.found);
    if let Some(command) = &check.command {
        text += &format!(
            "          needed: {}\n          effect: {}\n          mend:   {command}\n",
            check.needed, check.effect
        );
    }
    text
}

/// Reads `64GiB`, `512MiB`, `4KiB` or a number of bytes.
pub fn bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let unit = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let number: Option<u64> = number.trim().parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| format!("`{text}` is no size; write for instance 64GiB, 512MiB or 4096"))
}
