//! Points in time as people write them. UTC only: a run may have been recorded anywhere.

use jiff::Timestamp;

/// The time `seconds` after the beginning of 1970, `YYYY-MM-DD HH:MM:SS UTC`.
pub fn date_and_time(seconds: u64) -> String {
    format(at(seconds), "%Y-%m-%d %H:%M:%S UTC")
}

/// The present time in a form for names of files: `YYYYMMDD-HHMMSS`.
pub fn for_file_names() -> String {
    format(Timestamp::now(), "%Y%m%d-%H%M%S")
}

/// The present day, `YYYY-MM-DD`.
pub fn today() -> String {
    format(Timestamp::now(), "%Y-%m-%d")
}

/// What lies beyond the calendar is its last second.
fn at(seconds: u64) -> Timestamp {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

fn format(time: Timestamp, form: &str) -> String {
    time.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::{at, date_and_time, format};

    #[test]
    fn seconds_become_a_date_and_a_time() {
        assert_eq!(date_and_time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date_and_time(1_709_251_199), "2024-02-29 23:59:59 UTC");
        assert_eq!(date_and_time(1_709_251_200), "2024-03-01 00:00:00 UTC");
        assert_eq!(format(at(1_709_251_199), "%Y%m%d-%H%M%S"), "20240229-235959");
        assert!(date_and_time(u64::MAX).starts_with("9999-12-30"));
    }
}
