//! A run that is given twice is no second witness: it is named as bad input, and nothing is learned.
mod support;

use std::fs;
use std::os::unix::fs::symlink;

use support::disk::{traincheck, write};
use support::scripts::Script;

#[test]
fn by_the_same_way_a_link_a_copy_or_its_segment() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&Script::default().run().finish(), &at("run"), true);
    write(&Script { seed: 2, ..Script::default() }.run().finish(), &at("other"), true);
    symlink(at("run"), at("link")).unwrap();
    fs::create_dir(at("copy")).unwrap();
    fs::copy(at("run/host-7-0.tcs"), at("copy/host-7-0.tcs")).unwrap();
    for again in ["run", "./run/../run", "link", "copy", "run/host-7-0.tcs"] {
        let given = ["infer", "run", "other", again, "-o", "out.json"];
        let (code, stdout, stderr) = traincheck(&given, folder.path(), "2");
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{again}: {stderr}");
        assert_eq!(
            stderr,
            format!("traincheck: {again}: the same run as run; give every reference run once\n"),
            "{again}"
        );
        assert!(!at("out.json").exists(), "{again}");
    }
    assert_eq!(traincheck(&["infer", "run", "other", "-o", "out.json"], folder.path(), "2").0, Some(0));
}
