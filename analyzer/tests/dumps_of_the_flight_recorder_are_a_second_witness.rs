//! Dumps of PyTorch's flight recorder say where a job hangs, alone and beside recordings, and no damage to them harms.
//! Those in `data/flight_recorder` were made by PyTorch itself: `make.py` there.
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::torch::Torch;
use support::torch::collectives::{ALL_REDUCE, Called};
use traincheck_analyzer::flight_recorder::{self, Damage, Dump, ReadDumpsError};
use traincheck_analyzer::hang::{self, Agreement, Hang, Verdict, Witness, text};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{CollectiveKind, ReduceKind};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/flight_recorder").join(name)
}

fn read(path: &Path) -> Result<Vec<Dump>, ReadDumpsError> {
    flight_recorder::read(&[path.to_owned()]).map_err(|mut errors| errors.remove(0))
}

/// What is said of dumps alone, a line each.
fn said(dumps: &[Dump]) -> Vec<String> {
    let mut written = String::new();
    text::write(None, &Hang::default().with_dumps(dumps), &mut written).expect("written");
    written.lines().map(str::to_owned).collect()
}

fn said_of(name: &str) -> String {
    let lines = said(&read(&data(name)).expect("dumps"));
    assert_eq!(lines[0], "Flight recorder: dumps of ranks 0, 1.");
    lines[2].strip_prefix("Group `0` (gloo, 2 ranks), by the flight recorder: ").expect("a group").to_owned()
}

/// A dump of so many entries, each `GROUP NUMBER NAME ELEMENTS STATE`; `retired` is one that has ended, whatever its state. The
/// groups `dp` and `0` are of two ranks.
fn dump(folder: &Path, rank: u32, entries: &[&str]) {
    let entry = |(record, line): (usize, &&str)| {
        let words: Vec<&str> = line.split(' ').collect();
        let [group, number, name, elements, state] = words[..] else { panic!("{line}") };
        let name = name.replace('_', " ").replace("all ", "all_");
        let is_message = name.contains("->") || name.contains("<-");
        let number: u64 = number.parse().expect("a number");
        let retired = state == "retired";
        let elements: u64 = elements.parse().expect("a number");
        json!({
            "record_id": record,
            "pg_id": u64::from(group != "0"),
            "process_group": [group, if group == "0" { "default_pg" } else { "undefined" }],
            "collective_seq_id": number,
            "p2p_seq_id": if is_message { number } else { 0 },
            "profiling_name": name,
            "input_sizes": [[elements]],
            "input_dtypes": ["Float"],
            "output_sizes": [[elements]],
            "output_dtypes": ["Float"],
            "state": if retired { "scheduled" } else { state },
            "retired": retired,
            "is_p2p": is_message,
        })
    };
    let entries: Vec<Value> = entries.iter().enumerate().map(entry).collect();
    let config = json!({"dp": {"name": "dp", "desc": "undefined", "ranks": "[0, 1]"}});
    let dump = json!({"version": "2.10", "pg_config": config, "entries": entries});
    fs::write(folder.join(format!("rank_{rank}.json")), dump.to_string()).expect("written");
}

/// Dumps of two ranks.
fn dumps(of: &[&str], other: &[&str]) -> Vec<Dump> {
    let folder = tempfile::tempdir().expect("a folder");
    dump(folder.path(), 0, of);
    dump(folder.path(), 1, other);
    read(folder.path()).expect("dumps")
}

/// The traces of ranks that did these.
fn traces(ranks: &[&[Called]]) -> Vec<MemoryTrace> {
    let trace = |(number, called): (u32, &&[Called])| {
        let mut torch = Torch::new(3);
        let group = torch.group(number, 2);
        called.iter().for_each(|called| torch.collective(group, *called));
        torch.finish()
    };
    (0..).zip(ranks).map(trace).collect()
}

/// What was recorded of them.
fn recorded(ranks: &[&[Called]]) -> Hang {
    hang::find(support::members(&traces(ranks)), &vec![0; ranks.len()])
}

const ENDED: &str = "0 1 gloo:all_reduce 64 retired";
const PENDING: &str = "0 2 gloo:all_reduce 64 scheduled";

#[test]
fn a_rank_that_has_not_entered_what_another_waits_in_is_named_by_both_forms() {
    for name in ["missing-json", "missing-pickle", "missing-pickle-2.15"] {
        let said = said_of(name);
        let expected =
            "rank 1 has not entered all_reduce number 3 (float32, 4 elements), where rank 0 waits.";
        assert_eq!(said, expected, "{name}");
    }
}

#[test]
fn another_kind_another_size_and_another_type_are_told_apart() {
    for (name, expected) in [
        ("another-json", "collective number 3 is another one on some ranks than on others."),
        ("another-pickle-2.15", "collective number 3 is another one on some ranks than on others."),
        ("size-json", "collective number 3 is of another size on some ranks than on others."),
        ("type-pickle", "collective number 3 has elements of another type on some ranks than on others."),
        ("alike-json", "all ranks did the same 3 collectives."),
        ("alike-pickle", "all ranks did the same 3 collectives."),
    ] {
        assert_eq!(said_of(name), expected, "{name}");
    }
}

#[test]
fn a_pickle_has_the_lines_and_says_else_what_json_says() {
    let [json, pickle] = ["alike-json", "alike-pickle"].map(|name| read(&data(name)).expect("dumps"));
    let without = |dump: &Dump| {
        let mut dump = dump.clone();
        dump.file = PathBuf::new();
        dump.entries.iter_mut().for_each(|entry| entry.frames.clear());
        dump
    };
    assert_eq!(json.iter().map(without).collect::<Vec<_>>(), pickle.iter().map(without).collect::<Vec<_>>());
    let waits = said(&read(&data("missing-pickle")).expect("dumps"));
    assert!(waits.iter().any(|line| line.ends_with("in last_of: distributed.all_reduce")), "{waits:?}");
}

#[test]
fn what_is_cut_off_or_changed_at_any_byte_is_an_error_or_read_and_never_harms() {
    let folder = tempfile::tempdir().expect("a folder");
    for (from, name) in [("missing-json/rank_0.json", "rank_0.json"), ("missing-pickle/rank_0", "rank_0")] {
        let whole = fs::read(data(from)).expect("a dump");
        let file = folder.path().join(name);
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).expect("written");
            let error = read(&file).expect_err("it is cut off").to_string();
            assert!(error.starts_with(&file.display().to_string()), "{error}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= [0x01, 0x20, 0x80, 0xff][at % 4];
            fs::write(&file, &changed).expect("written");
            if let Ok(dumps) = read(&file) {
                said(&dumps);
            }
        }
    }
}

#[test]
fn what_nobody_writes_is_named_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rank_0.json");
    let error = |text: &str| {
        fs::write(&file, text).expect("written");
        read(&file).expect_err("it is wrong")
    };
    let deep = format!("{{\"entries\": {}", "[".repeat(1_000_000));
    assert!(matches!(error(&deep), ReadDumpsError::Damaged { source: Damage::Json(_), .. }));
    assert!(matches!(error("{\"version\": 1e999}"), ReadDumpsError::Damaged { .. }));
    assert!(matches!(error("{\"version\": \"1.5\"}"), ReadDumpsError::Version { .. }));
    assert!(matches!(error("train"), ReadDumpsError::Unknown { .. }));
    assert!(error("{}").to_string().contains("`version` of the dump is missing or not a text"));
    dump(folder.path(), 0, &[ENDED, PENDING]);
    let whole = fs::read_to_string(&file).expect("a dump");
    let changed = |from: &str, to: &str| {
        let at = whole.rfind(from).expect("it is there");
        let text = [&whole[..at], to, &whole[at + from.len()..]].concat();
        match error(&text) {
            ReadDumpsError::Damaged { source: Damage::Field { of, name, .. }, .. } => {
                format!("{name} of {of}")
            }
            other => panic!("{other}"),
        }
    };
    assert_eq!(
        changed("\"collective_seq_id\":2", "\"collective_seq_id\":-2"),
        "collective_seq_id of entry 1"
    );
    assert_eq!(changed("[[64]]", "[[18446744073709551615,2]]"), "output_sizes of entry 1");
    assert_eq!(changed("\"scheduled\"", "\"lost\""), "state of entry 1");
    assert_eq!(changed("[\"0\",\"default_pg\"]", "[0]"), "process_group of entry 1");
}

#[test]
fn files_that_are_of_no_rank_or_of_one_twice_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(read(folder.path()), Err(ReadDumpsError::NoneInFolder { .. })));
    let other = folder.path().join("dump");
    fs::write(&other, "{}").expect("written");
    assert!(matches!(read(&other), Err(ReadDumpsError::NoRank { .. })));
    dump(folder.path(), 0, &[ENDED]);
    fs::copy(folder.path().join("rank_0.json"), folder.path().join("again_0.json")).expect("copied");
    assert!(matches!(read(folder.path()), Err(ReadDumpsError::Twice { rank: 0, .. })));
    let [missing, unnamed] = [folder.path().join("rank_7"), other];
    let errors = flight_recorder::read(&[missing, unnamed]).expect_err("both are wrong");
    assert_eq!(errors.len(), 2);
}

#[test]
fn each_backend_may_have_written_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    dump(folder.path(), 0, &["0 1 gloo:all_reduce 64 retired"]);
    fs::rename(folder.path().join("rank_0.json"), folder.path().join("gloo_0.json")).expect("renamed");
    dump(folder.path(), 0, &["dp 1 nccl:broadcast 64 completed"]);
    let dumps = read(folder.path()).expect("dumps");
    assert_eq!(dumps.len(), 1);
    assert_eq!(dumps[0].entries.len(), 2);
}

#[test]
fn dumps_of_a_ring_that_has_gone_round_begin_where_all_of_them_do() {
    let of: Vec<String> =
        (5..=9).map(|number| format!("0 {number} gloo:all_reduce {number} retired")).collect();
    let other: Vec<String> =
        (3..=9).map(|number| format!("0 {number} gloo:all_reduce {number} retired")).collect();
    let [of, other] = [&of, &other].map(|lines| lines.iter().map(String::as_str).collect::<Vec<_>>());
    let said = said(&dumps(&of, &other));
    assert!(said[2].ends_with("all ranks did the same 5 collectives."), "{said:?}");
}

#[test]
fn a_dump_is_of_a_moment_and_what_has_ended_accuses_nobody() {
    let second = "0 2 gloo:all_reduce 64 retired";
    let said = said(&dumps(&[ENDED, second], &[ENDED]));
    assert!(said[2].ends_with("all ranks did the same 1 collective."), "{said:?}");
}

#[test]
fn messages_and_kinds_that_have_no_name_here_are_compared() {
    let said_of = |of: &[&str], other: &[&str]| said(&dumps(of, other)).get(2).cloned().unwrap_or_default();
    let sends = ["dp 1 nccl:send_0->1 8 started"];
    let said = said_of(&sends, &["dp 1 nccl:all_reduce 64 completed"]);
    assert!(said.ends_with("rank 0 has sent rank 1 1 message, which has asked for 0."), "{said}");
    let said = said_of(&sends, &["dp 1 nccl:recv_1<-0 9 started"]);
    assert!(said.contains("what one rank sends is not what another waits for"), "{said}");
    assert!(said_of(&sends, &["dp 1 nccl:recv_1<-0 8 completed"]).contains("not all arrived"));
    let said = said_of(&["dp 1 nccl:window 1 started"], &["dp 1 nccl:split 1 started"]);
    assert!(said.contains("is another one on some ranks"), "{said}");
}

#[test]
fn a_rank_that_has_never_used_a_group_is_missing_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    dump(folder.path(), 0, &["dp 1 nccl:all_reduce 64 started"]);
    let nothing = json!({"version": "2.10", "pg_config": {}, "pg_status": {}});
    fs::write(folder.path().join("rank_1.json"), nothing.to_string()).expect("written");
    let said_of = || said(&read(folder.path()).expect("dumps"))[2].clone();
    assert!(said_of().contains("rank 1 has not entered all_reduce number 1"), "{}", said_of());
    // What has ended was left out.
    let used =
        json!({"version": "2.10", "pg_config": {}, "pg_status": {"1": {"last_enqueued_collective": "1"}}});
    fs::write(folder.path().join("rank_1.json"), used.to_string()).expect("written");
    assert!(said_of().contains("there are dumps of rank 0 alone"), "{}", said_of());
}

#[test]
fn groups_that_divide_the_ranks_and_have_one_name_are_several() {
    let folder = tempfile::tempdir().expect("a folder");
    for rank in 0..4 {
        let elements =
            if rank < 2 { "dp 1 nccl:all_reduce 64 started" } else { "dp 1 nccl:all_reduce 32 started" };
        dump(folder.path(), rank, &[elements]);
        let file = folder.path().join(format!("rank_{rank}.json"));
        let text = fs::read_to_string(&file).expect("a dump");
        let ranks = if rank < 2 { "[0, 1]" } else { "[2, 3]" };
        fs::write(&file, text.replace("[0, 1]", ranks)).expect("written");
    }
    let hang = Hang::default().with_dumps(&read(folder.path()).expect("dumps"));
    let groups: Vec<_> = hang.groups.iter().map(|group| (group.name.as_str(), &group.ranks[..])).collect();
    assert_eq!(groups, [("dp of [0, 1]", &[0, 1][..]), ("dp of [2, 3]", &[2, 3][..])]);
    assert!(hang.groups.iter().all(|group| matches!(group.verdict, Verdict::Pending { .. })));
}

#[test]
fn what_recordings_and_dumps_agree_on_is_confirmed() {
    let two = [ALL_REDUCE, ALL_REDUCE];
    let hang = recorded(&[&two, &two[..1]]).with_dumps(&dumps(&[ENDED, PENDING], &[ENDED]));
    let further = hang.groups[0].flight_recorder.as_ref().expect("dumps");
    assert_eq!(further.says, Agreement::Same);
    assert!(matches!(hang.groups[0].verdict, Verdict::Missing { .. }));
    let mut written = String::new();
    text::write(Some("job"), &hang, &mut written).expect("written");
    assert!(written.contains("  The flight recorder says the same.\n"), "{written}");
}

#[test]
fn what_a_dump_of_one_rank_alone_says_is_compared_for_that_rank() {
    let two = [ALL_REDUCE, ALL_REDUCE];
    let folder = tempfile::tempdir().expect("a folder");
    dump(folder.path(), 0, &[ENDED, PENDING]);
    let hang = recorded(&[&two, &two[..1]]).with_dumps(&read(folder.path()).expect("a dump"));
    let further = hang.groups[0].flight_recorder.as_ref().expect("a dump");
    assert_eq!((further.says, &further.ranks[..]), (Agreement::Same, &[0][..]));
}

#[test]
fn what_was_not_recorded_comes_from_dumps_and_is_said_to() {
    let pending = ["dp 1 nccl:all_reduce 64 started"];
    let hang = recorded(&[&[ALL_REDUCE]])
        .with_dumps(&dumps(&[ENDED, PENDING, pending[0]], &[ENDED, "dp 1 nccl:broadcast 64 started"]));
    let names: Vec<_> = hang.groups.iter().map(|group| (group.name.as_str(), group.seen_by)).collect();
    assert_eq!(names, [("0", Witness::Recording), ("dp", Witness::FlightRecorder)]);
    let further = hang.groups[0].flight_recorder.as_ref().expect("dumps");
    assert_eq!(further.says, Agreement::More);
    assert!(matches!(&further.verdict, Verdict::Missing { absent, .. } if absent == &[1]));
    let mut written = String::new();
    text::write(Some("job"), &hang, &mut written).expect("written");
    assert!(written.contains("  The flight recorder has ranks 0, 1: rank 1 has not entered"), "{written}");
    assert!(written.contains("Group `dp` (nccl, 2 ranks), by the flight recorder: "), "{written}");
}

#[test]
fn where_they_contradict_each_other_both_are_shown() {
    let hang = recorded(&[&[ALL_REDUCE], &[ALL_REDUCE]]).with_dumps(&dumps(&[ENDED, PENDING], &[ENDED]));
    let further = hang.groups[0].flight_recorder.as_ref().expect("dumps");
    assert_eq!(further.says, Agreement::Otherwise);
    assert!(hang.is_found());
    let mut written = String::new();
    text::write(Some("job"), &hang, &mut written).expect("written");
    assert!(
        written.contains("says otherwise, perhaps of another moment: rank 1 has not entered"),
        "{written}"
    );
}

#[test]
fn another_reduction_is_not_contradicted_by_who_does_not_record_it() {
    let other = Called { reduce: ReduceKind::Max, ..ALL_REDUCE };
    let hang = recorded(&[&[ALL_REDUCE], &[other]]).with_dumps(&dumps(&[ENDED], &[ENDED]));
    let says = hang.groups[0].flight_recorder.as_ref().map(|further| further.says);
    assert_eq!(says, Some(Agreement::CannotTell));
}

#[test]
fn what_gloo_does_in_place_of_a_collective_is_that_collective() {
    let gather = Called { kind: CollectiveKind::AllGatherIntoTensor, ..ALL_REDUCE };
    let two = [ALL_REDUCE, gather];
    let gathered = "0 4 gloo:all_gather 64 scheduled";
    let hang = recorded(&[&two, &two[..1]]).with_dumps(&dumps(&[ENDED, gathered], &[ENDED]));
    let says = hang.groups[0].flight_recorder.as_ref().map(|further| further.says);
    assert_eq!(says, Some(Agreement::Same));
}

#[test]
fn what_was_recorded_is_written_in_both_forms_as_it_is_read() {
    let gather = Called { kind: CollectiveKind::AllGatherIntoTensor, ..ALL_REDUCE };
    let message = |kind, peer| Called { kind, peer, reduce: ReduceKind::None, ..ALL_REDUCE };
    let traces = traces(&[
        &[ALL_REDUCE, message(CollectiveKind::Send, 1), gather],
        &[ALL_REDUCE, message(CollectiveKind::Recv, 0)],
    ]);
    let written = hang::written::dumps(support::members(&traces), &[0, 0]);
    let operations =
        |dump: &Dump| dump.entries.iter().map(|entry| entry.operation.clone()).collect::<Vec<_>>();
    assert_eq!(operations(&written[0]), ["all_reduce", "_all_gather_base"]);
    assert_eq!(operations(&written[1]), ["all_reduce"]);
    let folder = tempfile::tempdir().expect("a folder");
    for dump in &written {
        for (name, bytes) in [
            ("rank_0", flight_recorder::write::pickle(dump)),
            ("rank_0.json", flight_recorder::write::json(dump)),
        ] {
            let file = folder.path().join(name);
            fs::write(&file, bytes).expect("written");
            let expected = Dump { rank: 0, file: file.clone(), ..dump.clone() };
            assert_eq!(read(&file).expect("a dump"), [expected], "{name}");
        }
    }
}

#[test]
fn the_command_needs_no_run_and_names_every_bad_file() {
    let hang = |arguments: &[&str]| {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_traincheck"))
            .arg("hang")
            .args(arguments)
            .current_dir(data(""))
            .output()
            .expect("the command starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (status.code(), text(stdout), text(stderr))
    };
    let (code, stdout, _) = hang(&["--flight-recorder", "missing-pickle/rank_0", "missing-pickle/rank_1"]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("rank 1 has not entered"), "{stdout}");
    assert_eq!(hang(&["--flight-recorder", "alike-json"]).0, Some(0));
    let (code, stdout, _) = hang(&["--flight-recorder", "alike-json", "--format", "json"]);
    let value: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &value["run"]), (Some(0), &Value::Null));
    assert_eq!(value["hang"]["flight_recorder"][1]["rank"], 1);
    let (code, stdout, stderr) = hang(&["no-run", "--flight-recorder", "make.py", "none"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert_eq!(stderr.lines().count(), 3, "{stderr}");
    assert_eq!(hang(&[]).0, Some(2));
}
