//! A trace of which bytes are not what was written is judged as far as it goes: alarms stay alarms, and without one there is
//! no verdict. What was not judged is named, and nothing is learned from it unless that is asked for.
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::disk::{traincheck, write};
use support::scripts::{Error, Script};
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::report::{Report, Verdict, json};
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_schema::run::Run;
use traincheck_schema::segment::{Ending, ProcessHeader, SegmentWriter};

/// How many flips are tried in one segment.
const FLIPS: usize = 200;

fn script(seed: u64, error: Error) -> Script {
    Script { seed, epochs: 8, error, ..Script::default() }
}

/// Two good runs `a` and `b`, what was learned from them, and the run `c`.
fn runs(folder: &Path, error: Error) -> (Invariants, PathBuf) {
    for (name, seed) in [("a", 1), ("b", 2)] {
        write(&script(seed, Error::None).run().finish(), &folder.join(name), true);
    }
    write(&script(3, error).run().finish(), &folder.join("c"), true);
    assert_eq!(traincheck(&["infer", "a", "b", "-o", "i.json"], folder, "2").0, Some(0));
    (Invariants::read(&folder.join("i.json")).unwrap(), folder.join("c/host-7-0.tcs"))
}

/// Flips one bit.
fn flip(segment: &Path, at: usize) {
    let mut bytes = fs::read(segment).unwrap();
    bytes[at] ^= 1 << (at % 8);
    fs::write(segment, bytes).unwrap();
}

#[test]
fn wherever_a_bit_flips() {
    let folder = tempfile::tempdir().unwrap();
    let (invariants, segment) = runs(folder.path(), Error::None);
    let whole = fs::read(&segment).unwrap();
    let verdict = || -> (Verdict, Vec<String>) {
        let run = match Run::open(&folder.path().join("c")) {
            Ok(run) => run,
            Err(error) => return (Verdict::NoVerdict("it cannot be opened"), vec![error.to_string()]),
        };
        let checked = runs::check(&run, &invariants, &Progress::default());
        let report = Report::new("c".into(), &invariants, &checked);
        let process = &json::value(&report)["run"]["processes"][0];
        let damage = process["damage"].as_array().unwrap().iter();
        let damage = damage.map(|damage| damage.as_str().unwrap().to_owned()).collect();
        (report.verdict, damage)
    };
    assert_eq!(verdict(), (Verdict::Clean, vec![]), "what is whole is clean");
    for number in 0..FLIPS {
        let at = number * whole.len() / FLIPS;
        flip(&segment, at);
        let (verdict, damage) = verdict();
        // The run is a good one: whatever is missing from it, an alarm would be a false one.
        assert!(matches!(verdict, Verdict::NoVerdict(_)), "byte {at}: {verdict:?}, {damage:?}");
        assert!(damage[0].contains("host-7-0.tcs"), "byte {at}: {damage:?}");
        let says = |what: &str| damage[0].contains(what);
        assert!(
            says("no segment of traincheck") || says("offset") && says("not judged"),
            "byte {at}: {damage:?}"
        );
        if let Ok(run) = Run::open(&folder.path().join("c")) {
            let (_, damage) = runs::sketch(&[run], &Progress::default()).expect("one run");
            assert!(!damage.is_empty(), "byte {at}: learned from");
        }
        fs::write(&segment, &whole).unwrap();
    }
}

/// Writes a good run in so many segments, all but `unsealed` with a footer. The last one says that this ended the recording.
fn in_segments(segments: usize, folder: &Path, unsealed: Option<usize>, ending: &str) {
    fs::create_dir(folder).unwrap();
    let trace = script(3, Error::None).run().finish();
    let blocks = trace.batches.len();
    for number in 0..segments {
        let path = folder.join(format!("host-7-{number}.tcs"));
        let header = ProcessHeader {
            host: "host".into(),
            pid: 7,
            segment_index: number as u32,
            ..ProcessHeader::default()
        };
        let mut writer = SegmentWriter::create(&path, &header).unwrap();
        if number == 0 {
            writer.write_dictionary(&trace.dictionary).unwrap();
        }
        for batch in &trace.batches[number * blocks / segments..(number + 1) * blocks / segments] {
            writer.write_block(&batch.events, &batch.states, &[], &[]).unwrap();
        }
        let reason = if number + 1 == segments { ending } else { Ending::CONTINUED };
        if unsealed != Some(number) {
            writer.seal(&Ending { reason: reason.into(), ..Ending::default() }).unwrap();
        }
    }
}

#[test]
fn whichever_segment_or_footer_is_missing() {
    const SEGMENTS: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    runs(folder.path(), Error::None);
    let command = |arguments: &[&str]| traincheck(arguments, folder.path(), "2");
    let verdict = |says: &str| {
        let (code, stdout, _) = command(&["check", "d", "-i", "i.json"]);
        assert_eq!(code, Some(2), "{says}: {stdout}");
        assert!(stdout.contains(says) && stdout.contains("No verdict: the trace is damaged"), "{stdout}");
        let (code, _, stderr) = command(&["inspect", "d"]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
        let (code, _, stderr) = command(&["infer", "a", "d", "-o", "new.json"]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(says) && !folder.path().join("new.json").exists(), "{stderr}");
        fs::remove_dir_all(folder.path().join("d")).unwrap();
    };
    in_segments(SEGMENTS, &folder.path().join("d"), None, "exit");
    assert_eq!(command(&["check", "d", "-i", "i.json"]).0, Some(0), "what is whole is clean");
    fs::remove_dir_all(folder.path().join("d")).unwrap();
    for number in 0..SEGMENTS {
        in_segments(SEGMENTS, &folder.path().join("d"), None, "exit");
        fs::remove_file(folder.path().join(format!("d/host-7-{number}.tcs"))).unwrap();
        let before = format!("segment number {number} is missing before this one");
        verdict(if number + 1 == SEGMENTS { "the segment after this one is missing" } else { &before });
        if number + 1 < SEGMENTS {
            in_segments(SEGMENTS, &folder.path().join("d"), Some(number), "exit");
            verdict("there is no footer, although there is a segment after this one");
        }
    }
}

/// What trained on after that is not known.
#[test]
fn nor_is_one_whose_recording_was_stopped_while_the_job_went_on() {
    let folder = tempfile::tempdir().unwrap();
    runs(folder.path(), Error::None);
    let why = "cannot write to segment: No space left on device";
    in_segments(1, &folder.path().join("d"), None, &format!("{}{why}", Ending::STOPPED));
    let command = |arguments: &[&str]| traincheck(arguments, folder.path(), "2");
    let said = format!("the recording was stopped while the job went on: {why}; not judged: iteration ");

    let (code, stdout, _) = command(&["check", "d", "-i", "i.json"]);
    assert_eq!(code, Some(2), "{stdout}");
    assert!(stdout.contains(&said) && stdout.contains("No verdict: "), "{stdout}");
    let (code, stdout, stderr) = command(&["inspect", "d"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains(&format!("stopped while the job went on: {why}")), "{stdout}");
    assert!(!stdout.contains("nothing"), "something was lost: {stdout}");
    let (code, _, stderr) = command(&["infer", "a", "d", "-o", "new.json"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains(&said) && !folder.path().join("new.json").exists(), "{stderr}");
    let (code, _, stderr) = command(&["infer", "a", "d", "-o", "new.json", "--damaged"]);
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn what_was_not_judged_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (_, segment) = runs(folder.path(), Error::None);
    flip(&segment, fs::metadata(&segment).unwrap().len() as usize / 2);
    let (code, stdout, stderr) = traincheck(&["check", "c", "-i", "i.json"], folder.path(), "2");
    assert_eq!((code, stderr.as_str()), (Some(2), ""), "{stdout}");
    let line = stdout.lines().find(|line| line.contains("offset")).expect("a line about the damage");
    assert!(line.starts_with("  host-7: c/host-7-0.tcs: damaged at offset "), "{line}");
    let iterations = line.split("; not judged: iteration").nth(1).expect("iterations");
    let numbers = iterations.split(|letter: char| !letter.is_ascii_digit()).filter(|word| !word.is_empty());
    let numbers: Vec<u32> = numbers.map(|number| number.parse().unwrap()).collect();
    assert!(
        (1..=2).contains(&numbers.len()) && numbers.iter().all(|number| (10..40).contains(number)),
        "{line}"
    );
    assert!(stdout.contains("No verdict: the trace is damaged"), "{stdout}");
    assert!(!stdout.contains("ALARM"), "{stdout}");
}

#[test]
fn an_alarm_beside_the_damage_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let (_, segment) = runs(folder.path(), Error::NoZeroGrad);
    flip(&segment, fs::metadata(&segment).unwrap().len() as usize / 2);
    let (code, stdout, _) = traincheck(&["check", "c", "-i", "i.json"], folder.path(), "2");
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("damaged at offset") && stdout.contains("Gradients are not cleared"), "{stdout}");
}

#[test]
fn nothing_is_learned_from_it_unless_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (_, segment) = runs(folder.path(), Error::None);
    flip(&segment, fs::metadata(&segment).unwrap().len() as usize / 2);
    let infer = |more: &[&str]| {
        traincheck(&[&["infer", "a", "c", "-o", "new.json"], more].concat(), folder.path(), "2")
    };
    let (code, stdout, stderr) = infer(&[]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("c/host-7-0.tcs: damaged at offset") && stderr.contains("--damaged"), "{stderr}");
    assert!(!folder.path().join("new.json").exists());
    let (code, _, stderr) = infer(&["--damaged"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("c/host-7-0.tcs: damaged at offset"), "{stderr}");
    assert!(folder.path().join("new.json").exists());
}
