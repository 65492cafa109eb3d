//! The arithmetic of the report.
//!
//! - ST-1 percentiles are nearest-rank: the smallest sample that `p` of all samples do not exceed,
//!   so every figure printed is a sample that was seen.
//! - ST-2 a window counts only if the floor probed before and after it agrees within
//!   [`FLOOR_JUMP_MAX`]; the hypervisor moves cores, and a window across such a move mixes two
//!   machines.
//! - ST-3 a ratio is the median of the windows' ratios, never the ratio of two medians.

use super::Unit;

/// Largest quotient of two neighbouring floor probes that still counts as one machine.
pub const FLOOR_JUMP_MAX: f64 = 1.4;

/// Median by nearest rank; `None` for no samples.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    rank(&sorted, 0.5)
}

/// The sample of rank `p` in `sorted` (ST-1).
fn rank(sorted: &[f64], p: f64) -> Option<f64> {
    // The factor keeps 0.999 * 1000 from rounding up to rank 1000.
    let rank = (p * sorted.len() as f64 * (1.0 - 1e-12)).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Percentiles of one contender over all windows that count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// Half of the samples are not worse.
    pub p50: f64,
    /// 99 % of the samples are not worse.
    pub p99: f64,
    /// 99.9 % of the samples are not worse.
    pub p999: f64,
    /// The smallest sample: the best time, or the worst rate.
    pub min: f64,
}

impl Percentiles {
    /// Percentiles of `samples_ns` (nanoseconds an operation) in `unit`; `None` for no samples.
    ///
    /// A rate's p99 is the rate that 99 % of the samples reach.
    pub fn of(samples_ns: &[f64], unit: Unit) -> Option<Self> {
        let mut sorted = samples_ns.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |p| rank(&sorted, p).map(|ns| unit.from_ns(ns));
        let min = match unit {
            Unit::Ns | Unit::Bytes => sorted.first(),
            Unit::PerS => sorted.last(),
        };
        Some(Self {
            p50: at(0.5)?,
            p99: at(0.99)?,
            p999: at(0.999)?,
            min: unit.from_ns(*min?),
        })
    }
}

/// One window of one contender: its median and the floor before and after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowFigure {
    /// Median of the window's samples, ns an operation.
    pub median_ns: f64,
    /// The floor right before and right after, ns; `None` where the row has no floor.
    pub floor_ns: Option<(f64, f64)>,
}

impl WindowFigure {
    /// The floor that goes with the window: the mean of both probes.
    pub fn floor(&self) -> Option<f64> {
        self.floor_ns
            .map(|(before, after)| f64::midpoint(before, after))
    }

    /// Whether the window counts (ST-2).
    pub fn counts(&self) -> bool {
        self.floor_ns
            .is_none_or(|(before, after)| agree(before, after))
    }
}

/// Whether two floor probes agree (ST-2).
fn agree(a: f64, b: f64) -> bool {
    a.max(b) <= a.min(b) * FLOOR_JUMP_MAX
}

/// Median over windows of subject to floor (ST-3); `None` if no window counts or none has a floor.
pub fn ratio_to_floor(windows: &[WindowFigure]) -> Option<f64> {
    let ratios: Vec<f64> = windows
        .iter()
        .filter(|window| window.counts())
        .filter_map(|window| Some(window.median_ns / window.floor()?))
        .collect();
    median(&ratios)
}

/// How many times the subject beats a peer: median over the rounds of peer's time to subject's
/// time, which for rates is subject over peer (ST-3).
///
/// A round counts if both windows do and the floors beside them agree.
pub fn ratio_to_peer(subject: &[WindowFigure], peer: &[WindowFigure]) -> Option<f64> {
    let ratios: Vec<f64> = subject
        .iter()
        .zip(peer)
        .filter(|(subject, peer)| subject.counts() && peer.counts())
        .filter(|(subject, peer)| match (subject.floor(), peer.floor()) {
            (Some(ours), Some(theirs)) => agree(ours, theirs),
            _ => true,
        })
        .map(|(subject, peer)| peer.median_ns / subject.median_ns)
        .collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(median_ns: f64, before: f64, after: f64) -> WindowFigure {
        WindowFigure {
            median_ns,
            floor_ns: Some((before, after)),
        }
    }

    #[test]
    fn the_median_of_nothing_is_nothing_and_of_two_the_lower() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[2.0, 1.0]), Some(1.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let samples: Vec<f64> = (1..=1_000).rev().map(f64::from).collect();
        let found = Percentiles::of(&samples, Unit::Ns).unwrap();
        assert_eq!(
            found,
            Percentiles {
                p50: 500.0,
                p99: 990.0,
                p999: 999.0,
                min: 1.0
            }
        );
    }

    #[test]
    fn percentiles_of_one_sample_are_that_sample() {
        let found = Percentiles::of(&[4.0], Unit::Ns).unwrap();
        assert_eq!(
            found,
            Percentiles {
                p50: 4.0,
                p99: 4.0,
                p999: 4.0,
                min: 4.0
            }
        );
        assert_eq!(Percentiles::of(&[], Unit::Ns), None);
    }

    #[test]
    fn a_rates_p99_is_a_low_rate_and_its_min_the_lowest() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        let found = Percentiles::of(&samples, Unit::PerS).unwrap();
        assert_eq!(found.p50, 1e9 / 50.0);
        assert_eq!(found.p99, 1e9 / 99.0);
        assert_eq!(found.min, 1e9 / 100.0);
    }

    #[test]
    fn the_ratio_is_the_median_of_ratios_not_the_ratio_of_medians() {
        // Medians: subject 100, floor 100 -> 1.0; the windows' ratios are 1, 2 and 4.
        let windows = [
            window(100.0, 100.0, 100.0),
            window(20.0, 10.0, 10.0),
            window(800.0, 200.0, 200.0),
        ];
        assert_eq!(ratio_to_floor(&windows), Some(2.0));
    }

    #[test]
    fn a_window_across_a_jump_of_the_floor_does_not_count() {
        let windows = [window(100.0, 100.0, 100.0), window(900.0, 100.0, 390.0)];
        assert!(windows[0].counts() && !windows[1].counts());
        assert_eq!(ratio_to_floor(&windows), Some(1.0));
        assert!(window(1.0, 100.0, 139.0).counts());
        assert!(!window(1.0, 141.0, 100.0).counts());
    }

    #[test]
    fn no_window_that_counts_means_no_ratio() {
        assert_eq!(ratio_to_floor(&[window(1.0, 1.0, 9.0)]), None);
        assert_eq!(
            ratio_to_floor(&[WindowFigure {
                median_ns: 1.0,
                floor_ns: None
            }]),
            None
        );
        assert_eq!(ratio_to_peer(&[], &[]), None);
    }

    #[test]
    fn a_peer_is_compared_only_on_the_same_machine() {
        let subject = [window(10.0, 100.0, 100.0), window(10.0, 100.0, 100.0)];
        // The second round's peer ran after the floor had settled at another height.
        let peer = [window(30.0, 100.0, 100.0), window(90.0, 300.0, 300.0)];
        assert_eq!(ratio_to_peer(&subject, &peer), Some(3.0));
    }

    #[test]
    fn without_a_floor_every_window_counts() {
        let bare = |median_ns| WindowFigure {
            median_ns,
            floor_ns: None,
        };
        assert_eq!(ratio_to_peer(&[bare(2.0)], &[bare(5.0)]), Some(2.5));
    }
}
