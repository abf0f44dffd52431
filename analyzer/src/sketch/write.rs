//! A sketch as a file.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::lines::{Contents, GeneralLine, Header, RunLine, SubjectLine, places};
use super::{Counted, FORMAT, Sketch, VERSION};
use crate::whole_file;

/// How hard the compressor tries.
const EFFORT: i32 = 3;

impl Sketch {
    /// As the bytes of a file: the same for the same runs, whatever was merged with what.
    ///
    /// # Errors
    /// If there is no memory to compress in.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut lines = Lines { out: zstd::Encoder::new(Vec::new(), EFFORT)?, line: Vec::new() };
        lines.write(&Contents { runs: self.runs.len() as u64 })?;
        for run in &self.runs {
            lines.run(run)?;
        }
        let body = lines.out.finish()?;
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            traincheck: env!("CARGO_PKG_VERSION").into(),
            bytes: body.len() as u64,
            checksum: checksum(&body),
        };
        let mut bytes = serde_json::to_vec(&header)?;
        bytes.push(b'\n');
        bytes.extend(body);
        Ok(bytes)
    }

    /// Writes the file as a whole or not at all.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        whole_file::write(path, &self.to_bytes()?)
    }
}

/// That of the compressed lines, as the header has it.
pub(super) fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

/// Where lines go.
struct Lines {
    out: zstd::Encoder<'static, Vec<u8>>,
    line: Vec<u8>,
}

impl Lines {
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    fn run(&mut self, Counted { identity, reference }: &Counted) -> io::Result<()> {
        let evidence = &reference.evidence;
        let places = places(&evidence.subjects);
        self.write(&RunLine {
            run: reference.run.clone(),
            folder: identity.folder.clone(),
            recordings: identity.recordings.clone(),
            thinned: evidence.thinned.clone(),
            situations: places.keys().map(|situation| (*situation).clone()).collect(),
            subjects: evidence.subjects.len() as u64,
            general: evidence.general.len() as u64,
        })?;
        for (subject, evidence) in &evidence.subjects {
            self.write(&SubjectLine::of(subject, evidence, &places))?;
        }
        for (subject, evidence) in &evidence.general {
            self.write(&GeneralLine::of(subject, evidence))?;
        }
        Ok(())
    }
}
