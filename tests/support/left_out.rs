//! What cannot be tested here is said, and never passes in silence.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;

/// Says that `what` was left out, `because` something is missing here that could be installed or allowed.
///
/// # Panics
/// Where everything is meant to be there: `TRAINCHECK_TEST_STRICT` is set, or `CI`.
#[track_caller]
pub fn left_out(what: &str, because: &str) {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let strict = is_set("TRAINCHECK_TEST_STRICT") || is_set("CI");
    assert!(!strict, "left out, where nothing may be: {what}: {because}");
    left_out_by_this_machine(what, because);
}

/// As [`left_out`], where the machine itself lacks something that no package brings: instructions of its processor, rights
/// of this user, an interpreter that nobody ships any more. Never a failure.
///
/// The line goes into the file that `TRAINCHECK_TEST_LEFT_OUT` names, too; `scripts/test` shows at its end what is in it.
pub fn left_out_by_this_machine(what: &str, because: &str) {
    let line = format!("{what}: {because}\n");
    print!("left out: {line}");
    if let Some(file) = env::var_os("TRAINCHECK_TEST_LEFT_OUT") {
        // One write a line: several tests may have the file open.
        let file = OpenOptions::new().create(true).append(true).open(file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a file for what is left out");
    }
}
