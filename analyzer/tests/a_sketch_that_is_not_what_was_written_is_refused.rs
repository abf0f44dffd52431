//! A sketch that was cut off, damaged, made by another version or by hand is named and refused, and nothing is learned.
mod support;

use std::fs;
use std::path::Path;

use support::disk::traincheck;
use support::scripts::Script;
use support::sketched::{lines, with_lines};
use traincheck_analyzer::infer::Reference;
use traincheck_analyzer::sketch::{Counted, Identity, Sketch};

/// Of two runs.
fn written() -> Vec<u8> {
    let of = |seed: u64| {
        let trace = Script { seed, epochs: 1, batches: 4, ..Script::default() }.run().finish();
        let identity = Identity { folder: format!("/runs/{seed}"), recordings: Vec::new() };
        Sketch::of(Counted { identity, reference: Reference::of("run", &trace) })
    };
    Sketch::merge([of(1), of(2)]).expect("two runs").to_bytes().expect("memory")
}

/// What is said of it.
#[track_caller]
fn refused(bytes: &[u8]) -> String {
    let error =
        Sketch::parse(bytes, Path::new("x.sketch")).expect_err("it is not what was written").to_string();
    assert!(error.starts_with("x.sketch: ") && error.contains("; "), "{error}");
    error
}

#[test]
fn cut_off_anywhere() {
    let whole = written();
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in 0..whole.len() {
        let says = if length < header { "not a sketch, or cut off" } else { "cut off: of " };
        let error = refused(&whole[..length]);
        assert!(error.contains(says), "{length}: {error}");
    }
    let longer = [&whole[..], b"\n"].concat();
    assert!(refused(&longer).contains("more bytes"), "{}", refused(&longer));
}

#[test]
fn flipped_anywhere() {
    let whole = written();
    for at in 0..whole.len() {
        for bits in [0x01, 0x20, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= bits;
            refused(&bytes);
        }
    }
}

#[test]
fn written_by_another_version() {
    let whole = written();
    let edited = |from: &str, to: &str| {
        let end = whole.iter().position(|byte| *byte == b'\n').unwrap();
        let header = std::str::from_utf8(&whole[..end]).unwrap();
        assert!(header.contains(from), "{header}");
        [header.replace(from, to).as_bytes(), &whole[end..]].concat()
    };
    let release = format!("\"traincheck\":\"{}\"", env!("CARGO_PKG_VERSION"));
    for (from, to, says) in [
        ("\"version\":1", "\"version\":2", "a sketch of version 2, and this traincheck reads version 1"),
        (&release, "\"traincheck\":\"7.8.9\"", "counted by traincheck 7.8.9, and this is "),
        ("traincheck-sketch", "traincheck-invariants", "not a sketch"),
        ("\"checksum\"", "\"sum\"", "damaged: its first line"),
    ] {
        let error = refused(&edited(from, to));
        assert!(error.contains(says), "{error}, wanted: {says}");
    }
}

#[test]
fn made_by_hand() {
    let whole = written();
    let text = String::from_utf8(lines(&whole)).unwrap();
    let of = |text: &str| with_lines(&whole, text.as_bytes());
    assert_eq!(
        Sketch::parse(&of(&text), Path::new("x")).expect("the same"),
        Sketch::parse(&whole, Path::new("x")).expect("what was written")
    );
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let line = |number: usize| text.lines().nth(number).unwrap();
    let twice = |number: usize| text.replacen(line(number), &format!("{0}\n{0}", line(number)), 1);
    let subject = (2..text.lines().count()).find(|at| line(*at).contains("\"held\":[[")).unwrap();
    let total = line(subject).split("\"total\":[[").nth(1).unwrap().split(']').next().unwrap();
    let total = format!("\"total\":[[{total}]");
    let (huge, outside) = (format!("\"total\":[[0,{},0]", u64::MAX), "\"total\":[[99,1,1]");
    let moved = |from: &str, to: &str| text.replacen(line(subject), &line(subject).replacen(from, to, 1), 1);
    for (text, says) in [
        (String::new(), "line 1 behind the first is inconsistent: it has no end, or is not there"),
        (text[..text.len() - 1].to_owned(), "it has no end, or is not there"),
        (text.clone() + "\n", "more follows them"),
        (edited("{\"runs\":2}", "{\"runs\":3}"), "it has no end, or is not there"),
        (edited("{\"runs\":2}", "{\"runs\":1}"), "more follows them"),
        (edited("{\"runs\":2}", "{\"runs\":18446744073709551615}"), "it has no end, or is not there"),
        (edited("/runs/2", "/runs/1"), "the runs are not in order"),
        (edited("/runs/1", "/runs/3"), "the runs are not in order"),
        (
            edited("\"situations\":[", "\"situations\":[{\"mode\":1},"),
            "line 2 behind the first is none of a sketch",
        ),
        (edited("\"relation\":\"", "\"relation\":\"un"), "unknown variant `un"),
        (edited("\"subject\":{\"of\":\"", "\"subject\":{\"of\":\"un"), "unknown variant `un"),
        (edited("\"undecided\":", "\"decided\":"), "unknown field `decided`"),
        (edited("\"undecided\":", "\"undecided\":9999999999999999"), "more windows than a run has"),
        (edited("\"subjects\":", "\"subjects\":9"), "behind the first is none of a sketch"),
        (twice(subject), "the subjects are not in order"),
        (moved(&total, &huge), "more windows than a run has"),
        (moved(&total, outside), "it names no situation"),
        (moved(&total, "\"total\":[[0,0,0]"), "held in more windows than there are"),
        (moved("\"numbers\":null", "\"numbers\":[3,2]"), "numbers are of no size"),
        (moved("\"numbers\":null", "\"numbers\":[0,2147483647]"), "numbers are of no size"),
    ] {
        let error = refused(&of(&text));
        assert!(error.contains(says), "{error}, wanted: {says}");
    }
    let error = refused(&with_lines(&whole, b"\xff\xfe\n"));
    assert!(error.contains("line 1 behind the first is none of a sketch"), "{error}");
}

#[test]
fn every_bad_sketch_is_named_before_merge_stops() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written();
    fs::write(folder.path().join("good.sketch"), &whole).unwrap();
    fs::write(folder.path().join("cut.sketch"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.path().join("junk"), b"this is no sketch at all").unwrap();
    fs::create_dir(folder.path().join("run")).unwrap();
    let names = ["missing", "cut.sketch", "junk", "run"];
    let given = [&["merge", "-o", "out.json", "good.sketch"][..], &names].concat();
    let (code, stdout, stderr) = traincheck(&given, folder.path(), "2");
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert_eq!(stderr.lines().count(), names.len(), "{stderr}");
    for (line, name) in stderr.lines().zip(names) {
        assert!(line.starts_with(&format!("traincheck: {name}: ")), "{line}");
    }
    assert!(!folder.path().join("out.json").exists());
    for arguments in [
        &["merge"][..],
        &["merge", "good.sketch", "--partial", "--explain"],
        &["infer", "run", "--partial", "--library", "x"],
    ] {
        assert_eq!(traincheck(arguments, folder.path(), "1").0, Some(2), "{arguments:?}");
    }
}
