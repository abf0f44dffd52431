//! Everything that can be given in place of a run folder, and what is said about it.

mod common;

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::{event, header, header_of, read_all, sample};
use traincheck_schema::run::{OpenRunError, ReadError, Run, RunInfo};
use traincheck_schema::segment::SegmentWriter;
use xxhash_rust::xxh3::xxh3_64;

fn refusal(path: &Path) -> (OpenRunError, String) {
    let error = Run::open(path).expect_err("it is no run");
    let said = error.to_string();
    assert!(said.contains(path.to_str().unwrap()), "it names the path: {said}");
    (error, said)
}

/// The first bytes of a segment of this version.
fn file_header(major: u16, minor: u16) -> Vec<u8> {
    let mut bytes = b"TCSEG\r\n\x1a".to_vec();
    bytes.extend_from_slice(&major.to_le_bytes());
    bytes.extend_from_slice(&minor.to_le_bytes());
    let checksum = xxh3_64(&bytes) as u32;
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn make_pipe(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name ends.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn a_missing_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (error, said) = refusal(&folder.path().join("nowhere"));
    assert!(matches!(error, OpenRunError::Missing { .. }) && said.contains("no such folder"), "{said}");
}

#[test]
fn a_file_that_is_no_segment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.py");
    fs::write(&path, "import torch").unwrap();
    let (error, said) = refusal(&path);
    assert!(matches!(error, OpenRunError::NotAFolder { .. }) && said.contains(".tcs"), "{said}");
}

#[test]
fn a_folder_without_segments() {
    let folder = tempfile::tempdir().unwrap();
    let (error, _) = refusal(folder.path());
    assert!(matches!(error, OpenRunError::Empty { .. }), "{error}");
    fs::write(folder.path().join("run.json"), "{}").unwrap();
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    let (error, said) = refusal(folder.path());
    assert!(matches!(error, OpenRunError::Empty { .. }) && said.contains("recorded"), "{said}");
}

#[test]
fn something_else_by_the_name_of_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-1-0.tcs");
    for contents in ["x".as_bytes(), "hello, this is a text and no segment".as_bytes(), &[0; 100_000]] {
        fs::write(&path, contents).unwrap();
        for opened in [folder.path(), &path] {
            let error = Run::open(opened).expect_err("it is no segment");
            let OpenRunError::Segment(ReadError::NotASegment { path: named }) = &error else {
                panic!("{error}")
            };
            assert_eq!(named, &path);
        }
    }
}

/// To open a pipe would be to wait for somebody who writes to it.
#[test]
fn what_is_no_regular_file() {
    for (name, with) in [("host-1-0.tcs", ""), ("run.json", "host-1-0.tcs")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        if !with.is_empty() {
            SegmentWriter::create(&folder.path().join(with), &header()).unwrap();
        }
        make_pipe(&path);
        let said = Run::open(folder.path()).expect_err("it is a pipe").to_string();
        assert!(said.contains(path.to_str().unwrap()) && said.contains("no regular file"), "{said}");
    }
}

/// Nor is a ring that is a pipe waited for.
#[test]
fn but_a_pipe_in_the_place_of_a_ring_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    sample(&folder.path().join("host-42-0.tcs"));
    let path = folder.path().join("host-42-r0.ring");
    make_pipe(&path);
    let (batches, errors) = read_all(&mut Run::open(folder.path()).unwrap().processes[0].reader());
    assert_eq!(batches.len(), 6);
    assert!(matches!(&errors[..], [ReadError::Ring { .. }]), "{errors:?}");
}

#[test]
fn a_newer_major_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-1-0.tcs");
    fs::write(&path, file_header(2, 3)).unwrap();
    for opened in [folder.path(), &path] {
        let error = Run::open(opened).expect_err("it is newer");
        let said = error.to_string();
        assert!(matches!(error, OpenRunError::Segment(ReadError::Newer { .. })), "{said}");
        for part in ["host-1-0.tcs", "2.3", "install a newer traincheck"] {
            assert!(said.contains(part), "{said}");
        }
    }
}

#[test]
fn a_run_json_of_a_newer_major_version() {
    let folder = tempfile::tempdir().unwrap();
    SegmentWriter::create(&folder.path().join("host-1-0.tcs"), &header()).unwrap();
    fs::write(folder.path().join("run.json"), r#"{"format_version": "2.0"}"#).unwrap();
    let error = Run::open(folder.path()).expect_err("it is newer");
    assert!(error.to_string().contains("install a newer traincheck"), "{error}");
}

#[test]
fn a_broken_run_json() {
    let folder = tempfile::tempdir().unwrap();
    SegmentWriter::create(&folder.path().join("host-1-0.tcs"), &header()).unwrap();
    for contents in ["{", "[]", r#"{"hooks": 3}"#, "\u{0}"] {
        fs::write(folder.path().join("run.json"), contents).unwrap();
        let error = Run::open(folder.path()).expect_err("it is broken");
        assert!(matches!(error, OpenRunError::Info { .. }), "{error}");
        assert!(error.to_string().contains("run.json"), "{error}");
    }
}

#[test]
fn but_a_newer_minor_version_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let (bytes, _) = sample(&path);
    fs::write(&path, [&file_header(1, 9), &bytes[16..]].concat()).unwrap();
    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    let (batches, errors) = read_all(&mut reader);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(batches.len(), 6);
}

#[test]
fn but_a_segment_that_was_cut_or_damaged_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let (bytes, _) = sample(&path);
    for length in 0..80 {
        fs::write(&path, &bytes[..length]).unwrap();
        Run::open(folder.path()).unwrap();
    }
    for at in 0..80 {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        Run::open(folder.path()).unwrap();
    }
}

#[test]
fn but_a_segment_alone_is_a_run_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["host-42-0.tcs", "renamed.tcs"] {
        let path = folder.path().join(name);
        sample(&path);
        let run = Run::open(&path).unwrap();
        assert_eq!((run.processes.len(), &run.info), (1, &None));
        let (batches, errors) = read_all(&mut run.processes[0].reader());
        assert!(errors.is_empty() && batches.len() == 6);
    }
}

#[test]
fn and_one_that_can_has_its_processes_and_segments_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for (process, number) in [("b-host-7", 0), ("a-9", 0), ("a-10", 2), ("a-10", 10), ("a-10", 1)] {
        let path = folder.path().join(format!("{process}-{number}.tcs"));
        let mut writer = SegmentWriter::create(&path, &header_of(number)).unwrap();
        writer.write_block(&[event(1)], &[], &[], &[]).unwrap();
    }
    let info = r#"{"format_version": "1.4", "command": ["python", "train.py"], "from_the_future": [1],
        "hooks": [{"name": "frames", "on": false, "why": "no", "more": 1}]}"#;
    fs::write(folder.path().join("run.json"), info).unwrap();

    let run = Run::open(folder.path()).unwrap();
    let found: Vec<_> = run.processes.iter().map(|process| (process.host.as_str(), process.pid)).collect();
    assert_eq!(found, [("a", 9), ("a", 10), ("b-host", 7)]);
    let names = run.processes[1].segments.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["a-10-1.tcs", "a-10-2.tcs", "a-10-10.tcs"]);
    let info = run.info.unwrap();
    assert_eq!(info.command, ["python", "train.py"]);
    assert_eq!(info.hooks[0].why, "no");
    let again: RunInfo = serde_json::from_str(&serde_json::to_string(&info).unwrap()).unwrap();
    assert_eq!(again, info);

    // Segments 0 and 3 to 9 are not there, which is told; and the rest is read.
    let (batches, errors) = read_all(&mut run.processes[1].reader());
    assert_eq!(batches.len(), 3);
    let missing = |number: u32| {
        let says = format!("number {number} is missing");
        errors.iter().filter(|error| error.to_string().contains(&says)).count()
    };
    assert_eq!((missing(0), missing(3)), (1, 1), "{errors:?}");
}
