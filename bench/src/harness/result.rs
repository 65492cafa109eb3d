//! The figures of one row, in the shape of the JSON report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use super::error::{BenchError, Skip};
use super::row::{Row, Unit};
use super::stats::Percentiles;

/// The floor of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloorFigure {
    /// Name of the probe.
    pub name: String,
    /// Its median, ns.
    #[serde(serialize_with = "rounded")]
    pub p50: f64,
}

/// A peer of a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerFigure {
    /// Its median in the row's unit.
    #[serde(serialize_with = "rounded_option")]
    pub p50: Option<f64>,
    /// How many times the subject beats it.
    #[serde(serialize_with = "rounded_option")]
    pub ratio: Option<f64>,
    /// What a reader of the figure must know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it could not run here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// One row of the report. Figures are absent where the row was skipped or every window dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowResult {
    /// Name of the row.
    pub name: String,
    /// Unit of its figures.
    pub unit: Unit,
    /// Median.
    #[serde(serialize_with = "rounded_option")]
    pub p50: Option<f64>,
    /// 99 % are not worse.
    #[serde(serialize_with = "rounded_option")]
    pub p99: Option<f64>,
    /// 99.9 % are not worse.
    #[serde(serialize_with = "rounded_option")]
    pub p999: Option<f64>,
    /// The smallest sample.
    #[serde(serialize_with = "rounded_option")]
    pub min: Option<f64>,
    /// Operations measured.
    pub n: u64,
    /// The bare machine in the same run.
    pub floor: Option<FloorFigure>,
    /// Subject to floor; for rates subject over its strongest peer.
    #[serde(serialize_with = "rounded_option")]
    pub ratio: Option<f64>,
    /// Competitors in the same run.
    pub peers: BTreeMap<String, PeerFigure>,
    /// 99 % of the floor's samples are not worse, ns.
    #[serde(serialize_with = "rounded_option")]
    pub floor_p99: Option<f64>,
    /// 99.9 % of the floor's samples are not worse, ns.
    #[serde(serialize_with = "rounded_option")]
    pub floor_p999: Option<f64>,
    /// Windows of the subject that count.
    pub windows: usize,
    /// Windows of the subject dropped because the floor moved.
    pub dropped: usize,
    /// What a reader of the figures must know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why the row could not run here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Why the row failed; it then has no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl RowResult {
    /// A result of `row` without figures.
    pub fn empty(row: &Row) -> Self {
        Self {
            name: row.name.to_owned(),
            unit: row.unit,
            p50: None,
            p99: None,
            p999: None,
            min: None,
            n: 0,
            floor: None,
            ratio: None,
            peers: BTreeMap::new(),
            floor_p99: None,
            floor_p999: None,
            windows: 0,
            dropped: 0,
            note: None,
            skipped: None,
            error: None,
        }
    }

    /// The result of a row that was left out.
    pub fn skipped(row: &Row, skip: Skip) -> Self {
        Self {
            skipped: Some(skip.0),
            ..Self::empty(row)
        }
    }

    /// The result of a row that failed.
    pub fn failed(row: &Row, error: &BenchError) -> Self {
        Self {
            error: Some(error.to_string()),
            ..Self::empty(row)
        }
    }

    /// Fills in the percentiles of `samples_ns`, ns an operation.
    pub fn with_samples(self, samples_ns: &[f64], n: u64) -> Self {
        match Percentiles::of(samples_ns, self.unit) {
            None => self,
            Some(found) => Self {
                p50: Some(found.p50),
                p99: Some(found.p99),
                p999: Some(found.p999),
                min: Some(found.min),
                n,
                ..self
            },
        }
    }
}

/// Three decimals: a picosecond is far below what any clock here resolves.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(round(*value))
}

fn rounded_option<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_f64(round(*value)),
        None => serializer.serialize_none(),
    }
}
