//! Points in time as people write them. UTC only: a run may have been recorded anywhere.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A second of the Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { year, month, day, hour, minute, second } = self;
        write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

/// The moment `seconds` after the beginning of 1970.
pub fn moment(seconds: u64) -> Moment {
    let (year, month, day) = date((seconds / 86_400) as i64);
    Moment { year, month, day, hour: seconds / 3_600 % 24, minute: seconds / 60 % 60, second: seconds % 60 }
}

/// The present day, `YYYY-MM-DD`.
pub fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Moment { year, month, day, .. } = moment(since.as_secs());
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    // Counted in years that begin in March, so that the leap day is the last of its year; 719,468 days lie
    // between 0000-03-01 and 1970-01-01, and 146,097 days are 400 years.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{date, moment};

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(-1), (1969, 12, 31));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(date(19_783), (2024, 3, 1));
        assert_eq!(date(20_453), (2025, 12, 31));
        assert_eq!(date(20_454), (2026, 1, 1));
    }

    #[test]
    fn seconds_become_a_moment() {
        assert_eq!(moment(1_709_251_199).to_string(), "2024-02-29 23:59:59 UTC");
    }
}
