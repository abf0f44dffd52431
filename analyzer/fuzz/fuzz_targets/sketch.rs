//! See `sketch` in src/targets.rs.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../src/targets.rs"]
mod targets;

fuzz_target!(|data: &[u8]| targets::sketch(data));
