//! Speed of fingerprints: in cache and out of it, beside a plain sum over the same memory.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use traincheck::libtorch::view::{Dtype, TensorView};
use traincheck::state::fingerprint::{Path, fingerprint_of, fingerprint_on};

/// Values between -1 and 1, of which none is zero, like weights.
fn weights(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0 + f32::EPSILON
    };
    (0..count).map(|_| next()).collect()
}

fn view<'a>(dtype: Dtype, values: &'a [f32], sizes: &'a [i64], strides: &'a [i64]) -> TensorView<'a> {
    assert_eq!(sizes.iter().product::<i64>() as usize * dtype.size(), size_of_val(values));
    // SAFETY: the sizes cover the slice and no more, as was just asserted; the callers pass strides that fit.
    unsafe { TensorView::new(dtype, values.as_ptr().cast(), sizes, strides).expect("a tensor") }
}

/// The fastest that memory can be read with: eight independent accumulators.
#[cfg(target_arch = "x86_64")]
mod sum {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    pub fn avx2(values: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 8];
        for block in values.as_chunks::<64>().0 {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: 8 floats from `lane * 8` lie in the block of 64.
                let vector = unsafe { _mm256_loadu_ps(block.as_ptr().add(lane * 8)) };
                *sum = _mm256_add_ps(*sum, vector);
            }
        }
        let sum = sums.into_iter().reduce(|a, b| _mm256_add_ps(a, b)).unwrap_or(_mm256_setzero_ps());
        let mut lanes = [0.0; 8];
        // SAFETY: the array holds 8 floats.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        lanes.iter().sum()
    }

    #[target_feature(enable = "avx512f")]
    pub fn avx512(values: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_ps(); 8];
        for block in values.as_chunks::<128>().0 {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: 16 floats from `lane * 16` lie in the block of 128.
                let vector = unsafe { _mm512_loadu_ps(block.as_ptr().add(lane * 16)) };
                *sum = _mm512_add_ps(*sum, vector);
            }
        }
        let sum = sums.into_iter().reduce(|a, b| _mm512_add_ps(a, b)).unwrap_or(_mm512_setzero_ps());
        _mm512_reduce_add_ps(sum)
    }
}

fn contiguous(criterion: &mut Criterion) {
    for (name, bytes) in [("64KB", 64 << 10), ("1MB", 1 << 20), ("256MB", 256 << 20)] {
        let values = weights(bytes / 4);
        let sizes = [values.len() as i64];
        let view = view(Dtype::F32, &values, &sizes, &[1]);
        let mut group = criterion.benchmark_group(format!("float32/{name}"));
        group.throughput(Throughput::Bytes(bytes as u64)).sample_size(20);
        for path in Path::available() {
            group.bench_function(BenchmarkId::new("fingerprint", format!("{path:?}")), |bench| {
                bench.iter(|| fingerprint_on(path, black_box(&view)))
            });
        }
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has it.
                let sum = |values: &[f32]| unsafe { sum::avx2(values) };
                group.bench_function("sum/Avx2", |bench| bench.iter(|| sum(black_box(&values))));
            }
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has it.
                let sum = |values: &[f32]| unsafe { sum::avx512(values) };
                group.bench_function("sum/Avx512", |bench| bench.iter(|| sum(black_box(&values))));
            }
        }
    }
}

fn dtypes(criterion: &mut Criterion) {
    let values = weights((1 << 20) / 4);
    let mut zeros = values.clone();
    zeros.iter_mut().step_by(3).for_each(|value| *value = 0.0);
    let mut broken = values.clone();
    broken.iter_mut().step_by(1000).for_each(|value| *value = f32::NAN);
    // The upper half of a float32 is a bfloat16, and of a sane one a sane one.
    let upper = |value: &f32| f32::from_bits(value.to_bits() & 0xffff_0000 | value.to_bits() >> 16);
    let sixteens: Vec<f32> = values.iter().map(upper).collect();
    let mut group = criterion.benchmark_group("1MB");
    group.throughput(Throughput::Bytes(1 << 20)).sample_size(20);
    let square = [512, 512];
    group.bench_function("float32, transposed", |bench| {
        let view = view(Dtype::F32, &values, &square, &[1, 512]);
        bench.iter(|| fingerprint_of(black_box(&view)))
    });
    for (name, dtype, values) in [
        ("float32, a third zeros", Dtype::F32, &zeros),
        ("float32, NaN in each chunk", Dtype::F32, &broken),
        ("bfloat16", Dtype::Bf16, &sixteens),
        ("float64", Dtype::F64, &values),
        ("int64", Dtype::I64, &values),
        ("int32", Dtype::I32, &values),
        ("int16", Dtype::I16, &values),
        ("uint8", Dtype::U8, &values),
        ("float8_e4m3fn", Dtype::F8E4M3Fn, &values),
    ] {
        let sizes = [(values.len() * 4 / dtype.size()) as i64];
        let view = view(dtype, values, &sizes, &[1]);
        group.bench_function(name, |bench| bench.iter(|| fingerprint_of(black_box(&view))));
    }
}

fn small(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("small float32");
    for count in [1, 10, 64, 100, 1000] {
        let values = weights(count);
        let sizes = [count as i64];
        let view = view(Dtype::F32, &values, &sizes, &[1]);
        group.bench_function(BenchmarkId::from_parameter(count), |bench| {
            bench.iter(|| fingerprint_of(black_box(&view)))
        });
    }
}

criterion_group!(benches, contiguous, dtypes, small);
criterion_main!(benches);
