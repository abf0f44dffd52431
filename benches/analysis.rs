//! The engine alone: infer and check over traces in memory, without reading and decompressing them.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use traincheck_analyzer::check::check;
use traincheck_analyzer::infer::{Reference, infer, read};
use traincheck_benches::synthetic::Synthetic;

fn analysis(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("analysis");
    group.sample_size(10);
    for events in [10_000, 100_000, 1_000_000] {
        let of = |seed| Synthetic { seed, events, ..Synthetic::default() }.memory();
        let (trace, other) = (of(1), of(2));
        let invariants = infer(vec![Reference::of("run", &trace), Reference::of("run", &other)]);
        group.throughput(Throughput::Elements(events));
        group.bench_function(BenchmarkId::new("read for infer", events), |b| {
            b.iter(|| black_box(read(&mut trace.source(), 1000)));
        });
        group.bench_function(BenchmarkId::new("check", events), |b| {
            b.iter(|| black_box(check(&mut trace.source(), &invariants, "p")));
        });
    }
    let references = [1, 2].map(|seed| {
        Reference::of("run", &Synthetic { seed, events: 100_000, ..Synthetic::default() }.memory())
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("infer from what was read", |b| {
        b.iter(|| black_box(infer(references.clone().into())));
    });
    group.finish();
}

criterion_group!(benches, analysis);
criterion_main!(benches);
