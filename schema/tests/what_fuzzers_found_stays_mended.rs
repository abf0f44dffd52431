//! The fuzz targets of the readers on what they begin with, on what they have found, and on changes of it.

use std::path::Path;

#[path = "../fuzz/src/inputs.rs"]
mod inputs;
#[path = "common/replay.rs"]
mod replay;
#[path = "../fuzz/src/targets.rs"]
mod targets;

fn fuzz() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[test]
fn segments() {
    replay::replay(&fuzz(), "segment", inputs::of_segment().unwrap(), targets::segment);
}

#[test]
fn rings() {
    replay::replay(&fuzz(), "ring", inputs::of_ring(), targets::ring);
}
