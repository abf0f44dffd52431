//! Traces as runs on disk, and the command over them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::segment::{Ending, ProcessHeader, SegmentWriter};

/// No two recordings began at the same time.
static WALL_NS: AtomicU64 = AtomicU64::new(1);

/// Writes a trace as the run of one process.
pub fn write(trace: &MemoryTrace, folder: &Path, sealed: bool) {
    fs::create_dir(folder).unwrap();
    let wall_ns = WALL_NS.fetch_add(1, Ordering::Relaxed);
    let header = ProcessHeader { host: "host".into(), pid: 7, wall_ns, ..ProcessHeader::default() };
    let mut writer = SegmentWriter::create(&folder.join("host-7-0.tcs"), &header).unwrap();
    writer.write_dictionary(&trace.dictionary).unwrap();
    for batch in &trace.batches {
        writer.write_block(&batch.events, &batch.states, &[], &[]).unwrap();
    }
    if sealed {
        writer.seal(&Ending { reason: "exit".into(), ..Ending::default() }).unwrap();
    }
}

/// Exit code, stdout and stderr of the command, run in `folder`.
pub fn traincheck(arguments: &[&str], folder: &Path, threads: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_traincheck"))
        .args(arguments)
        .env("RAYON_NUM_THREADS", threads)
        .current_dir(folder)
        .output()
        .expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}
