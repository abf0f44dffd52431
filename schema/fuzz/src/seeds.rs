//! Writes inputs for the fuzzer to begin with: right segments, their payloads, and a ring.

use std::fs;
use std::path::Path;

use traincheck_schema::ring::{HEADER_SIZE, Ring, RingInfo};

#[path = "../../tests/common/records.rs"]
mod records;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("corpus/segment");
    fs::create_dir_all(&folder)?;
    let scratch = tempfile::tempdir()?;
    let (bytes, begins) = records::sample(&scratch.path().join("host-42-0.tcs"));
    let golden = fs::read(root.join("../tests/golden/v1.1.tcs"))?;
    for (name, segment) in [("sample", &bytes), ("golden", &golden)] {
        for how in [0, 1] {
            fs::write(folder.join(format!("{name}-{how}")), [&[how], &segment[..]].concat())?;
        }
    }
    for (i, begin) in begins.iter().enumerate() {
        let header = &bytes[*begin as usize..];
        let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
        let payload = zstd::bulk::decompress(&header[40..40 + length], 1 << 20)?;
        fs::write(folder.join(format!("payload-{i}")), [&[header[8] + 2], &payload[..]].concat())?;
    }

    let folder = root.join("corpus/ring");
    fs::create_dir_all(&folder)?;
    let mut words = vec![0_u64; (HEADER_SIZE + 1024) / 8];
    let info = RingInfo { pid: 42, index: 1, thread: 42, dictionary: false };
    // SAFETY: the words are aligned and zeroed, outlive the ring, and are not touched while it is used.
    let ring = unsafe { Ring::format(words.as_mut_ptr().cast(), words.len() * 8, &info) };
    for time in 0..6 {
        ring.push_event(&records::event(time));
        ring.push_state(&records::state(time));
        ring.push_argument(&records::argument(time));
        ring.push_dict(&records::entry(1, "torch.optim.adamw.AdamW.step"));
        if time < 5 {
            ring.release(ring.head());
        }
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    fs::write(folder.join("ring"), [&[0], &bytes[..320], &bytes[HEADER_SIZE..]].concat())?;
    Ok(())
}
