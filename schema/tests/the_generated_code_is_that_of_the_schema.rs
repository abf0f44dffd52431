//! `src/trace_capnp.rs` is committed, so that building needs no Cap'n Proto; it must be what `trace.capnp` says.

use std::path::Path;

#[test]
fn and_not_of_an_older_one() {
    let found = std::process::Command::new("capnp").arg("--version").output();
    assert!(
        found.is_ok_and(|found| found.status.success()),
        "`capnp` is missing; this test needs the compiler of Cap'n Proto: apt-get install capnproto"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    capnpc::CompilerCommand::new()
        .src_prefix(root)
        .file(root.join("trace.capnp"))
        .output_path(folder.path())
        .run()
        .unwrap();
    let text = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        // The compiler's own version is in the head of the file, and does not matter.
        text.lines()
            .filter(|line| !line.starts_with("// capnp binary version"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert!(
        text(&folder.path().join("trace_capnp.rs")) == text(&root.join("src/trace_capnp.rs")),
        "run `capnp compile -orust:src trace.capnp` in schema/, with capnpc 0.27 (cargo install capnpc)"
    );
}
