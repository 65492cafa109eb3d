//! The bare machine under criterion: the same operations as the rows `floor/...`.

use criterion::{Criterion, criterion_group, criterion_main};
use maser_bench::floors::{ClockRead, LineChain, LinePair, LineTurn, Memcpy, NoopCall, Syscall};
use maser_bench::harness::{Contender, Context, Effort};

fn floors(criterion: &mut Criterion) {
    let context = Context::start(Effort::full(0.0)).expect("pinned to the first core");
    let mut probes: Vec<(usize, Box<dyn Contender>)> = vec![
        (2, Box::new(LinePair::default())),
        (2, Box::new(LineTurn::default())),
        (2, Box::new(LineChain::new("floor/chain4", 4))),
        (1, Box::new(NoopCall::default())),
        (1, Box::new(ClockRead)),
        (1, Box::new(Syscall)),
        (1, Box::new(Memcpy::new("floor/memcpy_64", 64))),
        (1, Box::new(Memcpy::new("floor/memcpy_4k", 4 << 10))),
        (1, Box::new(Memcpy::new("floor/memcpy_64k", 64 << 10))),
        (1, Box::new(Memcpy::new("floor/memcpy_1m", 1 << 20))),
    ];
    for (cores, probe) in &mut probes {
        if context.cores.count() < *cores {
            eprintln!("{}: skipped, needs {cores} cores", probe.name());
            continue;
        }
        criterion.bench_function(probe.name(), |bencher| {
            bencher.iter_custom(|iterations| {
                context
                    .elapsed(probe.as_mut(), iterations)
                    .expect("a right answer")
            });
        });
    }
}

criterion_group!(benches, floors);
criterion_main!(benches);
