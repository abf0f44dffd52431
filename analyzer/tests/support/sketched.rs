//! The bytes of sketches, taken apart and put together.

/// The lines behind the first one.
pub fn lines(sketch: &[u8]) -> Vec<u8> {
    zstd::decode_all(parts(sketch).1).expect("what was written")
}

/// The same sketch with other lines, and a first one that fits.
pub fn with_lines(sketch: &[u8], lines: &[u8]) -> Vec<u8> {
    let header = std::str::from_utf8(parts(sketch).0).expect("text");
    let said_before = header.split("\"bytes\"").next().unwrap_or_default();
    let body = zstd::encode_all(lines, 1).expect("memory");
    let checksum = xxhash_rust::xxh3::xxh3_64(&body);
    let header = format!("{said_before}\"bytes\":{},\"checksum\":\"{checksum:016x}\"}}\n", body.len());
    [header.as_bytes(), &body].concat()
}

fn parts(sketch: &[u8]) -> (&[u8], &[u8]) {
    let end = sketch.iter().position(|byte| *byte == b'\n').expect("a first line");
    (&sketch[..end], &sketch[end + 1..])
}
