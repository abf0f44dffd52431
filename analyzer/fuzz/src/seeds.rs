//! Writes inputs for the fuzzer to begin with into corpus/TARGET.

use std::fs;
use std::path::Path;

#[allow(dead_code)]
mod targets;

fn main() -> std::io::Result<()> {
    for target in targets::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
