//! Columns of numbers, each in the narrowest list that holds them all.

use thiserror::Error;

use crate::trace_capnp::{column, deltas};

/// Why a payload cannot be what was written, although its checksum is right.
#[derive(Debug, Error)]
pub(super) enum PayloadError {
    #[error("its message is malformed: {0}")]
    Message(#[from] capnp::Error),
    #[error("it has a column of an unknown kind")]
    UnknownColumn(#[from] capnp::NotInSchema),
    #[error("a column has {found} rows instead of {expected}")]
    Rows { expected: usize, found: usize },
    #[error("a column is a list of other things than numbers")]
    NoNumbers,
    #[error("a number is too large for its field")]
    Range,
    #[error("it says it has {found} rows, more than {allowed}")]
    TooMany { found: u32, allowed: usize },
    #[error("a dictionary id is 0 or beyond the limit")]
    DictionaryId,
    #[error("a text is longer than a text may be")]
    TextTooLong,
    #[error("it does not decompress to as many bytes as it says")]
    Compression,
    #[error("a text is not UTF-8")]
    NotUtf8,
}

impl From<std::str::Utf8Error> for PayloadError {
    fn from(_: std::str::Utf8Error) -> Self {
        PayloadError::NotUtf8
    }
}

/// Whether a number of things that a payload says it has is one that it may have.
pub(super) fn at_most(found: u32, allowed: usize) -> Result<(), PayloadError> {
    if found as usize > allowed { Err(PayloadError::TooMany { found, allowed }) } else { Ok(()) }
}

/// Small differences of either sign as small numbers.
pub(super) fn zigzag(number: u64) -> u64 {
    (number << 1) ^ ((number as i64 >> 63) as u64)
}

pub(super) fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// Fills a column with `values`.
pub(super) fn put(mut column: column::Builder<'_>, values: impl Iterator<Item = u64> + Clone) {
    let mut first = None;
    let (mut rows, mut bits, mut constant) = (0_usize, 0_u64, true);
    for value in values.clone() {
        constant &= *first.get_or_insert(value) == value;
        bits |= value;
        rows += 1;
    }
    if constant {
        return column.set_constant(first.unwrap_or(0));
    }
    // A frame has at most `MAX_ROWS` rows.
    let count = rows as u32;
    if bits <= u64::from(u8::MAX) {
        for (place, value) in column.init_bytes(count).iter_mut().zip(values) {
            *place = value as u8;
        }
    } else if bits <= u64::from(u16::MAX) {
        let mut list = column.init_shorts(count);
        (0..count).zip(values).for_each(|(row, value)| list.set(row, value as u16));
    } else if bits <= u64::from(u32::MAX) {
        let mut list = column.init_longs(count);
        (0..count).zip(values).for_each(|(row, value)| list.set(row, value as u32));
    } else {
        let mut list = column.init_quads(count);
        (0..count).zip(values).for_each(|(row, value)| list.set(row, value));
    }
}

/// Gives each of `rows` its value in a column, none greater than `max`.
#[inline]
pub(super) fn each<R>(
    column: column::Reader<'_>,
    rows: impl ExactSizeIterator<Item = R>,
    max: u64,
    mut set: impl FnMut(R, u64),
) -> Result<(), PayloadError> {
    let expected = rows.len();
    let expect = |found: usize| {
        if found == expected { Ok(()) } else { Err(PayloadError::Rows { expected, found }) }
    };
    let mut bits = 0;
    let mut put = |(row, value): (R, u64)| {
        bits |= value;
        set(row, value);
    };
    match column.which()? {
        column::Constant(value) => rows.for_each(|row| put((row, value))),
        column::Bytes(list) => {
            let list = list?;
            expect(list.len())?;
            rows.zip(list.iter().map(|value| u64::from(*value))).for_each(put);
        }
        column::Shorts(list) => {
            let list = list?;
            expect(list.len() as usize)?;
            rows.zip(list.as_slice().ok_or(PayloadError::NoNumbers)?.iter().map(|value| u64::from(*value)))
                .for_each(put);
        }
        column::Longs(list) => {
            let list = list?;
            expect(list.len() as usize)?;
            rows.zip(list.as_slice().ok_or(PayloadError::NoNumbers)?.iter().map(|value| u64::from(*value)))
                .for_each(put);
        }
        column::Quads(list) => {
            let list = list?;
            expect(list.len() as usize)?;
            rows.zip(list.as_slice().ok_or(PayloadError::NoNumbers)?.iter().copied()).for_each(put);
        }
    }
    // `max` is a mask of ones: the or of all values exceeds it if one of them does.
    if bits > max { Err(PayloadError::Range) } else { Ok(()) }
}

/// Fills a column with the differences between successive `values`.
pub(super) fn put_deltas(mut deltas: deltas::Builder<'_>, values: impl Iterator<Item = u64> + Clone) {
    let first = values.clone().next().unwrap_or(0);
    deltas.set_first(first);
    let steps = values.scan(first, |previous, value| {
        let step = value.wrapping_sub(*previous);
        *previous = value;
        Some(zigzag(step))
    });
    put(deltas.init_steps(), steps);
}

/// Gives each of `rows` its value in a column of differences.
#[inline]
pub(super) fn each_sum<R>(
    deltas: deltas::Reader<'_>,
    rows: impl ExactSizeIterator<Item = R>,
    max: u64,
    mut set: impl FnMut(R, u64),
) -> Result<(), PayloadError> {
    let mut sum = deltas.get_first();
    let mut bits = 0;
    each(deltas.get_steps()?, rows, u64::MAX, |row, step| {
        sum = sum.wrapping_add(unzigzag(step));
        bits |= sum;
        set(row, sum);
    })?;
    if bits > max { Err(PayloadError::Range) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use capnp::message::Builder;

    use super::*;

    /// What a column that holds `values` reads as.
    fn read(values: &[u64], rows: usize, max: u64) -> Result<Vec<u64>, PayloadError> {
        let mut message = Builder::new_default();
        put(message.init_root(), values.iter().copied());
        let mut read = vec![0; rows];
        each(message.get_root_as_reader()?, read.iter_mut(), max, |row, value| *row = value)?;
        Ok(read)
    }

    fn read_deltas(values: &[u64], rows: usize, max: u64) -> Result<Vec<u64>, PayloadError> {
        let mut message = Builder::new_default();
        put_deltas(message.init_root(), values.iter().copied());
        let mut read = vec![0; rows];
        each_sum(message.get_root_as_reader()?, read.iter_mut(), max, |row, value| *row = value)?;
        Ok(read)
    }

    #[test]
    fn every_width_holds_its_greatest_number() {
        for max in [0, 1, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            for values in [vec![max], vec![max, max], vec![0, max, 1]] {
                let all_ones = max.checked_next_power_of_two().map_or(u64::MAX, |power| power * 2 - 1);
                assert_eq!(read(&values, values.len(), all_ones).unwrap(), values);
                assert_eq!(read_deltas(&values, values.len(), all_ones).unwrap(), values);
            }
        }
    }

    #[test]
    fn a_number_that_its_field_cannot_hold_is_refused() {
        for values in [vec![256], vec![1, 256, 2], vec![u64::MAX, 0]] {
            assert!(matches!(read(&values, values.len(), 255), Err(PayloadError::Range)));
            assert!(matches!(read_deltas(&values, values.len(), 255), Err(PayloadError::Range)));
        }
    }

    #[test]
    fn a_column_of_another_length_is_refused() {
        for width in [1, 256, 65_536, 1 << 32] {
            let refused = read(&[0, width], 3, u64::MAX);
            assert!(matches!(refused, Err(PayloadError::Rows { expected: 3, found: 2 })));
            assert!(matches!(read_deltas(&[0, width], 1, u64::MAX), Err(PayloadError::Rows { .. })));
        }
    }

    #[test]
    fn zigzag_is_undone() {
        for number in [0, 1, 2, u64::MAX, 1 << 63, (1 << 63) - 1] {
            assert_eq!(unzigzag(zigzag(number)), number);
        }
        assert_eq!([0_i64, -1, 1, -2].map(|number| zigzag(number as u64)), [0, 1, 2, 3]);
    }
}
