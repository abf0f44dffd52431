//! The engine alone: infer and check over traces in memory, without reading and decompressing them.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use traincheck_analyzer::check::check;
use traincheck_analyzer::engine::count_iterations;
use traincheck_analyzer::infer::{Reference, infer, read};
use traincheck_analyzer::invariants::ReferenceRun;
use traincheck_analyzer::source::MemoryTrace;
use traincheck_benches::synthetic::Synthetic;

fn reference(trace: &MemoryTrace) -> Reference {
    let iterations = count_iterations(&mut trace.source());
    let (evidence, passed) = read(&mut trace.source(), iterations);
    let run = ReferenceRun {
        name: "run".into(),
        program: None,
        processes: 1,
        iterations: iterations.into(),
        records: passed.records,
        torn: false,
    };
    Reference { run, evidence }
}

fn analysis(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("analysis");
    group.sample_size(10);
    for events in [10_000, 100_000, 1_000_000] {
        let of = |seed| Synthetic { seed, events, ..Synthetic::default() }.memory();
        let (trace, other) = (of(1), of(2));
        let invariants = infer(vec![reference(&trace), reference(&other)]);
        group.throughput(Throughput::Elements(events));
        group.bench_function(BenchmarkId::new("read for infer", events), |b| {
            b.iter(|| black_box(read(&mut trace.source(), 1000)));
        });
        group.bench_function(BenchmarkId::new("check", events), |b| {
            b.iter(|| black_box(check(&mut trace.source(), &invariants, "p")));
        });
    }
    let references =
        [1, 2].map(|seed| reference(&Synthetic { seed, events: 100_000, ..Synthetic::default() }.memory()));
    group.throughput(Throughput::Elements(1));
    group.bench_function("infer from what was read", |b| {
        b.iter(|| black_box(infer(references.clone().into())));
    });
    group.finish();
}

criterion_group!(benches, analysis);
criterion_main!(benches);
