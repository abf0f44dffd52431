//! Replays what fuzzers begin with and have found, and changes it here and there for a while. The changes are the same
//! every time; how many there are depends on the machine.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs, panic};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }

    /// One to eight changes: bytes replaced, pieces cut out, repeated, and moved.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(8) {
            let (at, length) = (self.below(bytes.len()), 1 + self.below(64));
            let end = (at + length).min(bytes.len());
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'9'][self.below(6)],
                _ => {}
            }
        }
    }
}

/// Runs `target` on `inputs`, on the files in `fuzz`/corpus and `fuzz`/found, and for five seconds
/// (`TRAINCHECK_FUZZ_SECONDS`) on what becomes of them.
pub fn replay(fuzz: &Path, name: &str, mut inputs: Vec<Vec<u8>>, target: fn(&[u8])) {
    for folder in ["corpus", "found"] {
        let Ok(entries) = fs::read_dir(fuzz.join(folder).join(name)) else { continue };
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        inputs.extend(files.iter().map(|path| fs::read(path).expect("a file")));
    }
    let mut random = Random(name.len() as u64);
    let seconds = env::var("TRAINCHECK_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let (begun, mut tried, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    // Something new is tried on the slowest machine, too.
    while tried < inputs.len() + 100 || begun.elapsed() < Duration::from_secs(seconds) {
        let mut input = inputs[tried % inputs.len()].clone();
        if tried >= inputs.len() {
            random.change(&mut input);
        }
        tried += 1;
        let one = Instant::now();
        if let Err(panicked) = panic::catch_unwind(|| target(&input)) {
            let path = env::temp_dir().join(format!("traincheck-{name}-{tried}"));
            fs::write(&path, &input).expect("room for what was found");
            println!("input {tried} of {name} is in {}", path.display());
            panic::resume_unwind(panicked);
        }
        slowest = slowest.max(one.elapsed());
    }
    println!("{name}: {tried} inputs, the slowest took {slowest:?}");
}
