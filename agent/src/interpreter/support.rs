//! Which interpreters Python calls can be recorded in.

/// The oldest minor version of CPython 3.
const OLDEST: u32 = 11;
/// The newest: what is later than this has not been looked at.
const NEWEST: u32 = 15;

/// Why Python calls are not recorded in an interpreter that says this of itself (`Py_GetVersion`); none: they are, if
/// the proofs succeed.
pub fn refusal(version: &str) -> Option<String> {
    let number = version.split_ascii_whitespace().next().unwrap_or_default();
    let Some((major, minor)) = major_and_minor(number) else {
        return Some(format!("this interpreter gives no version that is known: {number}"));
    };
    if (major, minor) < (3, OLDEST) {
        return Some(format!("CPython {number} is too old; it needs 3.{OLDEST} or newer"));
    }
    if (major, minor) > (3, NEWEST) {
        return Some(format!("CPython {number} is newer than what is known here, 3.{NEWEST}"));
    }
    // `3.13.0 experimental free-threading build (...)`, `3.14.0 free-threading build (...)`.
    version.contains("free-threading build").then(|| {
        format!("CPython {number} is a free-threaded build; what is recorded relies on the global interpreter lock")
    })
}

/// Whether this interpreter warns the job if there are several threads when `os.fork` has returned.
pub fn counts_threads_at_fork(version: &str) -> bool {
    major_and_minor(version).is_some_and(|version| version >= (3, 12))
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((number_of(parts.next()?)?, number_of(parts.next()?)?))
}

/// The digits at the beginning: `14` of `14rc1`.
fn number_of(part: &str) -> Option<u32> {
    let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    part.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_versions_are_not_refused() {
        for minor in OLDEST..=NEWEST {
            assert_eq!(refusal(&format!("3.{minor}.7 (main, Jan  8 2024, 05:00:15) [GCC 13.2.0]")), None);
            assert_eq!(refusal(&format!("3.{minor}.0rc1+ (heads/main:abc, ...)")), None);
        }
    }

    #[test]
    fn threads_are_counted_from_3_12_on() {
        for (version, counts) in [
            ("3.11.9 (main, Apr  6 2024, 17:59:24) [GCC 13.2.0]", false),
            ("3.12.3 (main, Jan  8 2024, 05:00:15) [GCC 13.2.0]", true),
            ("3.13.0rc1+ (heads/main:abc, ...)", true),
            ("2.14.0", false),
            ("", false),
        ] {
            assert_eq!(counts_threads_at_fork(version), counts, "{version}");
        }
    }

    #[test]
    fn old_versions_are_told_what_is_needed() {
        for version in ["2.7.18", "3.6.15", "3.7.16", "3.8.18", "3.9.18", "3.10.13"] {
            let why = refusal(&format!("{version} (default, Jan  8 2024) \n[GCC 13.2.0]")).expect("a reason");
            assert_eq!(why, format!("CPython {version} is too old; it needs 3.{OLDEST} or newer"));
        }
    }

    #[test]
    fn newer_versions_are_not_trusted() {
        let why = refusal(&format!("3.{}.0a1 (main) [GCC]", NEWEST + 1)).expect("a reason");
        assert!(why.contains("is newer than what is known here"), "{why}");
        assert!(refusal("4.0.0 (main) [GCC]").is_some());
    }

    #[test]
    fn free_threaded_builds_are_refused_whatever_their_version() {
        for build in ["experimental free-threading build", "free-threading build"] {
            let why = refusal(&format!("3.{NEWEST}.0 {build} (main, Oct 2024) [GCC]")).expect("a reason");
            assert!(why.contains("free-threaded"), "{why}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for version in ["", " ", "three", "3", "3.x", "x.11"] {
            assert!(refusal(version).is_some(), "{version}");
        }
    }
}
