//! Alternating windows: floor, subject, floor, peer, floor, peer, floor, subject, ...
//!
//! - AL-1 every window of the subject and of a peer stands between two floor probes of its own;
//!   the probe after one is the probe before the next.
//! - AL-2 rounds are run until the row's time is spent, and never fewer than
//!   [`Effort::rounds_min`](super::Effort::rounds_min).
//! - AL-3 samples of a window that does not count (ST-2) are thrown away and the window counted.

use super::context::Context;
use super::error::BenchError;
use super::result::{FloorFigure, PeerFigure, RowResult};
use super::row::{Contender, Floor, Lineup, Row, Unit};
use super::stats::{Percentiles, WindowFigure, median, ratio_to_floor, ratio_to_peer};
use super::window::Shape;

/// One contender with what it has done so far.
struct Lane<'a> {
    contender: &'a mut dyn Contender,
    shape: Shape,
    windows: Vec<WindowFigure>,
    /// Samples of windows that count.
    samples_ns: Vec<f64>,
    /// Operations of windows that count.
    operations: u64,
}

impl<'a> Lane<'a> {
    fn calibrated(
        context: &Context,
        contender: &'a mut dyn Contender,
        unit: Unit,
    ) -> Result<Self, BenchError> {
        let shape = context.calibrate(contender, unit)?;
        Ok(Self {
            contender,
            shape,
            windows: Vec::new(),
            samples_ns: Vec::new(),
            operations: 0,
        })
    }

    /// Runs a window that is not judged by a floor and gives its median.
    fn probe(&mut self, context: &Context) -> Result<f64, BenchError> {
        let samples = context.window(self.contender, self.shape)?;
        let found = median(&samples).unwrap_or(f64::NAN);
        self.samples_ns.extend(samples);
        Ok(found)
    }

    /// Runs a window between the probe `before` and a new one, which is given back (AL-1).
    fn between(
        &mut self,
        context: &Context,
        floor: &mut [Lane<'_>],
        before: Option<f64>,
    ) -> Result<Option<f64>, BenchError> {
        let samples = context.window(self.contender, self.shape)?;
        let after = probe_all(context, floor)?;
        let figure = WindowFigure {
            median_ns: median(&samples).unwrap_or(f64::NAN),
            floor_ns: before.zip(after),
        };
        if figure.counts() {
            self.operations += self.shape.batches * self.shape.batch;
            self.samples_ns.extend(samples);
        }
        self.windows.push(figure);
        Ok(after)
    }

    fn counted(&self) -> usize {
        self.windows.iter().filter(|window| window.counts()).count()
    }
}

/// Probes the floor: the best median of its probes; `None` without probes.
fn probe_all(context: &Context, floor: &mut [Lane<'_>]) -> Result<Option<f64>, BenchError> {
    let mut best: Option<f64> = None;
    for lane in floor {
        let found = lane.probe(context)?;
        best = Some(best.map_or(found, |best| best.min(found)));
    }
    Ok(best)
}

/// Measures `lineup` as `row`.
///
/// # Errors
/// The first error of a contender: a row with a wrong answer in it has no figures.
pub fn alternate(
    context: &Context,
    row: &Row,
    mut lineup: Lineup,
) -> Result<RowResult, BenchError> {
    let is_guard = matches!(lineup.floor, Floor::Guard(_));
    let mut floor = Vec::new();
    for probe in lineup.floor.probes() {
        floor.push(Lane::calibrated(context, probe.as_mut(), Unit::Ns)?);
    }
    let mut subject = Lane::calibrated(context, lineup.subject.as_mut(), row.unit)?;
    let mut result = RowResult::empty(row);
    let mut peers = Vec::new();
    for peer in &mut lineup.peers {
        match &mut peer.contender {
            Ok(contender) => {
                peers.push((
                    peer.name,
                    Lane::calibrated(context, contender.as_mut(), row.unit)?,
                ));
            }
            Err(skip) => {
                let skipped = Some(skip.0.clone());
                result.peers.insert(
                    peer.name.to_owned(),
                    PeerFigure {
                        skipped,
                        ..Default::default()
                    },
                );
            }
        }
    }

    let began = context.clock.now();
    let spent = || context.clock.ns_between(began, context.clock.now()) >= context.effort.budget_ns;
    let mut probed = probe_all(context, &mut floor)?;
    let mut rounds = 0;
    while rounds < context.effort.rounds_min || !spent() {
        rounds += 1;
        probed = subject.between(context, &mut floor, probed)?;
        for (_, peer) in &mut peers {
            probed = peer.between(context, &mut floor, probed)?;
        }
    }

    result.note = subject.contender.note().map(str::to_owned);
    result.windows = subject.counted();
    result.dropped = subject.windows.len() - result.windows;
    result = result.with_samples(&subject.samples_ns, subject.operations);
    add_floor(&mut result, &floor);
    let mut strongest: Option<f64> = None;
    for (name, peer) in &peers {
        let ratio = ratio_to_peer(&subject.windows, &peer.windows);
        strongest = match (strongest, ratio) {
            (Some(strongest), Some(ratio)) => Some(strongest.min(ratio)),
            (strongest, ratio) => strongest.or(ratio),
        };
        let figure = PeerFigure {
            p50: Percentiles::of(&peer.samples_ns, row.unit).map(|found| found.p50),
            ratio,
            note: peer.contender.note().map(str::to_owned),
            skipped: None,
        };
        result.peers.insert((*name).to_owned(), figure);
    }
    result.ratio = match row.unit {
        Unit::Ns if !is_guard => ratio_to_floor(&subject.windows),
        Unit::Ns | Unit::PerS | Unit::Bytes => strongest,
    };
    Ok(result)
}

/// Adds the figures of the probe with the lowest median.
fn add_floor(result: &mut RowResult, floor: &[Lane<'_>]) {
    let best = floor
        .iter()
        .filter_map(|lane| Some((lane, Percentiles::of(&lane.samples_ns, Unit::Ns)?)))
        .min_by(|(_, a), (_, b)| a.p50.total_cmp(&b.p50));
    if let Some((lane, found)) = best {
        let name = lane.contender.name().to_owned();
        result.floor = Some(FloorFigure {
            name,
            p50: found.p50,
        });
        (result.floor_p99, result.floor_p999) = (Some(found.p99), Some(found.p999));
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::Effort;
    use super::super::row::Peer;
    use super::super::window::Window;
    use super::*;

    /// Gives the same sample for every batch, and the next of `script` in each window after
    /// calibration.
    struct Scripted {
        name: &'static str,
        script: Vec<f64>,
        window: usize,
    }

    impl Contender for Scripted {
        fn name(&self) -> &'static str {
            self.name
        }

        fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
            // Longer than a quick window, so that calibration ends after three single calls.
            let (clock, began) = (window.clock(), window.clock().now());
            while clock.ns_between(began, clock.now()) < 6e4 {}
            let next = self.script[self.window.min(self.script.len() - 1)];
            self.window += 1;
            window.record(next);
            Ok(())
        }
    }

    fn scripted(name: &'static str, script: &[f64]) -> Scripted {
        Scripted {
            name,
            script: script.to_vec(),
            window: 0,
        }
    }

    fn row() -> Row {
        Row::latency("test/row", 1, "", |_| {
            unreachable!("the test brings its own line-up")
        })
    }

    fn on_its_own_thread(run: impl FnOnce(&Context) + Send + 'static) {
        std::thread::spawn(|| run(&Context::start(Effort::quick()).unwrap()))
            .join()
            .unwrap();
    }

    #[test]
    fn windows_across_a_jump_are_dropped_and_counted() {
        on_its_own_thread(|context| {
            // Three windows of calibration, then probes before and after each of two rounds; the
            // second jumps.
            let floor = scripted("floor/test", &[0.0, 0.0, 0.0, 100.0, 100.0, 300.0]);
            let lineup =
                Lineup::of(scripted("subject", &[0.0, 0.0, 0.0, 150.0, 999.0])).floor(floor);
            let result = alternate(context, &row(), lineup).unwrap();
            assert_eq!((result.windows, result.dropped), (1, 1));
            assert_eq!((result.p50, result.p999), (Some(150.0), Some(150.0)));
            assert_eq!(result.ratio, Some(1.5));
        });
    }

    #[test]
    fn the_better_floor_is_the_best_probe_of_each_window() {
        on_its_own_thread(|context| {
            let lineup = Lineup::of(scripted("subject", &[60.0])).better_floor(vec![
                Box::new(scripted("floor/pair", &[100.0])),
                Box::new(scripted("floor/turn", &[60.0])),
            ]);
            let result = alternate(context, &row(), lineup).unwrap();
            assert_eq!(result.ratio, Some(1.0));
            assert_eq!(result.floor.unwrap().name, "floor/turn");
        });
    }

    #[test]
    fn a_rate_is_compared_with_its_strongest_peer() {
        on_its_own_thread(|context| {
            let lineup = Lineup::of(scripted("subject", &[10.0]))
                .peer(Peer::of(scripted("slow", &[40.0])))
                .peer(Peer::of(scripted("strong", &[5.0])));
            let result = alternate(
                context,
                &Row {
                    unit: Unit::PerS,
                    ..row()
                },
                lineup,
            )
            .unwrap();
            assert_eq!(result.p50, Some(1e8));
            assert_eq!(result.ratio, Some(0.5));
            assert_eq!(result.peers["slow"].ratio, Some(4.0));
        });
    }
}
