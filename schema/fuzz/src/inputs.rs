//! Inputs that get far: right segments, their payloads, and a ring.

use std::fs;
use std::path::Path;

use traincheck_schema::ring::{HEADER_SIZE, Ring, RingInfo};

#[allow(dead_code)]
#[path = "../../tests/common/records.rs"]
mod records;

/// For the target `segment`.
pub fn of_segment() -> std::io::Result<Vec<Vec<u8>>> {
    let scratch = tempfile::tempdir()?;
    let (bytes, begins) = records::sample(&scratch.path().join("host-42-0.tcs"));
    // This file is a part of the fuzz crate, and of a test of the crate around it.
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find_map(|folder| {
        let path = folder.join("tests/golden/v1.4.tcs");
        path.exists().then_some(path)
    });
    let golden = fs::read(golden.expect("the golden file of a segment"))?;
    let mut inputs = Vec::new();
    for segment in [&bytes, &golden] {
        inputs.extend([0, 1].map(|how| [&[how], &segment[..]].concat()));
    }
    for begin in begins {
        let header = &bytes[begin as usize..];
        let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
        let payload = zstd::bulk::decompress(&header[40..40 + length], 1 << 20)?;
        inputs.push([&[header[8] + 2], &payload[..]].concat());
    }
    Ok(inputs)
}

/// For the target `ring`.
pub fn of_ring() -> Vec<Vec<u8>> {
    let mut words = vec![0_u64; (HEADER_SIZE + 1024) / 8];
    let info = RingInfo { pid: 42, index: 1, thread: 42, dictionary: false, made_wall_ns: 0 };
    // SAFETY: the words are aligned and zeroed, outlive the ring, and are not touched while it is used.
    let ring = unsafe { Ring::format(words.as_mut_ptr().cast(), words.len() * 8, &info) };
    for time in 0..6 {
        ring.push_event(&records::event(time));
        ring.push_state(&records::state(time));
        ring.push_argument(&records::argument(time));
        ring.push_collective(&records::collective(time));
        ring.push_dict(&records::entry(1, "torch.optim.adamw.AdamW.step"));
        if time < 5 {
            ring.release(ring.head());
        }
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    vec![[&[0], &bytes[..320], &bytes[HEADER_SIZE..]].concat()]
}
