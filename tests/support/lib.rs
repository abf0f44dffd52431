//! Helpers of the end-to-end tests: running real Python with and without the agent, and reading what it recorded.
//!
//! Two variables say with what: `TRAINCHECK_TEST_PYTHON`, a Python with what `environments/py311-torch2.9.txt` lists, and
//! `TRAINCHECK_TEST_BIN`, the folder of `traincheck` and `libtraincheck.so`. `scripts/test` sets both.
mod arguments;
mod left_out;
mod run;
mod trace;

pub use left_out::{left_out, left_out_by_this_machine};
pub use run::{
    Finished, agent, finish, finish_within, interpreters, plain, plain_in, preloaded, preloaded_in, preloads,
    python, repository, shared_library, spawn, traincheck,
};
pub use trace::{ProcessTrace, Trace};

use std::path::PathBuf;

/// One of the training scripts in `tests/pipelines`.
pub fn pipeline(name: &str) -> PathBuf {
    repository().join("tests/pipelines").join(name)
}

/// One of the small scripts in `tests/scripts`, each for one test.
pub fn script(name: &str) -> PathBuf {
    repository().join("tests/scripts").join(name)
}

/// A folder that is removed when the test has ended well.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("traincheck-test-").tempdir().expect("a temporary folder")
}
