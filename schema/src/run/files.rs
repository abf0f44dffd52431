//! The files of a run folder, by their names.
//!
//! `HOST-PID-N.tcs` is the segment N of a process, `HOST-PID-rK.ring` its event ring K, and
//! `HOST-PID-names.ring` the ring of its dictionary. A host may have hyphens in its name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::Process;
use crate::ring;

/// What the name of a file says.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    Segment {
        host: &'a str,
        pid: u32,
        number: u32,
    },
    Ring {
        host: &'a str,
        pid: u32,
    },
    /// A segment under another name: somebody renamed it.
    OddSegment {
        stem: &'a str,
    },
}

fn parse(name: &str) -> Option<Name<'_>> {
    let (stem, extension) = name.rsplit_once('.')?;
    let mut parts = stem.rsplitn(3, '-');
    let (last, pid, host) = (parts.next()?, parts.next(), parts.next());
    let pid = pid.and_then(|pid| pid.parse().ok());
    match (extension, host.zip(pid), last.parse()) {
        ("tcs", Some((host, pid)), Ok(number)) => Some(Name::Segment { host, pid, number }),
        ("tcs", ..) => Some(Name::OddSegment { stem }),
        ("ring", Some((host, pid)), _) => Some(Name::Ring { host, pid }),
        _ => None,
    }
}

/// The processes that left files in `folder`, by host and pid.
pub(super) fn processes(folder: &Path) -> io::Result<Vec<Process>> {
    #[derive(Default)]
    struct Files {
        segments: BTreeMap<u32, PathBuf>,
        rings: Vec<PathBuf>,
    }
    let mut found: BTreeMap<(String, u32), Files> = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        match parse(name) {
            Some(Name::Segment { host, pid, number }) => {
                let files = found.entry((host.to_owned(), pid)).or_default();
                files.segments.insert(number, path.clone());
            }
            Some(Name::Ring { host, pid }) => {
                found.entry((host.to_owned(), pid)).or_default().rings.push(path.clone());
            }
            Some(Name::OddSegment { stem }) => {
                found.entry((stem.to_owned(), 0)).or_default().segments.insert(0, path.clone());
            }
            None => {}
        }
    }
    let processes = found.into_iter().map(|((host, pid), mut files)| {
        files.rings.sort();
        Process {
            host,
            pid,
            segments: files.segments.into_values().collect(),
            rings: files.rings,
            folder: Some(folder.to_owned()),
        }
    });
    Ok(processes.collect())
}

/// The short name of this machine, fit for a file name: the reader takes it for what is before the first `-`.
pub fn host() -> String {
    let mut buffer = [0_u8; 256];
    // SAFETY: the buffer is as long as said; its last byte stays 0.
    unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
    let name = buffer.split(|byte| matches!(byte, 0 | b'.')).next().unwrap_or_default();
    fit(name)
}

fn fit(name: &[u8]) -> String {
    let fit = |byte: &u8| {
        if byte.is_ascii_alphanumeric() || matches!(*byte, b'_' | b'.') { char::from(*byte) } else { '_' }
    };
    if name.is_empty() { "localhost".into() } else { name.iter().take(64).map(fit).collect() }
}

/// Puts the rings of processes that have ended, and that are in the memory of this machine, into their files in `folder`,
/// and frees that memory. Reading a run does it, too: this is for those who do not read it, or not here.
pub fn rescue_rings(folder: &Path) {
    for process in processes(folder).unwrap_or_default() {
        process.rings.iter().for_each(|path| ring::rescue(path));
    }
}

/// The process that wrote the one segment at `path`.
pub(super) fn process_of_segment(path: &Path) -> Process {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (host, pid) = match parse(name) {
        Some(Name::Segment { host, pid, .. } | Name::Ring { host, pid }) => (host, pid),
        Some(Name::OddSegment { stem }) => (stem, 0),
        None => (name, 0),
    };
    Process { host: host.to_owned(), pid, segments: vec![path.to_owned()], rings: Vec::new(), folder: None }
}

/// The number of a segment, if its name tells.
pub(super) fn segment_number(path: &Path) -> Option<u32> {
    match parse(path.file_name()?.to_str()?)? {
        Name::Segment { number, .. } => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_has_nothing_in_it_that_separates_names() {
        assert_eq!(fit(b"node-1/x y"), "node_1_x_y");
        assert_eq!(fit(b""), "localhost");
        assert!(!host().contains('-'));
    }

    #[test]
    fn names_tell_what_files_are() {
        assert_eq!(parse("a-b-12-3.tcs"), Some(Name::Segment { host: "a-b", pid: 12, number: 3 }));
        assert_eq!(parse("a-12-r7.ring"), Some(Name::Ring { host: "a", pid: 12 }));
        assert_eq!(parse("a-12-names.ring"), Some(Name::Ring { host: "a", pid: 12 }));
        assert_eq!(parse("copy.tcs"), Some(Name::OddSegment { stem: "copy" }));
        assert_eq!(parse("a-12-3 (1).tcs"), Some(Name::OddSegment { stem: "a-12-3 (1)" }));
        assert_eq!(parse("run.json"), None);
        assert_eq!(parse("notes"), None);
    }
}
