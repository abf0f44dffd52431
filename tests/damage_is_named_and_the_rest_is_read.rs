//! A byte that flipped on disk: the file and the offset are named, the exit code is 2, and the rest is shown. `check`
//! never calls the run clean, and `infer` learns nothing from it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use traincheck_schema::segment::{Frame, SegmentReader};
use traincheck_tests::{finish, folder, pipeline, preloaded, traincheck};

/// Where the frames of a segment begin, in order, with what `inspect` counts of what they hold.
fn frames(segment: &Path) -> Vec<(&'static str, u64)> {
    let mut reader = SegmentReader::open(segment).expect("a segment");
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame() {
        let counted = match frame.expect("a frame that is whole") {
            Frame::Events(..) => "events",
            Frame::States(..) => "states",
            Frame::Arguments(..) => "arguments",
            Frame::Collectives(..) => "collective_records",
            Frame::Header(_) | Frame::Dictionary(_) | Frame::Footer(_) | Frame::Unknown(_) => "",
        };
        frames.push((counted, reader.frame_offset()));
    }
    frames
}

/// What is missing is what was in the frame: events, states or arguments. Of one that holds none of them, names or the
/// footer, that is nothing that is counted.
#[test]
fn in_a_frame_of_a_segment() {
    let temporary = folder();
    let run = temporary.path().join("run");
    // Long enough for several blocks.
    finish(preloaded(&run).arg(pipeline("mlp.py")).args(["--iterations", "3000"])).exited(0);
    let whole = finish(traincheck().arg("inspect").arg(&run).args(["--format", "json"])).exited(0);
    let whole: Value = serde_json::from_str(&whole.stdout).expect("JSON");

    let segment = fs::read_dir(&run)
        .expect("a run")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tcs"))
        .expect("a segment");
    let invariants = temporary.path().join("invariants.json");
    let infer = || finish(traincheck().arg("infer").arg(&run).arg("-o").arg(&invariants));
    let check = || finish(traincheck().arg("check").arg(&run).arg("-i").arg(&invariants));
    infer().exited(0);
    check().exited(0);

    let bytes = fs::read(&segment).expect("its contents");
    let frames = frames(&segment);
    for kind in ["events", "states", "arguments", ""] {
        let of_kind: Vec<u64> =
            frames.iter().filter(|(of, _)| *of == kind).map(|(_, begin)| *begin).collect();
        let begin = of_kind[of_kind.len() / 2];
        // In the header of the frame, and behind it.
        for at in [begin + 24, begin + 60] {
            let told = format!("{kind:?}, byte {at}");
            let mut flipped = bytes.clone();
            flipped[usize::try_from(at).expect("a short segment")] ^= 1;
            fs::write(&segment, flipped).expect("room for it");

            let shown = finish(traincheck().arg("inspect").arg(&run).args(["--format", "json"])).exited(2);
            let named = format!("{}: damaged at offset {begin}:", segment.display());
            assert!(shown.stderr.contains(&named), "{told}: {}", shown.stderr);
            let rest: Value = serde_json::from_str(&shown.stdout).expect("JSON");
            let (rest, whole) = (&rest["processes"][0], &whole["processes"][0]);
            for counted in ["events", "states", "arguments"] {
                let count = |of: &Value| of[counted].as_u64().expect("a number");
                assert_eq!(count(rest) < count(whole), counted == kind, "{told}: {counted}");
                assert!(count(rest) * 2 > count(whole), "{told}: more is missing than one frame");
            }
            assert_eq!(rest["iterations"], whole["iterations"], "{told}");

            let checked = check().exited(2);
            for said in [named.as_str(), "not judged: ", "No verdict: the trace is damaged"] {
                assert!(checked.stdout.contains(said), "{told}: {}", checked.stdout);
            }
            let refused = infer().exited(2);
            assert!(refused.stderr.contains(&named), "{told}: {}", refused.stderr);
        }
    }
}
