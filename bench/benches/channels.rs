//! The channels and their peers under criterion: the same operations as the rows `channel/...`.

use criterion::{Criterion, criterion_group, criterion_main};
use maser_bench::harness::{Context, Effort, Measure};
use maser_bench::rows;

fn channels(criterion: &mut Criterion) {
    let context = Context::start(Effort::full(0.0)).expect("pinned to the first core");
    for row in rows::all()
        .iter()
        .filter(|row| row.name.starts_with("channel/"))
    {
        if let Some(skip) = row.lacks(context.cores.count()) {
            eprintln!("{}: skipped, {}", row.name, skip.0);
            continue;
        }
        let Measure::Alternating(build) = row.measure else {
            continue;
        };
        let mut lineup = match build(&context).expect("a line-up") {
            Ok(lineup) => lineup,
            Err(skip) => {
                eprintln!("{}: skipped, {}", row.name, skip.0);
                continue;
            }
        };
        let mut group = criterion.benchmark_group(row.name);
        let peers = lineup
            .peers
            .iter_mut()
            .filter_map(|peer| peer.contender.as_mut().ok());
        for contender in std::iter::once(&mut lineup.subject).chain(peers) {
            group.bench_function(contender.name(), |bencher| {
                bencher.iter_custom(|iterations| {
                    context
                        .elapsed(contender.as_mut(), iterations)
                        .expect("a right answer")
                });
            });
        }
    }
}

criterion_group!(benches, channels);
criterion_main!(benches);
