//! The whole run: which rows, how long each, and where the results go.
//!
//! - SU-1 a filter is a prefix of row names; one that matches nothing is an error before anything
//!   is measured.
//! - SU-2 the time of a run is shared out evenly: the default set stays below three minutes.
//! - SU-3 a row that fails is reported and the run goes on; the run as a whole then fails.
//! - SU-4 rows that take long, and rows that repeat another program's, run where a filter chooses them
//!   and not otherwise.

use std::io::Write;
use std::path::PathBuf;

use super::context::{Context, Effort};
use super::error::BenchError;
use super::result::RowResult;
use super::row::{Measure, Process, Row};
use super::{alternate, table};
use crate::child;
use crate::peers::ray;

/// Time of all rows together, ns (SU-2); building and calibrating comes on top.
const TOTAL_NS: f64 = 110e9;
/// Longest time of one row, ns.
const ROW_NS_MAX: f64 = 4e9;

/// What the command line asks for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Prefixes of row names; none means all.
    pub filters: Vec<String>,
    /// Where to write the JSON report.
    pub json: Option<PathBuf>,
    /// Only list the rows.
    pub list: bool,
    /// Tiny inputs.
    pub quick: bool,
    /// Also measure Ray, after the rows: minutes, and a Python environment of its own.
    pub ray: bool,
}

/// The rows that `filters` choose, in the suite's order.
///
/// # Errors
/// [`BenchError::UnknownFilter`] for a filter that matches nothing (SU-1).
pub fn select<'a>(rows: &'a [Row], filters: &[String]) -> Result<Vec<&'a Row>, BenchError> {
    for filter in filters {
        if !rows.iter().any(|row| row.name.starts_with(filter.as_str())) {
            return Err(BenchError::UnknownFilter {
                filter: filter.clone(),
            });
        }
    }
    let chosen = |row: &&Row| {
        (filters.is_empty() && !row.on_request)
            || filters
                .iter()
                .any(|filter| row.name.starts_with(filter.as_str()))
    };
    Ok(rows.iter().filter(chosen).collect())
}

/// The names of `rows` with what they measure; two spaces or more end a name.
pub fn list(rows: &[&Row]) -> String {
    rows.iter()
        .map(|row| {
            let mark = if row.on_request { " (on request)" } else { "" };
            format!(
                "{:<28}  {:<5} {}{mark}\n",
                row.name,
                row.unit.name(),
                row.about
            )
        })
        .collect()
}

/// Time of one row of `count`, ns.
pub fn budget_ns(count: usize) -> f64 {
    (TOTAL_NS / count.max(1) as f64).min(ROW_NS_MAX)
}

/// Measures one row in this process.
///
/// # Errors
/// The row's (SU-3).
pub fn run_row(context: &Context, row: &Row) -> Result<RowResult, BenchError> {
    if let Some(skip) = row.lacks(context.cores.count()) {
        return Ok(RowResult::skipped(row, skip));
    }
    match row.measure {
        Measure::Whole(measure) => measure(context, row)
            .map(|offer| offer.unwrap_or_else(|skip| RowResult::skipped(row, skip))),
        Measure::Alternating(build) => match build(context)? {
            Ok(lineup) => alternate::alternate(context, row, lineup),
            Err(skip) => Ok(RowResult::skipped(row, skip)),
        },
    }
}

/// Runs what `options` ask for out of `rows`, writes the table to `out` as rows finish, and the
/// JSON report at the end. Gives the results.
///
/// # Errors
/// An unknown filter, or trouble with `out` or the JSON file; a failed row is in the results.
pub fn run(
    rows: &[Row],
    options: &Options,
    out: &mut dyn Write,
) -> Result<Vec<RowResult>, BenchError> {
    let chosen = select(rows, &options.filters)?;
    let to_table = |source| BenchError::Io {
        path: "table".to_owned(),
        source,
    };
    if options.list {
        let listed = match options.filters.is_empty() {
            true => rows.iter().collect(),
            false => chosen,
        };
        out.write_all(list(&listed).as_bytes()).map_err(to_table)?;
        return Ok(Vec::new());
    }
    let effort = if options.quick {
        Effort::quick()
    } else {
        Effort::full(budget_ns(chosen.len()))
    };
    let context = Context::start(effort)?;
    writeln!(out, "{}", table::header()).map_err(to_table)?;
    let mut results = Vec::new();
    for row in chosen {
        let measured = match row.lacks(context.cores.count()) {
            Some(skip) => Ok(RowResult::skipped(row, skip)),
            None if row.process != Process::Suite && child::is_offered() => {
                child::measure(&context, row)
            }
            None => child::run_here(&context, row),
        };
        let result = measured.unwrap_or_else(|error| RowResult::failed(row, &error));
        writeln!(out, "{}", table::line(&result)).map_err(to_table)?;
        out.flush().map_err(to_table)?;
        results.push(result);
    }
    context.cores.unpin()?;
    if options.ray {
        ray::measure(&mut results);
        for result in results.iter().filter(|row| row.peers.contains_key("ray")) {
            writeln!(out, "{}", table::line(result)).map_err(to_table)?;
        }
    }
    if let Some(path) = &options.json {
        let to_file = |source| BenchError::Io {
            path: path.display().to_string(),
            source,
        };
        let mut text = serde_json::to_vec_pretty(&results)
            .map_err(|error| to_file(std::io::Error::other(error)))?;
        text.push(b'\n');
        std::fs::write(path, text).map_err(to_file)?;
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::super::Skip;
    use super::*;

    fn rows() -> Vec<Row> {
        ["channel/spsc", "channel/spsc_rtt", "graph/echo/slot"]
            .map(|name| Row::latency(name, 1, "", |_| Ok(Err(Skip("not here".to_owned())))))
            .to_vec()
    }

    fn names(filters: &[&str]) -> Vec<&'static str> {
        let filters: Vec<String> = filters.iter().map(ToString::to_string).collect();
        select(&rows(), &filters)
            .unwrap()
            .iter()
            .map(|row| row.name)
            .collect()
    }

    #[test]
    fn a_filter_is_a_prefix_and_no_filter_is_everything() {
        assert_eq!(
            names(&["channel/spsc"]),
            ["channel/spsc", "channel/spsc_rtt"]
        );
        assert_eq!(
            names(&["graph", "channel/spsc_"]),
            ["channel/spsc_rtt", "graph/echo/slot"]
        );
        assert_eq!(names(&[]).len(), 3);
    }

    #[test]
    fn a_row_on_request_runs_only_where_a_filter_chooses_it() {
        let mut rows = rows();
        rows[1] = rows[1].on_request();
        let chosen = |filters: &[String]| select(&rows, filters).unwrap().len();
        assert_eq!(chosen(&[]), 2);
        assert_eq!(chosen(&["channel/".to_owned()]), 2);
        assert!(
            list(&select(&rows, &["channel/spsc_".to_owned()]).unwrap()).contains("(on request)")
        );
    }

    #[test]
    fn a_filter_that_matches_nothing_is_an_error() {
        let error = select(&rows(), &["spsc".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no row begins with `spsc`; `maser bench --list` names them all"
        );
    }

    #[test]
    fn all_rows_together_stay_within_the_time() {
        assert!(budget_ns(48) * 48.0 <= TOTAL_NS);
        assert_eq!(budget_ns(1), ROW_NS_MAX);
    }

    #[test]
    fn a_skipped_row_is_in_the_table_with_its_reason() {
        let options = Options {
            filters: vec!["graph".to_owned()],
            quick: true,
            ..Options::default()
        };
        let (results, text) = std::thread::spawn(move || {
            let mut text = Vec::new();
            (
                run(&rows(), &options, &mut text).unwrap(),
                String::from_utf8(text).unwrap(),
            )
        })
        .join()
        .unwrap();
        assert_eq!(results[0].skipped.as_deref(), Some("not here"));
        assert!(
            text.contains("graph/echo/slot") && text.contains("skipped: not here"),
            "{text}"
        );
    }
}
