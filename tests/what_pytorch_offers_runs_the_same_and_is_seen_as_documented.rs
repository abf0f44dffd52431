//! Compiled, scripted, traced, checkpointed, hooked, parametrised and subclassed: it computes what it computes
//! without the agent, torch.compile makes the same graphs as often, and objects end when they end without it. What
//! is seen of each is what docs/how-it-works.md says.

use traincheck_schema::record::EventKind;
use traincheck_schema::segment::DropReason;
use traincheck_tests::{ProcessTrace, Trace, finish, folder, plain, preloaded, script};

/// Runs a script with and without the agent, compares what it printed, and gives back what was recorded.
fn same(name: &str, profile: &str, arguments: &[&str]) -> ProcessTrace {
    let expected = finish(plain().arg(script(name)).args(arguments)).exited(0).stdout;
    let temporary = folder();
    let run = temporary.path().join("run");
    let mut command = preloaded(&run);
    command.env("TRAINCHECK_PROFILE", profile).arg(script(name)).args(arguments);
    let found = finish(&mut command).exited(0).stdout;
    assert!(found == expected, "--- without\n{expected}\n--- with\n{found}");
    let process = Trace::read(&run).only();
    // In `full`, imports alone make more calls before training begins than are kept until then.
    let lost =
        process.dropped.iter().find(|lost| profile != "full" || lost.reason != DropReason::BeforeStart);
    assert_eq!(lost, None);
    assert!(process.ending.is_some(), "not sealed: {:?}", process.torn);
    process
}

/// How often a function of this name was entered.
fn calls(process: &ProcessTrace, name: &str) -> usize {
    process.of_kind(EventKind::Enter).filter(|event| process.name(event.name) == name).count()
}

#[test]
fn what_is_computed() {
    let process = same("torch_features.py", "training", &[]);
    for (name, expected) in [
        // The wrapper, what it wraps, and the code that torch.compile made of `forward`, under the name of the
        // original; the modules within are part of the compiled code.
        ("torch._dynamo.eval_frame.OptimizedModule.__call__", 16),
        ("__main__.Compiled_eager.__call__", 4),
        ("__main__.Compiled_eager.forward", 4),
        ("__main__.Compiled_aot_eager.__call__", 4),
        // The outermost call only: inside, no Python runs. Tracing itself is Python.
        ("torch.jit._script.RecursiveScriptModule.__call__", 4),
        ("__main__.Scripted.__call__", 0),
        ("torch.jit._trace.TopLevelTracedModule.__call__", 4),
        ("__main__.Traced.forward", 3),
        ("torch.fx.graph_module.GraphModule.__new__.<locals>.GraphModuleImpl.__call__", 4),
        // `forward` called directly is a call of the user's function, and of no module.
        ("__main__.ForwardDirectly.__call__", 0),
        ("__main__.ForwardDirectly.forward", 4),
        ("__main__.Functional.__call__", 6),
        ("__main__.Cube.forward", 4),
        ("__main__.Cube.backward", 4),
        ("__main__.Hooked.__call__", 4),
        ("torch.nn.utils.parametrizations._WeightNorm.__call__", 4),
        ("__main__.OnLogged.__call__", 3),
        ("__main__.OnWrapped.__call__", 3),
        ("__main__.AtTheEnd.__call__", 4),
        ("__main__.AtTheEnd.forward", 4),
    ] {
        assert_eq!(calls(&process, name), expected, "{name}");
    }
}

#[test]
#[ignore = "the inductor and every call: minutes; scripts/test --quick leaves it out"]
fn what_is_computed_in_full() {
    let process = same("torch_features.py", "full", &["inductor"]);
    assert_eq!(calls(&process, "__main__.Compiled_inductor.__call__"), 4);
}

#[test]
fn when_objects_end() {
    let process = same("lifetimes.py", "training", &[]);
    assert!(process.steps() > 40, "{} steps", process.steps());
}

#[test]
#[ignore = "every call of torch; scripts/test --quick leaves it out"]
fn when_objects_end_in_full() {
    same("lifetimes.py", "full", &[]);
}
