//! A call's context lists the settings that differ from PyTorch's defaults, as they were when it was made.

use traincheck_schema::record::{DictKind, EventKind, flags};
use traincheck_tests::{Trace, finish, folder, plain, preloaded, script, traincheck};

#[test]
fn and_proving_that_leaves_them_as_they_were() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let with = finish(preloaded(&run).arg(script("contexts.py"))).exited(0);
    let without = finish(plain().arg(script("contexts.py"))).exited(0);
    assert_eq!((&with.stdout, &with.stderr), (&without.stdout, &without.stderr));

    let process = Trace::read(&run).only();
    process.assert_whole();
    let off: Vec<&str> = process.of_kind(EventKind::HookOff).map(|event| process.name(event.name)).collect();
    assert!(off.is_empty(), "{off:?}");
    // All calls of one function, in order: contexts and flags.
    let calls = |function: &str| -> Vec<(&str, u16)> {
        let name = format!("__main__.{function}");
        process
            .of_kind(EventKind::Enter)
            .filter(|event| process.name(event.name) == name)
            .map(|event| (process.name(event.context), event.flags))
            .collect()
    };
    let context = |function: &str| {
        let calls = calls(function);
        assert_eq!(calls.len(), 1, "{function}: {calls:?}");
        calls[0].0
    };
    assert_eq!(context("under_autocast"), "autocast(cpu, bfloat16)");
    assert_eq!(context("under_two"), "autocast(cpu, float16)");
    assert_eq!(context("behind_both"), "");
    assert_eq!(context("without_gradients"), "");
    assert_eq!(context("in_inference"), "");
    assert_eq!(context("deterministic"), "deterministic");
    assert_eq!(context("warning_only"), "deterministic(warn)");
    assert_eq!(context("high"), "matmul=high");
    assert_eq!(context("medium"), "matmul=medium");
    assert_eq!(context("double"), "default_dtype=float64");
    assert_eq!(
        context("everything"),
        "autocast(cpu, bfloat16) deterministic matmul=high default_dtype=float64"
    );
    // A function is called in many contexts, and each call has its own.
    let contexts: Vec<&str> = calls("plain").into_iter().map(|(context, _)| context).collect();
    assert_eq!((contexts.first(), contexts.last()), (Some(&""), Some(&"")));
    assert!(contexts.contains(&"matmul=high") && contexts.contains(&"default_dtype=float64"), "{contexts:?}");

    // Gradients and inference are flags, and so is autocast.
    let bits = |function: &str| calls(function)[0].1 & (flags::GRAD | flags::INFERENCE | flags::AUTOCAST);
    assert_eq!(bits("without_gradients"), 0);
    assert_eq!(bits("in_inference"), flags::INFERENCE);
    assert_eq!(bits("under_autocast"), flags::GRAD | flags::AUTOCAST);
    assert_eq!(bits("double"), flags::GRAD);

    // The return repeats what the entry said, and a module inside the region has its context.
    let enters = process.of_kind(EventKind::Enter).map(|event| (event.call, event.context));
    let mut exits: Vec<_> =
        process.of_kind(EventKind::Exit).map(|event| (event.call, event.context)).collect();
    exits.sort_unstable();
    assert_eq!(exits, enters.collect::<Vec<_>>());
    let module =
        |event: &&traincheck_schema::record::Event| process.name(event.name).ends_with("Linear.__call__");
    let modules: Vec<&str> =
        process.of_kind(EventKind::Enter).filter(module).map(|event| process.name(event.context)).collect();
    assert_eq!(modules, ["", "autocast(cpu, bfloat16)", "autocast(cpu, float16)"]);
    // Ops know it, too, and each context is defined once.
    assert!(process.of_kind(EventKind::OpEnter).any(|event| process.name(event.context) == "deterministic"));
    let mut defined: Vec<&str> = process
        .dictionary
        .iter()
        .filter(|entry| entry.kind == DictKind::Context as u8)
        .map(|entry| entry.text.as_str())
        .collect();
    defined.sort_unstable();
    let count = defined.len();
    defined.dedup();
    assert_eq!(defined.len(), count);
}

#[test]
fn and_whether_gradients_are_kept_from_being_reduced() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let with = finish(preloaded(&run).arg(script("no_sync.py"))).exited(0);
    let without = finish(plain().arg(script("no_sync.py"))).exited(0);
    assert_eq!((&with.stdout, &with.stderr), (&without.stdout, &without.stderr));

    let process = Trace::read(&run).only();
    process.assert_whole();
    let contexts = |function: &str| -> Vec<&str> {
        let enters = process.of_kind(EventKind::Enter);
        let calls = enters.filter(|event| process.name(event.name) == function);
        calls.map(|event| process.name(event.context)).collect()
    };
    assert_eq!(contexts("__main__.kept"), ["no_sync"; 12]);
    assert_eq!(contexts("__main__.nested"), ["no_sync"; 12], "the inner region has ended, the outer has not");
    assert_eq!(contexts("__main__.reduced"), [""; 12]);
    assert_eq!(contexts("__main__.behind"), [""]);
    assert_eq!(contexts("__main__.last"), [""]);
    assert_eq!(contexts("torch.Tensor.backward"), ["no_sync", ""].repeat(12));
    assert_eq!(contexts("torch.optim.sgd.SGD.step"), [""; 12]);

    // What is learned can speak of it.
    let invariants = temporary.path().join("invariants.json");
    finish(traincheck().arg("infer").arg(&run).arg("-o").arg(&invariants)).exited(0);
    let learned = std::fs::read_to_string(&invariants).expect("invariants");
    assert!(learned.contains("\"no_sync\""), "{learned}");
}
