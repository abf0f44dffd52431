//! A sketch from a file.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::identity::Identity;
use super::lines::{BadLine, Contents, GeneralLine, Header, RunLine, SubjectLine};
use super::write::checksum;
use super::{Counted, FORMAT, Sketch, VERSION};
use crate::evidence::RunEvidence;
use crate::infer::Reference;
use crate::invariants::Envelope;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 32;
/// The longest line, in bytes.
const LONGEST_LINE: u64 = 1 << 28;
/// The same of the first one.
const LONGEST_HEADER: usize = 1 << 10;

/// Why a sketch cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadSketchError {
    /// There is none, or it cannot be read.
    #[error(
        "{path}: cannot read the sketch: {source}; make one with `traincheck infer --partial RUN... -o FILE`"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than any sketch.
    #[error("{path}: {bytes} bytes is too large for a sketch; is it another file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Something else, or nothing but the beginning of one.
    #[error(
        "{path}: not a sketch, or cut off in its first line; make one with `traincheck infer --partial RUN... -o FILE`"
    )]
    NotASketch {
        /// The file.
        path: PathBuf,
    },
    /// In another version of the format.
    #[error(
        "{path}: a sketch of version {version}, and this traincheck reads version {VERSION}; make it anew with \
         `traincheck infer --partial RUN... -o FILE`"
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u64,
    },
    /// Made by another traincheck, whose rules may be others.
    #[error(
        "{path}: counted by traincheck {found}, and this is {}: they may count differently; merge with {found}, or make it \
         anew with `traincheck infer --partial RUN... -o FILE`",
        env!("CARGO_PKG_VERSION")
    )]
    OtherRelease {
        /// The file.
        path: PathBuf,
        /// The version of the traincheck that made it.
        found: String,
    },
    /// Bytes are missing.
    #[error(
        "{path}: cut off: of {expected} bytes behind its first line {found} are there; copy it again, or make it anew"
    )]
    CutOff {
        /// The file.
        path: PathBuf,
        /// How many bytes were written.
        expected: u64,
        /// How many are there.
        found: u64,
    },
    /// Bytes are not those that were written.
    #[error("{path}: damaged: {what}; copy it again, or make it anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// By what it is seen.
        what: &'static str,
    },
    /// It is whole, and yet cannot be decompressed.
    #[error("{path}: cannot be decompressed: {source}; make it anew")]
    Decompress {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        source: io::Error,
    },
    /// A line is not of the shape that it has.
    #[error("{path}: line {line} behind the first is none of a sketch: {source}; make it anew")]
    Shape {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Where and what.
        source: serde_json::Error,
    },
    /// Lines contradict one another, or themselves.
    #[error("{path}: line {line} behind the first is inconsistent: {what}; make it anew")]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What does not fit.
        what: &'static str,
    },
}

impl Sketch {
    /// Reads a file. Nothing in it is trusted.
    ///
    /// # Errors
    /// If it is missing, no sketch, of another version than this program's, or damaged.
    pub fn read(path: &Path) -> Result<Sketch, ReadSketchError> {
        let failed = |source| ReadSketchError::Io { path: path.into(), source };
        let bytes = fs::metadata(path).map_err(failed)?.len();
        if bytes > LARGEST {
            return Err(ReadSketchError::TooLarge { path: path.into(), bytes });
        }
        Sketch::parse(&fs::read(path).map_err(failed)?, path)
    }

    /// The same from bytes; `path` is for messages.
    ///
    /// # Errors
    /// As [`Sketch::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Sketch, ReadSketchError> {
        let mut lines = Lines::new(whole(bytes, path)?, path)?;
        let Contents { runs } = lines.next()?;
        let mut counted = Vec::new();
        for _ in 0..runs {
            counted.push(lines.run()?);
        }
        let is_in_order = counted.is_sorted_by(|one, next| one.identity < next.identity);
        if !is_in_order || !lines.is_at_end()? {
            return Err(lines.inconsistent("the runs are not in order, or more follows them"));
        }
        Sketch::merge(counted.into_iter().map(Sketch::of))
            .map_err(|_| lines.inconsistent("a run is there twice"))
    }
}

/// The compressed lines, if they are those that were written.
fn whole<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a [u8], ReadSketchError> {
    let not_a_sketch = || ReadSketchError::NotASketch { path: path.into() };
    let end = bytes.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n').ok_or_else(not_a_sketch)?;
    let (header, body) = (&bytes[..end], &bytes[end + 1..]);
    // Only the envelope first: of another version nothing else can be expected to fit.
    let envelope: Envelope = serde_json::from_slice(header).map_err(|_| not_a_sketch())?;
    match (envelope.format.as_deref(), envelope.version) {
        (Some(FORMAT), Some(VERSION)) => {}
        (Some(FORMAT), Some(version)) => {
            return Err(ReadSketchError::OtherVersion { path: path.into(), version });
        }
        _ => return Err(not_a_sketch()),
    }
    let damaged = |what| ReadSketchError::Damaged { path: path.into(), what };
    let header: Header =
        serde_json::from_slice(header).map_err(|_| damaged("its first line is not as it was written"))?;
    if header.traincheck != env!("CARGO_PKG_VERSION") {
        return Err(ReadSketchError::OtherRelease { path: path.into(), found: header.traincheck });
    }
    let found = body.len() as u64;
    if found < header.bytes {
        return Err(ReadSketchError::CutOff { path: path.into(), expected: header.bytes, found });
    }
    if found > header.bytes {
        return Err(damaged("there are more bytes than its first line says"));
    }
    if checksum(body) != header.checksum {
        return Err(damaged("its bytes do not have the checksum of its first line"));
    }
    Ok(body)
}

/// Where lines come from.
struct Lines<'a> {
    text: BufReader<zstd::Decoder<'static, BufReader<&'a [u8]>>>,
    line: Vec<u8>,
    number: usize,
    path: &'a Path,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8], path: &'a Path) -> Result<Lines<'a>, ReadSketchError> {
        let decoder = zstd::Decoder::new(bytes)
            .map_err(|source| ReadSketchError::Decompress { path: path.into(), source })?;
        Ok(Lines { text: BufReader::new(decoder), line: Vec::new(), number: 0, path })
    }

    fn next<T: DeserializeOwned>(&mut self) -> Result<T, ReadSketchError> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.text).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        read.map_err(|source| ReadSketchError::Decompress { path: self.path.into(), source })?;
        if self.line.last() != Some(&b'\n') {
            return Err(self.inconsistent("it has no end, or is not there"));
        }
        serde_json::from_slice(&self.line).map_err(|source| self.shape(source))
    }

    fn is_at_end(&mut self) -> Result<bool, ReadSketchError> {
        let rest = self.text.fill_buf();
        rest.map(<[u8]>::is_empty)
            .map_err(|source| ReadSketchError::Decompress { path: self.path.into(), source })
    }

    fn run(&mut self) -> Result<Counted, ReadSketchError> {
        let line: RunLine = self.next()?;
        if !line.situations.is_sorted_by(|one, next| one < next) {
            return Err(self.inconsistent("the situations are not in order"));
        }
        if !line.recordings.is_sorted_by(|one, next| one < next) {
            return Err(self.inconsistent("the recordings are not in order"));
        }
        let mut evidence = RunEvidence { thinned: line.thinned, ..RunEvidence::default() };
        for _ in 0..line.subjects {
            let read = self.next::<SubjectLine<_, _>>()?.evidence(&line.situations);
            let (subject, found) = read.map_err(|bad| self.bad(bad))?;
            if evidence.subjects.last_key_value().is_some_and(|(last, _)| *last >= subject) {
                return Err(self.inconsistent("the subjects are not in order"));
            }
            evidence.subjects.insert(subject, found);
        }
        for _ in 0..line.general {
            let read = self.next::<GeneralLine<_, _>>()?.evidence();
            let (subject, found) = read.map_err(|bad| self.bad(bad))?;
            if evidence.general.last_key_value().is_some_and(|(last, _)| *last >= subject) {
                return Err(self.inconsistent("the subjects are not in order"));
            }
            evidence.general.insert(subject, found);
        }
        Ok(Counted {
            identity: Identity { folder: line.folder, recordings: line.recordings },
            reference: Reference { run: line.run, evidence },
        })
    }

    fn bad(&self, bad: BadLine) -> ReadSketchError {
        match bad {
            BadLine::Shape(source) => self.shape(source),
            BadLine::Inconsistent(what) => self.inconsistent(what),
        }
    }

    fn shape(&self, source: serde_json::Error) -> ReadSketchError {
        ReadSketchError::Shape { path: self.path.into(), line: self.number, source }
    }

    fn inconsistent(&self, what: &'static str) -> ReadSketchError {
        ReadSketchError::Inconsistent { path: self.path.into(), line: self.number, what }
    }
}
