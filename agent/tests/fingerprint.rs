//! Fingerprints against a version of them that is written to be obviously right.

use std::collections::HashSet;

use half::{bf16, f16};
use proptest::prelude::*;
use traincheck::libtorch::view::{Dtype, TensorView};
use traincheck::state::fingerprint::{CHUNK, Fingerprint, Path, fingerprint_of, fingerprint_on};
use traincheck_tests::left_out_by_this_machine;

const DTYPES: [Dtype; 21] = [
    Dtype::Bool,
    Dtype::U8,
    Dtype::I8,
    Dtype::U16,
    Dtype::I16,
    Dtype::U32,
    Dtype::I32,
    Dtype::U64,
    Dtype::I64,
    Dtype::F16,
    Dtype::Bf16,
    Dtype::F32,
    Dtype::F64,
    Dtype::F8E5M2,
    Dtype::F8E4M3Fn,
    Dtype::F8E5M2Fnuz,
    Dtype::F8E4M3Fnuz,
    Dtype::F8E8M0Fnu,
    Dtype::C32,
    Dtype::C64,
    Dtype::C128,
];

/// The definition of the hash, word by word.
mod naive_hash {
    use super::CHUNK;

    fn mix(mut word: u64) -> u64 {
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

    fn key(position: u64) -> u64 {
        mix((position + 1).wrapping_mul(GOLDEN))
    }

    pub fn hash(bytes: &[u8]) -> (u64, u64) {
        let (mut low, mut high) = (0u64, 0u64);
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            let mut padded = chunk.to_vec();
            padded.resize(chunk.len().next_multiple_of(64), 0);
            let (mut first, mut second, mut plain) = (0u64, 0u64, 0u64);
            for (position, word) in padded.chunks(8).enumerate() {
                let word = u64::from_le_bytes(word.try_into().expect("8 bytes"));
                let halves = |keyed: u64| (keyed & 0xffff_ffff) * (keyed >> 32);
                first = first.wrapping_add(halves(word.wrapping_add(key(position as u64))));
                second = second.wrapping_add(halves(word.wrapping_add(key(position as u64 + 8))));
                plain = plain.wrapping_add(word);
            }
            let place = mix(plain.wrapping_add((2 * index as u64 + 1).wrapping_mul(GOLDEN)));
            low = low.wrapping_add(mix(first ^ place));
            high = high.wrapping_add(mix(second.wrapping_add(place.rotate_left(32))));
        }
        let length = mix((bytes.len() as u64).wrapping_add(GOLDEN));
        let low = mix(low.wrapping_add(length) ^ high.rotate_left(32));
        (low, mix(high ^ length ^ low.rotate_left(17)))
    }
}

/// A float8 from its definition: sign, exponent, mantissa.
fn float8(
    byte: u8,
    mantissa_bits: i32,
    bias: i32,
    nan: impl Fn(u8) -> bool,
    inf: impl Fn(u8) -> bool,
) -> f64 {
    let sign = if byte & 0x80 != 0 { -1.0 } else { 1.0 };
    let exponent = i32::from(byte & 0x7f) >> mantissa_bits;
    let mantissa = f64::from(i32::from(byte & 0x7f) & ((1 << mantissa_bits) - 1));
    let scale = 2f64.powi(mantissa_bits);
    match () {
        () if nan(byte) => f64::NAN,
        () if inf(byte) => sign * f64::INFINITY,
        () if exponent == 0 => sign * mantissa / scale * 2f64.powi(1 - bias),
        () => sign * (1.0 + mantissa / scale) * 2f64.powi(exponent - bias),
    }
}

fn value(part: Dtype, bytes: &[u8]) -> f64 {
    macro_rules! read {
        ($number:ty) => {
            <$number>::from_le_bytes(bytes.try_into().expect("an element"))
        };
    }
    match part {
        Dtype::Bool => f64::from(u8::from(bytes[0] != 0)),
        Dtype::U8 => f64::from(bytes[0]),
        Dtype::I8 => f64::from(read!(i8)),
        Dtype::U16 => f64::from(read!(u16)),
        Dtype::I16 => f64::from(read!(i16)),
        Dtype::U32 => f64::from(read!(u32)),
        Dtype::I32 => f64::from(read!(i32)),
        Dtype::U64 => read!(u64) as f64,
        Dtype::I64 => read!(i64) as f64,
        Dtype::F16 => read!(f16).to_f64(),
        Dtype::Bf16 => read!(bf16).to_f64(),
        Dtype::F32 => f64::from(read!(f32)),
        Dtype::F64 => read!(f64),
        Dtype::F8E5M2 => float8(bytes[0], 2, 15, |b| b & 0x7f > 0x7c, |b| b & 0x7f == 0x7c),
        Dtype::F8E4M3Fn => float8(bytes[0], 3, 7, |b| b & 0x7f == 0x7f, |_| false),
        Dtype::F8E5M2Fnuz => float8(bytes[0], 2, 16, |b| b == 0x80, |_| false),
        Dtype::F8E4M3Fnuz => float8(bytes[0], 3, 8, |b| b == 0x80, |_| false),
        Dtype::F8E8M0Fnu if bytes[0] == 0xff => f64::NAN,
        Dtype::F8E8M0Fnu => 2f64.powi(i32::from(bytes[0]) - 127),
        Dtype::C32 | Dtype::C64 | Dtype::C128 => unreachable!("a part is real"),
    }
}

/// The logical bytes of a view, element by element.
fn logical(view: &TensorView) -> Vec<u8> {
    let width = view.dtype().size() as isize;
    let mut offsets = vec![0isize];
    for (&size, &stride) in view.sizes().iter().zip(view.strides()) {
        offsets = offsets.iter().flat_map(|&at| (0..size).map(move |i| at + (i * stride) as isize)).collect();
    }
    let mut bytes = Vec::new();
    for offset in offsets {
        // SAFETY: an element of the view, which lies in the buffer of the test.
        let element =
            unsafe { std::slice::from_raw_parts(view.data().offset(offset * width), width as usize) };
        bytes.extend_from_slice(element);
    }
    bytes
}

fn naive(view: &TensorView) -> Fingerprint {
    let bytes = logical(view);
    let part = view.dtype().part();
    let values: Vec<f64> = bytes.chunks(part.size()).map(|element| value(part, element)).collect();
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let (hash_low, hash_high) = naive_hash::hash(&bytes);
    let narrow = |value: f64| if finite.is_empty() { 0.0 } else { (value as f32).clamp(f32::MIN, f32::MAX) };
    Fingerprint {
        hash_low,
        hash_high,
        nan: values.iter().filter(|value| value.is_nan()).count() as u32,
        inf: values.iter().filter(|value| value.is_infinite()).count() as u32,
        zeros: values.iter().filter(|&&value| value == 0.0).count() as u64,
        elements: values.len() as u64,
        min: narrow(finite.iter().copied().fold(f64::INFINITY, f64::min)),
        max: narrow(finite.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        l2: narrow(finite.iter().map(|value| value * value).sum::<f64>().sqrt()),
    }
}

/// All of it exact, but for the L2 norm, which is a sum that is rounded in another order.
fn assert_matches(found: &Fingerprint, expected: &Fingerprint) {
    let near = (found.l2 - expected.l2).abs() <= 3e-6 * expected.l2;
    assert!(near, "l2 {} is not {}", found.l2, expected.l2);
    assert_eq!(Fingerprint { l2: 0.0, ..*found }, Fingerprint { l2: 0.0, ..*expected });
}

fn view<'a>(
    dtype: Dtype,
    bytes: &'a [u8],
    sizes: &'a [i64],
    strides: &'a [i64],
    first: usize,
) -> TensorView<'a> {
    let reach = |sign: i64| -> i64 {
        sizes.iter().zip(strides).map(|(size, stride)| (size - 1) * (stride * sign).max(0)).sum()
    };
    if !sizes.contains(&0) {
        assert!(reach(-1) as usize <= first);
        assert!((first + reach(1) as usize + 1) * dtype.size() <= bytes.len());
    }
    // SAFETY: every element lies in `bytes`, as was just asserted.
    unsafe {
        let data = bytes.as_ptr().wrapping_add(first * dtype.size());
        TensorView::new(dtype, data, sizes, strides).expect("a tensor")
    }
}

#[test]
fn every_path_of_this_architecture_is_tried() {
    #[cfg(target_arch = "x86_64")]
    for path in [Path::Avx2, Path::Avx512] {
        if !Path::available().contains(&path) {
            left_out_by_this_machine(
                &format!("fingerprints by {path:?}"),
                "the processor has no such instructions",
            );
        }
    }
    #[cfg(target_arch = "aarch64")]
    assert!(Path::available().contains(&Path::Neon));
}

fn check_everywhere(view: &TensorView) {
    let expected = naive(view);
    let plain = fingerprint_on(Path::Portable, view);
    assert_matches(&plain, &expected);
    for path in Path::available() {
        let found = fingerprint_on(path, view);
        assert_eq!(found, plain, "{path:?}");
        assert_eq!(found.l2.to_bits(), plain.l2.to_bits(), "{path:?}");
        assert_eq!(found.min.to_bits(), plain.min.to_bits(), "{path:?}");
        assert_eq!(found.max.to_bits(), plain.max.to_bits(), "{path:?}");
    }
}

/// Elements as they are in training (small numbers of both signs), with some of the odd ones between.
fn fill(part: Dtype, count: usize, seed: u64, odd: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let mut bytes = Vec::with_capacity(count * part.size());
    for _ in 0..count {
        let random = next();
        let uniform = (random >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0;
        let specials =
            [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-30, -1e-42, 3e38, 1e300, -6e-8];
        let value = if odd > 0 && (random % u64::from(odd)) == 0 {
            specials[(next() % specials.len() as u64) as usize]
        } else {
            uniform
        };
        match part {
            Dtype::F16 => bytes.extend(f16::from_f64(value).to_le_bytes()),
            Dtype::Bf16 => bytes.extend(bf16::from_f64(value).to_le_bytes()),
            Dtype::F32 => bytes.extend((value as f32).to_le_bytes()),
            Dtype::F64 => bytes.extend(value.to_le_bytes()),
            // Indices and counters are small; some are not, and many are zero.
            Dtype::I64 | Dtype::U64 | Dtype::I32 | Dtype::U32 | Dtype::I16 | Dtype::U16
                if random % 7 != 0 || odd == 0 =>
            {
                bytes.extend(&(random % 100).to_le_bytes()[..part.size()]);
            }
            _ => bytes.extend(&next().to_le_bytes()[..part.size()]),
        }
    }
    bytes
}

fn any_dtype() -> impl Strategy<Value = Dtype> {
    prop::sample::select(DTYPES.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn contiguous_tensors(dtype in any_dtype(), count in 0usize..6000, seed: u64, odd in prop::sample::select(vec![0u32, 3, 1000])) {
        let bytes = fill(dtype.part(), count * dtype.size() / dtype.part().size(), seed, odd);
        check_everywhere(&view(dtype, &bytes, &[count as i64], &[1], 0));
    }

    #[test]
    fn bits_without_meaning(dtype in any_dtype(), bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let count = (bytes.len() / dtype.size()) as i64;
        check_everywhere(&view(dtype, &bytes, &[count], &[1], 0));
    }

    #[test]
    fn strided_tensors(
        dtype in any_dtype(),
        dimensions in prop::collection::vec((0i64..9, -7i64..20), 0..5),
        seed: u64,
    ) {
        let (sizes, strides): (Vec<i64>, Vec<i64>) = dimensions.into_iter().unzip();
        let reach = |sign: i64| -> i64 {
            sizes.iter().zip(&strides).map(|(size, stride)| (size - 1).max(0) * (stride * sign).max(0)).sum()
        };
        let (before, after) = (reach(-1) as usize, reach(1) as usize + 1);
        let parts = (before + after) * dtype.size() / dtype.part().size();
        let bytes = fill(dtype.part(), parts, seed, 20);
        check_everywhere(&view(dtype, &bytes, &sizes, &strides, before));
    }

    #[test]
    fn layout_does_not_matter(rows in 1i64..80, columns in 1i64..80, seed: u64) {
        let count = (rows * columns) as usize;
        let transposed = fill(Dtype::F32, count, seed, 50);
        let straight: Vec<u8> =
            logical(&view(Dtype::F32, &transposed, &[rows, columns], &[1, rows], 0));
        let one = fingerprint_of(&view(Dtype::F32, &transposed, &[rows, columns], &[1, rows], 0));
        let other = fingerprint_of(&view(Dtype::F32, &straight, &[rows, columns], &[columns, 1], 0));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn one_changed_bit_changes_both_halves(count in 1usize..5000, seed: u64, bit: prop::sample::Index) {
        let mut bytes = fill(Dtype::F32, count, seed, 0);
        let before = fingerprint_of(&view(Dtype::F32, &bytes, &[count as i64], &[1], 0));
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let after = fingerprint_of(&view(Dtype::F32, &bytes, &[count as i64], &[1], 0));
        prop_assert_ne!(before.hash_low, after.hash_low);
        prop_assert_ne!(before.hash_high, after.hash_high);
    }

    #[test]
    fn two_swapped_elements_change_it(count in 2usize..5000, seed: u64, a: prop::sample::Index, b: prop::sample::Index) {
        let mut values: Vec<u32> = (0..count as u32).map(|i| i.wrapping_mul(2_654_435_761) ^ seed as u32).collect();
        let (a, b) = (a.index(count), b.index(count));
        prop_assume!(a != b);
        let bytes = |values: &[u32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let before = fingerprint_of(&view(Dtype::I32, &bytes(&values), &[count as i64], &[1], 0));
        values.swap(a, b);
        let after = fingerprint_of(&view(Dtype::I32, &bytes(&values), &[count as i64], &[1], 0));
        prop_assert_ne!(before.hash_low, after.hash_low);
        prop_assert_ne!(before.hash_high, after.hash_high);
    }
}

#[test]
fn strides_that_lead_nowhere_mean_nothing() {
    let bytes = fill(Dtype::F32, 12, 3, 0);
    let plain = fingerprint_of(&view(Dtype::F32, &bytes, &[3, 4], &[4, 1], 0));
    let odd = fingerprint_of(&view(Dtype::F32, &bytes, &[1, 3, 1, 4], &[i64::MAX, 4, -i64::MAX, 1], 0));
    assert_eq!(plain, odd);
}

#[test]
fn the_ends_of_integers_are_counted() {
    macro_rules! ends {
        ($($number:ident: $dtype:expr),+) => {$(
            let numbers = [$number::MIN, $number::MAX, 0, 1, $number::MIN, $number::MAX];
            for count in 1..=numbers.len() {
                let bytes: Vec<u8> = numbers[..count].iter().flat_map(|number| number.to_le_bytes()).collect();
                check_everywhere(&view($dtype, &bytes, &[count as i64], &[1], 0));
            }
            let many: Vec<u8> = numbers.iter().cycle().take(3000).flat_map(|number| number.to_le_bytes()).collect();
            check_everywhere(&view($dtype, &many, &[3000], &[1], 0));
        )+};
    }
    ends!(u8: Dtype::U8, i8: Dtype::I8, u16: Dtype::U16, i16: Dtype::I16);
    ends!(u32: Dtype::U32, i32: Dtype::I32, u64: Dtype::U64, i64: Dtype::I64);
}

#[test]
fn every_length_around_lines_and_chunks() {
    for dtype in DTYPES {
        let width = dtype.size();
        let lengths = (0..200).chain((2 * CHUNK - 80) / width..=(2 * CHUNK + 80) / width);
        for length in lengths {
            let bytes = fill(dtype.part(), length * width / dtype.part().size(), length as u64 + 1, 0);
            check_everywhere(&view(dtype, &bytes, &[length as i64], &[1], 0));
        }
    }
}

#[test]
fn every_address_gives_the_same() {
    let values = fill(Dtype::F32, 3000, 1, 0);
    let expected = fingerprint_of(&view(Dtype::F32, &values, &[3000], &[1], 0));
    for shift in 1..64 {
        let mut moved = vec![0; shift];
        moved.extend(&values);
        assert_eq!(fingerprint_of(&view(Dtype::F32, &moved[shift..], &[3000], &[1], 0)), expected);
    }
}

#[test]
fn zeros_of_different_lengths_differ() {
    let zeros = vec![0; 2 * CHUNK + 100];
    let lengths = (0..=zeros.len()).step_by(1);
    let hashes: HashSet<(u64, u64)> = lengths
        .map(|length| {
            let fingerprint = fingerprint_of(&view(Dtype::U8, &zeros, &[length as i64], &[1], 0));
            (fingerprint.hash_low, fingerprint.hash_high)
        })
        .collect();
    assert_eq!(hashes.len(), zeros.len() + 1);
}

#[test]
fn swapped_chunks_differ() {
    let bytes = fill(Dtype::U8, 3 * CHUNK, 5, 0);
    let mut swapped = bytes.clone();
    swapped[..CHUNK].copy_from_slice(&bytes[CHUNK..2 * CHUNK]);
    swapped[CHUNK..2 * CHUNK].copy_from_slice(&bytes[..CHUNK]);
    let of = |bytes: &[u8]| fingerprint_of(&view(Dtype::U8, bytes, &[bytes.len() as i64], &[1], 0)).hash_low;
    assert_ne!(of(&bytes), of(&swapped));
}

/// Low-entropy contents, as embeddings of counters or masks have them: no two of many thousands agree in 64 bits.
#[test]
fn structured_contents_do_not_collide() {
    let mut low = HashSet::new();
    let mut high = HashSet::new();
    let mut count = 0;
    let mut add = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let fingerprint = fingerprint_of(&view(Dtype::F32, &bytes, &[values.len() as i64], &[1], 0));
        low.insert(fingerprint.hash_low);
        high.insert(fingerprint.hash_high);
        count += 1;
    };
    let ones = [1.0f32; 64];
    for i in 0..64 {
        for j in 0..i {
            // One step up here and one down there, of one and of two units in the last place.
            for (up, down) in [(1, 1), (2, 2), (1, 2), (2, 1)] {
                let mut values = ones;
                values[i] = f32::from_bits(values[i].to_bits() + up);
                values[j] = f32::from_bits(values[j].to_bits() - down);
                add(&values);
            }
        }
    }
    for i in 1..63 {
        let mut values = ones;
        values[i - 1] = f32::from_bits(values[i - 1].to_bits() + 1);
        values[i] = f32::from_bits(values[i].to_bits() - 2);
        values[i + 1] = f32::from_bits(values[i + 1].to_bits() + 1);
        add(&values);
    }
    for mask in 0..1 << 14 {
        let values: Vec<f32> =
            (0..64).map(|bit| if bit < 14 && mask >> bit & 1 == 1 { 1.0 } else { 0.0 }).collect();
        add(&values);
    }
    assert_eq!((low.len(), high.len()), (count, count));
}

#[test]
fn the_sign_of_zero_and_the_payload_of_nan_count() {
    let of = |bits: u32| {
        let bytes = bits.to_le_bytes();
        fingerprint_of(&view(Dtype::F32, &bytes, &[1], &[1], 0))
    };
    let (plus, minus) = (of(0), of(0x8000_0000));
    assert_ne!(plus.hash_low, minus.hash_low);
    assert_eq!((plus.zeros, minus.zeros), (1, 1));
    let (quiet, other) = (of(0x7fc0_0000), of(0x7fc0_0001));
    assert_ne!(quiet.hash_low, other.hash_low);
    assert_eq!((quiet.nan, other.nan), (1, 1));
    assert_eq!((quiet.min, quiet.max, quiet.l2), (0.0, 0.0, 0.0));
}

/// The hash is kept in traces: it must never change.
#[test]
fn the_hash_is_pinned() {
    let bytes: Vec<u8> = (0..20_000u32).map(|i| (i * 7 + (i >> 8)) as u8).collect();
    let fingerprint = fingerprint_of(&view(Dtype::U8, &bytes, &[20_000], &[1], 0));
    assert_eq!((fingerprint.hash_low, fingerprint.hash_high), PINNED);
}

const PINNED: (u64, u64) = (13_050_900_376_015_407_562, 12_430_745_398_449_554_898);

/// Training scripts set it for speed; it changes what arithmetic makes of tiny numbers.
#[test]
fn flushing_subnormals_to_zero_changes_nothing() {
    let values: Vec<u8> = (1..3000u32).flat_map(|i| (f32::from_bits(i * 7)).to_le_bytes()).collect();
    let halves: Vec<u8> = (1..900u16).flat_map(|i| i.to_le_bytes()).collect();
    let all = || {
        Path::available().into_iter().flat_map(|path| {
            [
                fingerprint_on(path, &view(Dtype::F32, &values, &[2999], &[1], 0)),
                fingerprint_on(path, &view(Dtype::F16, &halves, &[899], &[1], 0)),
            ]
        })
    };
    let expected: Vec<Fingerprint> = all().collect();
    assert!(expected[0].l2 > 0.0 && expected[0].zeros == 0);
    let before = environment::get();
    environment::set(before | environment::FLUSHING);
    let flushed: Vec<Fingerprint> = all().collect();
    let after = environment::get();
    environment::set(before);
    assert_eq!(flushed, expected);
    assert_eq!(after & environment::FLUSHING, environment::FLUSHING);
}

/// The register that says how this thread computes. What is set in it here is put back.
mod environment {
    use std::arch::asm;

    /// Subnormal results, and on x86 operands, are taken for zero.
    pub const FLUSHING: u64 = if cfg!(target_arch = "x86_64") { 0x8040 } else { 1 << 24 };

    #[cfg(target_arch = "x86_64")]
    pub fn get() -> u64 {
        let mut register = 0u32;
        // SAFETY: writes four bytes to a local.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut register) };
        register.into()
    }

    #[cfg(target_arch = "x86_64")]
    pub fn set(register: u64) {
        let register = register as u32;
        // SAFETY: no bit of it lets an exception through.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &register) };
    }

    #[cfg(target_arch = "aarch64")]
    pub fn get() -> u64 {
        let register;
        // SAFETY: reads a register that every thread may read.
        unsafe { asm!("mrs {}, fpcr", out(reg) register) };
        register
    }

    #[cfg(target_arch = "aarch64")]
    pub fn set(register: u64) {
        // SAFETY: no bit of it lets an exception through.
        unsafe { asm!("msr fpcr, {}", in(reg) register) };
    }
}
