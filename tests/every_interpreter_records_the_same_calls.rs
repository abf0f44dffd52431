//! What is recorded of a script does not depend on the version of CPython, nor on the way in which calls are seen
//! there: PEP 523 on 3.11, `sys.monitoring` from 3.12 on.

use std::collections::HashMap;
use std::path::Path;

use traincheck_schema::record::{EventKind, Role, flags};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, interpreters, preloaded_in, script};

fn record(python: &Path) -> ProcessTrace {
    let folder = folder();
    let run = folder.path().join("run");
    let done = finish(preloaded_in(python, &run).arg(script("calls_of_all_kinds.py"))).exited(0);
    assert_eq!(done.stdout, "done\n");
    let trace = Trace::read(&run).only();
    trace.assert_whole();
    trace
}

/// The user's calls, one line for each time one begins, ends, is suspended or resumed, thread by thread.
fn calls(trace: &ProcessTrace) -> Vec<String> {
    let mut events: Vec<_> =
        trace.events.iter().filter(|event| trace.role(event.name) == Some(Role::User)).collect();
    events.sort_by_key(|event| (event.thread, event.time));
    let mut numbers = HashMap::new();
    let mut lines = Vec::new();
    for event in events {
        let what = match EventKind::try_from(event.kind) {
            Ok(EventKind::Enter) => "enters",
            Ok(EventKind::Exit) if event.flags & flags::RAISED != 0 => "raises",
            Ok(EventKind::Exit) => "returns",
            Ok(EventKind::Suspend) => "is suspended",
            Ok(EventKind::Resume) => "is resumed",
            _ => continue,
        };
        let next = numbers.len() + 1;
        let call = *numbers.entry(event.call).or_insert(next);
        let parent = numbers.get(&event.parent).copied().unwrap_or(0);
        let line = trace.dictionary.get(event.site).map_or(0, |site| site.line);
        lines.push(format!(
            "thread {}: {call} {} {what} in {parent}, from {} line {line}",
            event.thread,
            trace.name(event.name),
            trace.name(event.site),
        ));
    }
    lines
}

#[test]
fn calls_of_all_kinds() {
    let mut expected: Option<(String, Vec<String>)> = None;
    for (version, python) in interpreters() {
        let trace = record(&python);
        assert!(
            trace.of_kind(EventKind::Thinned).next().is_none(),
            "functions are called too often in {version}"
        );
        let found = calls(&trace);
        assert!(found.len() > 400, "{version}: {}", found.join("\n"));
        match &expected {
            None => expected = Some((version, found)),
            Some((first, expected)) => {
                if let Some(at) =
                    (0..expected.len().max(found.len())).find(|&at| expected.get(at) != found.get(at))
                {
                    let around = |lines: &[String]| {
                        lines[at.saturating_sub(4).min(lines.len())..(at + 4).min(lines.len())].join("\n")
                    };
                    panic!("line {at}\n--- {first}\n{}\n--- {version}\n{}", around(expected), around(&found));
                }
            }
        }
    }
}
