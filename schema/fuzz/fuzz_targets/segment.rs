//! Reads bytes as a segment. The first byte chooses how far they get: as they are; with all checksums made
//! right; or as the payload of a frame that is right.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use traincheck_schema::segment::SegmentReader;

#[path = "../../tests/common/damage.rs"]
mod damage;

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = match how % 9 {
        0 => rest.to_vec(),
        1 | 2 => {
            let mut bytes = rest.to_vec();
            damage::reseal(&mut bytes);
            bytes
        }
        kind => damage::wrap(&[(kind - 2, rest.to_vec(), rest.len() as u32)]),
    };
    let most = bytes.len() + 10;
    let Ok(mut reader) = SegmentReader::new(bytes, Path::new("memory.tcs")) else { return };
    for _ in 0..most {
        if reader.next_frame().is_none() {
            return;
        }
    }
    panic!("there is no end to it");
});
