//! The hooks, and what in a trace tells that one works.

use serde::Serialize;
use traincheck_analyzer::words::plural;
use traincheck_schema::run::{HookInfo, Report};

use crate::inspect::{Calls, Summary};

/// A hook that every training needs.
struct Known {
    /// What the agent calls it.
    name: &'static str,
    /// What was seen through it; none: nothing.
    seen: fn(&Summary) -> Option<String>,
}

/// In the order in which they are listed. What the agent names beyond them follows as it says it.
const KNOWN: &[Known] = &[
    Known { name: "python calls", seen: functions },
    Known { name: "variables", seen: variables },
    Known { name: "modes", seen: modes },
    Known { name: "user scopes", seen: |summary| ops(summary, "scope", |name| name.contains('#')) },
    Known { name: "ops", seen: |summary| ops(summary, "op", |name| name.starts_with("aten::")) },
    Known {
        name: "autograd nodes",
        seen: |summary| ops(summary, "node", |name| name.contains("Backward") && !name.contains("::")),
    },
    Known {
        name: "loader workers",
        seen: |summary| Some(format!("{} recorded", plural(summary.processes.len() as u64, "process"))),
    },
];

/// What may be off without anything being wrong with this Python: names, and what names begin with.
const NOT_NEEDED: [&str; 7] = [
    // The agent stepped aside for a moment.
    "python calls in deep recursion",
    // The one that is recorded is beside them.
    "subinterpreters",
    // There were very many of them.
    "further Python functions",
    "further methods of further types",
    // Nor does a process that trains by itself.
    "collectives",
    "options of collectives",
    // It was not understood; `traincheck collect` says so.
    "setting ",
];
/// Reasons that are somebody's choice.
const CHOSEN: [&str; 1] = ["the profile is minimal"];

/// Why a hook is off that the agent has not come to.
const NOT_TRIED: &str = "not tried";

/// How a hook does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is in place.
    On,
    /// It is not.
    Off,
    /// It is in place, and nothing was seen through it although there was something to see.
    Blind,
}

/// A line of the list.
#[derive(Debug, Serialize)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// How it does.
    pub state: State,
    /// Where it is on: by what interface; else empty.
    pub how: String,
    /// Where it is off: why; else empty.
    pub why: String,
    /// What was seen through it; empty: nothing.
    pub seen: String,
}

/// What is wrong with them, where that matters. What was not tried is not, if something else is the reason.
pub fn problems(hooks: &[Hook]) -> Vec<String> {
    let (not_tried, rest): (Vec<_>, Vec<_>) = hooks.iter().partition(|hook| hook.why == NOT_TRIED);
    let problems: Vec<_> = rest.into_iter().filter_map(problem).collect();
    if problems.is_empty() { not_tried.into_iter().filter_map(problem).collect() } else { problems }
}

fn problem(hook: &Hook) -> Option<String> {
    match hook.state {
        State::Off if NOT_NEEDED.iter().any(|name| hook.name.starts_with(name)) => None,
        State::Off if CHOSEN.contains(&hook.why.as_str()) => None,
        State::Off => Some(format!("{}: {}", hook.name, hook.why)),
        State::Blind => Some(format!("{}: nothing was seen of a training that has them", hook.name)),
        State::On => None,
    }
}

/// The hooks of these processes, with what was seen through them. `must_show`: the run is of a training in which there
/// is something to see through each.
pub fn list(reports: &[&Report], run: Option<&Summary>, must_show: bool) -> Vec<Hook> {
    let known = KNOWN.iter().map(|known| {
        let seen = run.and_then(known.seen);
        let off = || (State::Off, String::new(), NOT_TRIED.to_owned());
        let (state, how, why) = said(reports, known.name).map_or_else(off, |hook| state_of(&hook));
        let blind = state == State::On && must_show && seen.is_none();
        Hook {
            name: known.name.to_owned(),
            state: if blind { State::Blind } else { state },
            how,
            why,
            seen: seen.unwrap_or_default(),
        }
    });
    let mut hooks: Vec<Hook> = known.collect();
    for hook in reports.iter().flat_map(|report| &report.hooks) {
        if hooks.iter().all(|listed| listed.name != hook.name)
            && let Some(hook) = said(reports, &hook.name)
        {
            let (state, how, why) = state_of(&hook);
            hooks.push(Hook { name: hook.name, state, how, why, seen: String::new() });
        }
    }
    hooks
}

fn state_of(hook: &HookInfo) -> (State, String, String) {
    (if hook.on { State::On } else { State::Off }, hook.how.clone(), hook.why.clone())
}

/// What the processes say of a hook: it is off if it is off in one of them.
fn said(reports: &[&Report], name: &str) -> Option<HookInfo> {
    let hooks: Vec<&HookInfo> =
        reports.iter().filter_map(|report| report.hooks.iter().find(|hook| hook.name == name)).collect();
    let off = hooks.iter().filter(|hook| !hook.on).count();
    let mut hook = (*hooks.iter().find(|hook| !hook.on).or(hooks.first())?).clone();
    if off > 0 && reports.len() > 1 {
        hook.why += &format!(" (in {off} of {} processes)", reports.len());
    }
    Some(hook)
}

fn functions(summary: &Summary) -> Option<String> {
    counted(summary.processes.iter().flat_map(|process| &process.functions), "function")
}

fn ops(summary: &Summary, what: &str, wanted: fn(&str) -> bool) -> Option<String> {
    let ops = summary.processes.iter().flat_map(|process| &process.ops);
    counted(ops.filter(|op| wanted(&op.name)), what)
}

fn counted<'a>(calls: impl Iterator<Item = &'a Calls>, what: &str) -> Option<String> {
    let (names, calls) = calls.fold((0_u64, 0), |(names, sum), calls| (names + 1, sum + calls.calls));
    (calls > 0).then(|| format!("{} of {}", plural(calls, "call"), plural(names, what)))
}

fn variables(summary: &Summary) -> Option<String> {
    let variables = summary.processes.iter().flat_map(|process| &process.variables);
    let (count, looks) = variables.fold((0_u64, 0), |(count, looks), variable| {
        (count + 1, looks + variable.looks + variable.gradient_looks)
    });
    (looks > 0).then(|| format!("{} at {}", plural(looks, "look"), plural(count, "variable")))
}

/// Training is told from evaluation by them.
fn modes(summary: &Summary) -> Option<String> {
    let stages = || summary.processes.iter().flat_map(|process| &process.stages);
    let seen = |name: &str| stages().any(|stage| stage.stage == name);
    match (seen("training"), seen("evaluation")) {
        (true, true) => Some("training told from evaluation".to_owned()),
        (true, false) => Some("training only".to_owned()),
        (false, true) => Some("evaluation only".to_owned()),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(hooks: &[(&str, bool)]) -> Report {
        let hook = |(name, on): &(&str, bool)| {
            let (how, why) = if *on { ("so", "") } else { ("", "not") };
            HookInfo { name: (*name).into(), on: *on, how: how.into(), why: why.into() }
        };
        Report { hooks: hooks.iter().map(hook).collect(), ..Report::default() }
    }

    #[test]
    fn every_known_hook_is_listed_and_what_the_agent_adds() {
        let report = report(&[("python calls", true), ("something new", true), ("setting include", false)]);
        let hooks = list(&[&report], None, false);
        assert_eq!(hooks.len(), KNOWN.len() + 2);
        assert_eq!((hooks[0].name.as_str(), hooks[0].state), ("python calls", State::On));
        assert_eq!(problem(&hooks[1]).as_deref(), Some("variables: not tried"));
        assert_eq!(problem(&hooks[KNOWN.len()]), None);
        assert_eq!((hooks[KNOWN.len() + 1].state, problem(&hooks[KNOWN.len() + 1])), (State::Off, None));
        assert_eq!(problems(&hooks).len(), KNOWN.len() - 1);
    }

    #[test]
    fn a_hook_that_is_on_and_shows_nothing_is_a_problem_only_where_it_must_show_something() {
        let report = report(&[("ops", true)]);
        let ops = |must_show| list(&[&report], None, must_show).into_iter().find(|hook| hook.name == "ops");
        assert_eq!(ops(false).and_then(|hook| problem(&hook)), None);
        assert_eq!(ops(true).map(|hook| hook.state), Some(State::Blind));
    }

    #[test]
    fn what_was_not_tried_is_no_problem_of_its_own() {
        let hooks = list(&[&report(&[("python calls", false)])], None, true);
        assert_eq!(problems(&hooks), ["python calls: not"]);
    }

    #[test]
    fn what_is_off_in_one_process_is_off() {
        let (one, other) = (report(&[("ops", true)]), report(&[("ops", false)]));
        let hooks = list(&[&one, &other], None, false);
        let ops = hooks.iter().find(|hook| hook.name == "ops").expect("it is known");
        assert_eq!(problem(ops).as_deref(), Some("ops: not (in 1 of 2 processes)"));
    }
}
