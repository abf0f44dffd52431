//! Before the first iteration the trace has of each parameter what filled it, in order, under the name that it gets later:
//! functions of `torch.nn.init` wherever they are called from, and ops in place, also through `.data` and views.

use std::collections::BTreeMap;

use traincheck_schema::record::EventKind;
use traincheck_schema::run::Run;
use traincheck_tests::{
    ProcessTrace, Trace, finish, folder, interpreters, pipeline, preloaded, preloaded_in, script, traincheck,
};

/// What filled each parameter that was looked at.
fn filled(process: &ProcessTrace) -> BTreeMap<&str, Vec<&str>> {
    let mut by_variable: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in process.of_kind(EventKind::Filled) {
        let variable = u32::try_from(event.value).expect("a variable");
        by_variable.entry(process.name(variable)).or_default().push(process.name(event.name));
    }
    by_variable
}

#[test]
fn the_trace_agrees_with_the_script_in_every_interpreter() {
    for (version, python) in interpreters() {
        let temporary = folder();
        let run = temporary.path().join("run");
        let done = finish(preloaded_in(&python, &run).arg(script("initialised.py"))).exited(0);
        let process = Trace::read(&run).only();
        process.assert_whole();
        let found = filled(&process);
        let expected: BTreeMap<String, Vec<String>> =
            serde_json::from_str(done.stdout.lines().last().expect("a line")).expect("JSON");
        for (variable, by) in &expected {
            let found = found.get(variable.as_str()).cloned().unwrap_or_default();
            assert_eq!(found, *by, "{variable} in {version}");
        }
        assert!(found.keys().all(|variable| expected.contains_key(*variable)), "{version}: {found:?}");

        // Calls of `torch.nn.init` are no calls of the trace, and what fills is inside the call that is.
        assert!(process.of_kind(EventKind::Enter).all(|event| {
            let function = process.name(event.name);
            !function.starts_with("torch.nn.init.") && !function.contains("Parameter.__new__")
        }));
        let around = |call: u64| {
            let mut entered = process.of_kind(EventKind::Enter);
            entered.find(|event| event.call == call).map(|event| process.name(event.name))
        };
        let by_script = process
            .of_kind(EventKind::Filled)
            .filter(|event| process.name(event.name) == "torch.nn.init.trunc_normal_");
        for event in by_script {
            assert_eq!(around(event.call), Some("__main__.Embedded.initialise"), "{version}");
            let site = process.dictionary.get(event.site).expect("a place");
            assert_eq!(site.text, "__main__.Embedded.initialise", "{version}");
        }

        if version == "3.11" {
            let shown = finish(traincheck().arg("inspect").arg(&run)).exited(0).stdout;
            let line = "filled by torch.nn.init.kaiming_uniform_, aten::normal_ (3 times)";
            assert!(shown.contains(line), "{shown}");
        }
    }
}

#[test]
fn the_same_is_known_where_its_calls_are_asked_for_and_recorded() {
    let all = "torch.nn.init.*,torch.nn.parameter.*,*.Module._apply";
    for settings in [
        &[("TRAINCHECK_PROFILE", "full")][..],
        // Calls that are thinned out fill as others do.
        &[("TRAINCHECK_INCLUDE", all), ("TRAINCHECK_MAX_CALLS_PER_ITERATION", "2")],
    ] {
        let temporary = folder();
        let run = temporary.path().join("run");
        let mut command = preloaded(&run);
        let done = finish(command.envs(settings.iter().copied()).arg(script("initialised.py"))).exited(0);
        let process = Trace::read(&run).only();
        let functions =
            ["torch.nn.init.kaiming_uniform_", "torch.nn.parameter.Parameter.__new__", "__main__.Net._apply"];
        for function in functions {
            assert!(process.called(function), "{function} with {settings:?}");
        }
        assert_eq!(process.of_kind(EventKind::Thinned).count() > 0, settings.len() == 2);
        let found = filled(&process);
        let expected: BTreeMap<String, Vec<String>> =
            serde_json::from_str(done.stdout.lines().last().expect("a line")).expect("JSON");
        for (variable, by) in &expected {
            let found = found.get(variable.as_str()).cloned().unwrap_or_default();
            assert_eq!(found, *by, "{variable} with {settings:?}");
        }
    }
}

#[test]
fn after_more_ops_than_any_initialisation_has_it_is_off_and_says_so() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let code = "import torch
filled, trained = torch.zeros(1), torch.nn.Parameter(torch.zeros(1))
for _ in range(1 << 18):
    filled.fill_(1.0)
torch.optim.SGD([trained], lr=0.1)
";
    finish(preloaded(&run).args(["-c", code])).exited(0);
    let info = Run::open(&run).unwrap().info.unwrap();
    let hook = info.hooks.iter().find(|hook| hook.name == "initialisation").expect("the hook");
    assert_eq!(
        (hook.on, hook.why.as_str()),
        (false, "there were more than 262144 ops before the first iteration")
    );
}

#[test]
fn nothing_is_seen_of_it_once_the_first_iteration_has_begun() {
    let temporary = folder();
    let run = temporary.path().join("run");
    finish(preloaded(&run).arg(pipeline("mlp.py")).args(["--iterations", "5"])).exited(0);
    let process = Trace::read(&run).only();
    let init = filled(&process);
    assert_eq!(init["MLP.layers.0.weight"], ["torch.nn.init.kaiming_uniform_"]);
    assert!(process.of_kind(EventKind::Filled).all(|event| event.iteration <= 1), "{init:?}");
}

#[test]
fn a_profile_without_ops_has_nothing_of_it() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let mut command = preloaded(&run);
    finish(command.env("TRAINCHECK_PROFILE", "minimal").arg(script("initialised.py"))).exited(0);
    assert_eq!(filled(&Trace::read(&run).only()).len(), 0);
}
