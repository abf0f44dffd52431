//! Of a trace in which nothing is left but what a relation declares that it needs, the relation says the same. Nothing
//! is declared that makes no difference, and preconditions speak of nothing else. Nor does its observer act upon anything
//! of it that it is not told.
mod support;

use std::cell::LazyCell;
use std::collections::BTreeMap;

use support::anything::anything;
use support::narrow::{Narrow, complete};
use support::references;
use support::scripts::{Error, NAMES, Order, Schedule, Script, Style, gan};
use support::torch::Torch;
use support::torch::collectives::{ALL_REDUCE, Called};
use support::windows::windows;
use support::{Passed, Value};
use traincheck_analyzer::call::roles::Roles;
use traincheck_analyzer::infer::{Verdict, learn};
use traincheck_analyzer::relation::claim::{Claim, RelationName};
use traincheck_analyzer::relation::kind;
use traincheck_analyzer::relation::listener::Listeners;
use traincheck_analyzer::relation::needs::{EVERY_RELATION, Needs, States};
use traincheck_analyzer::situation::{Feature, Fields};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{
    Attribute, Direction, EventKind, ObjectKind, Role, Stage, VariableKind, flags,
};

/// Runs with something for every relation.
fn traces() -> Vec<MemoryTrace> {
    let mut traces = Vec::new();
    let errors = [
        Error::None,
        Error::NoZeroGrad,
        Error::StaleOptimizer,
        Error::FrozenBackbone,
        Error::EvalAfterFirstEvaluation,
        Error::NoStep,
        Error::HeadNotInOptimizer,
        Error::ZeroLearningRate,
        Error::ClipAfterStep,
        Error::ZeroInsideAccumulation,
    ];
    for (number, error) in errors.into_iter().enumerate() {
        let style = [Style::Flat, Style::Epochs, Style::Steps][number % 3];
        let order = [Order::First, Order::BeforeBackward, Order::Last][number % 3];
        let schedule = [Schedule::Epoch, Schedule::Iteration][number % 2];
        let script = Script { error, style, order, schedule, clip: true, ..Script::default() };
        traces.push(script.run().finish());
        let script = Script { accumulate: 2, resume: true, loader: number % 2 == 0, ..script };
        traces.push(script.run().killed(0.8));
    }
    traces.push(gan(1, 4, 5, Error::None).finish());
    traces.push(everything());
    traces.push(resumed());
    traces.push(forgotten());
    traces.push(by_hand());
    traces.push(reduced());
    traces.push(added_up());
    traces
}

/// A script that goes on with an optimizer, and begins its schedule anew.
fn resumed() -> MemoryTrace {
    let mut torch = Torch::new(5);
    let model = torch.model("Net", &["weight"]);
    let optimizer = torch.optimizer("SGD", &[model]);
    let scheduler = torch.scheduler("StepLR", optimizer);
    torch.load_optimizer(optimizer, false);
    for _ in 0..5 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(optimizer);
        torch.scheduler_step(scheduler);
    }
    torch.finish()
}

/// Two networks that are trained, one of which is called without gradients now and then, in training mode: on a batch of a
/// loader, or to compute a loss.
fn samples(loads: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let (generator, critic) = (torch.model("Net", &["weight"]), torch.model("Critic", &["weight"]));
    torch.part(generator, "drop", "torch.nn.modules.dropout.Dropout");
    let optimizers = [torch.optimizer("Adam", &[generator]), torch.optimizer("Adam", &[critic])];
    let loader = torch.loader();
    for number in 0..60 {
        for (model, optimizer) in [generator, critic].into_iter().zip(optimizers) {
            torch.zero_grad(optimizer);
            torch.forward(model, 10);
            torch.backward(&[model]);
            torch.step(optimizer);
        }
        if number % 20 == 19 {
            torch.record.stage = Stage::Evaluation;
            if loads {
                torch.record.call("torch.utils.data._Iter.__next__", Role::LoaderNext, loader.id());
            }
            torch.no_grad(|torch| {
                torch.forward(generator, 20);
                if !loads {
                    torch.record.call("torch.nn.functional.cross_entropy", Role::Other, 0);
                }
            });
            torch.record.stage = Stage::Training;
        }
    }
    torch.finish()
}

/// Two networks of which only one optimizer steps, though the gradients of both are cleared for it.
fn forgotten() -> MemoryTrace {
    let mut torch = Torch::new(1);
    let models = ["Encoder", "Decoder"].map(|class| torch.model(class, &["weight"]));
    let optimizers = models.map(|model| torch.optimizer("Adam", &[model]));
    for _ in 0..30 {
        optimizers.iter().for_each(|optimizer| torch.zero_grad(*optimizer));
        torch.forward(models[0], 10);
        torch.forward(models[1], 11);
        torch.backward(&models);
        torch.step(optimizers[1]);
    }
    torch.finish()
}

/// Two tensors of no module under one optimizer, whose gradient is one: they share their storage.
fn by_hand() -> MemoryTrace {
    let mut torch = Torch::new(1);
    let record = &mut torch.record;
    let optimizer = record.object("SGD", ObjectKind::Optimizer, "torch.optim.sgd.SGD");
    let tensors = [0, 1].map(|number| {
        let name = format!("SGD.param_groups[0].params[{number}]");
        record.variable(&name, VariableKind::Unreached, optimizer)
    });
    for number in 1..=20 {
        record.iteration = number;
        record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        record.look(false);
        for tensor in tensors {
            record.state(tensor, Attribute::HeldBy, Value::Text(optimizer.to_string()));
            record.state(tensor, Attribute::Storage, Value::Int(1));
            record.state(tensor, Attribute::Grad, Value::Tensor(u64::from(number)));
        }
        record.exit(false);
        record.enter("torch.optim.sgd.SGD.step", Role::OptimizerStep, optimizer, 0);
        record.look(false);
        for tensor in tensors {
            record.state(tensor, Attribute::Data, Value::Tensor(100 + u64::from(number)));
        }
        record.exit(false);
    }
    torch.finish()
}

/// Gradients that are added up behind the backward pass, of two optimizers, and divided but for some.
fn added_up() -> MemoryTrace {
    let mut torch = Torch::new(1);
    let group = torch.group(0, 2);
    let root = torch.record.object("Net", ObjectKind::Module, "train.Net");
    let parts = ["head", "body"].map(|name| {
        let weight = torch.record.variable(&format!("Net.{name}"), VariableKind::Parameter, root);
        (weight, torch.record.object(name, ObjectKind::Optimizer, "torch.optim.sgd.SGD"))
    });
    for number in 1..=12_u32 {
        torch.record.iteration = number;
        torch.record.event(EventKind::Iteration, 0, 0, 0, 0, 0);
        torch.record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        torch.record.look(false);
        let own = [1, 2].map(|part| f64::from(number + 100 * part));
        for ((weight, optimizer), own) in parts.iter().zip(own) {
            torch.record.state(*weight, Attribute::HeldBy, Value::Text(optimizer.to_string()));
            torch.record.state(*weight, Attribute::Grad, Value::Tensor(own.to_bits()));
        }
        torch.record.exit(false);
        for own in own {
            torch.collective(group, Called { contents: Some((own, 10.0)), ..ALL_REDUCE });
        }
        for (weight, optimizer) in parts {
            torch.record.enter("torch.optim.sgd.SGD.step", Role::OptimizerStep, optimizer, 0);
            torch.record.look(true);
            // 64 elements: the mean, and now and then the sum.
            let norm = if number % 4 == 0 { 80 } else { 40 };
            torch.record.state(weight, Attribute::Grad, Value::Tensor(norm));
            torch.record.exit(false);
        }
    }
    torch.finish()
}

/// Gradients that are reduced, and not always waited for.
fn reduced() -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", &["weight"]);
    let optimizer = torch.optimizer("SGD", &[model]);
    let group = torch.group(0, 2);
    for number in 0..12 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward_entering(&[model], group, &[ALL_REDUCE]);
        torch.collective(group, Called { waited: number % 3 != 0, ..ALL_REDUCE });
        torch.step(optimizer);
    }
    MemoryTrace { world_size: 2, ..torch.finish() }
}

/// A script that does a little of everything.
fn everything() -> MemoryTrace {
    let mut torch = Torch::new(5);
    let t = &mut torch;
    let model = t.model("Net", NAMES);
    let average = t.model("Net", NAMES);
    t.share((model, "head.bias"), (model, "norm.bias"));
    t.load_state(model);
    t.initialise(model, "aten::normal_", "__main__.Net.__init__", 2);
    let optimizer = t.optimizer("AdamW", &[model]);
    let scheduler = t.scheduler("StepLR", optimizer);
    let loader = t.loader();
    for iteration in 1..=18_u32 {
        let seed = u64::from(iteration);
        if iteration % 6 == 1 {
            t.iter(loader, 20);
        }
        t.next(loader, 20, &[Value::Tensor(seed << 8), Value::Tensor(7)], Some(i64::from(iteration % 2)));
        t.within("augment", |t| {
            let rows = if iteration % 2 == 0 { "[8, 3] float32 cpu" } else { "[5, 3] float32 cpu" };
            t.record.argument(Direction::Argument, "x", Passed::Tensor(rows, false));
        });
        generates(t, iteration);
        compares(t);
        t.record.under("autocast(cpu, bfloat16) matmul=high");
        for module in ["Net", "Net.head"] {
            let object = t.record.object(module, ObjectKind::Module, "torch.nn.Linear");
            let outermost = if module == "Net" { flags::OUTERMOST } else { 0 };
            let all = flags::MODULE_TRAIN | outermost | flags::AUTOCAST;
            t.record.enter("torch.nn.Linear.__call__", Role::ModuleCall, object, all);
            t.record.exit(false);
            let tensor = format!("[{iteration}, 3] bfloat16 cpu");
            t.record.argument(Direction::Result, "result", Passed::Tensor(&tensor, true));
        }
        t.record.under("");
        t.forward(model, 21);
        t.scale();
        recomputes(t);
        t.record.at(22);
        t.backward_through(&["MulBackward0", "NllLossBackward0"], &[model]);
        t.backward_from(1.0 / f64::from(iteration), &[model]);
        t.clip();
        if iteration % 2 == 0 {
            t.step(optimizer);
            t.given("prune", model, |t| t.write(model));
            t.zero_grad(optimizer);
        }
        if iteration % 6 == 0 {
            t.exhausted(loader, 20);
            t.schedule(scheduler, optimizer, 0.1 / f64::from(iteration));
            t.eval(model);
            t.no_grad(|t| t.within("validate", |t| t.forward(average, 30)));
            t.evaluate(model, 31, [seed, seed]);
            t.train(model);
            t.save();
        }
    }
    torch.finish()
}

/// A function that is given a bound and gives back what is shorter.
fn generates(t: &mut Torch, iteration: u32) {
    t.record.enter("__main__.generate", Role::User, 0, 0);
    t.record.argument(Direction::Argument, "prompt", Passed::Tensor("[2, 4] int64 cpu", false));
    t.record.argument(Direction::Argument, "max_new_tokens", Passed::Int(5));
    t.record.exit(false);
    let length = 4 + iteration % 6;
    t.record.argument(
        Direction::Result,
        "result",
        Passed::Tensor(&format!("[2, {length}] int64 cpu"), false),
    );
}

/// A module that is called, and called again in a backward.
fn recomputes(t: &mut Torch) {
    let stream = t.record.variable("torch.default_generator", VariableKind::Rng, 0);
    let block = t.record.object("Net.block", ObjectKind::Module, "__main__.Block");
    for outermost in [0, flags::OUTERMOST] {
        if outermost != 0 {
            t.record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        }
        let flags = flags::MODULE_TRAIN | outermost;
        t.record.enter("__main__.Block.__call__", Role::ModuleCall, block, flags);
        t.record.state(stream, Attribute::Data, Value::Tensor(5));
        t.record.exit(false);
    }
    t.record.exit(false);
}

/// Losses of all kinds: a module, a function of the script, one of PyTorch's.
fn compares(t: &mut Torch) {
    let loss = t.record.object("MSELoss", ObjectKind::Module, "torch.nn.MSELoss");
    let calls = [
        ("torch.nn.MSELoss.__call__", Role::ModuleCall, loss, flags::MODULE_TRAIN | flags::OUTERMOST),
        ("__main__.huber", Role::User, 0, 0),
        ("torch.nn.functional.mse_loss", Role::Other, 0, 0),
    ];
    for (function, role, object, flags) in calls {
        t.record.enter(function, role, object, flags);
        for name in ["input", "target"] {
            t.record.argument(Direction::Argument, name, Passed::Tensor("[8, 3] float32 cpu", false));
        }
        t.record.exit(false);
    }
}

/// What one relation says of a trace of which only `needs` are left.
fn narrowed(relation: RelationName, needs: &Needs, trace: &MemoryTrace) -> Vec<String> {
    windows(Listeners::new(&[kind(relation)]), &mut Narrow::new(&mut trace.source(), needs))
}

/// What a relation needs, with what every one does.
fn needs(relation: RelationName) -> Needs {
    complete(&kind(relation).needs)
}

#[test]
fn what_it_declares_is_enough() {
    let mut counts: BTreeMap<RelationName, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for (number, trace) in traces().iter().enumerate() {
        for &relation in RelationName::ALL {
            let whole = windows(Listeners::new(&[kind(relation)]), &mut trace.source());
            let narrow = narrowed(relation, &needs(relation), trace);
            *counts.entry(relation).or_default() += whole.len();
            if whole != narrow {
                let first = whole.iter().zip(&narrow).find(|(whole, narrow)| whole != narrow);
                problems.push(format!(
                    "{}, trace {number}: {} windows became {}, first {first:#?}",
                    relation.word(),
                    whole.len(),
                    narrow.len()
                ));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    for relation in RelationName::ALL {
        assert!(counts[relation] > 5, "{}: {} windows", relation.word(), counts[relation]);
    }
}

#[test]
fn what_it_does_not_declare_it_does_not_get() {
    let traces = traces();
    // Nothing in the models of these does otherwise in training mode.
    let content = [RelationName::Mode];
    for &relation in RelationName::ALL.iter().filter(|relation| !content.contains(relation)) {
        let differs = traces.iter().any(|trace| {
            windows(Listeners::new(&[kind(relation)]), &mut trace.source())
                != narrowed(relation, &complete(&Needs::NOTHING), trace)
        });
        assert!(differs, "{} needs nothing", relation.word());
    }
}

#[test]
fn of_what_its_observer_is_not_told_it_makes_nothing() {
    let anything = (1..=100).map(anything);
    let mut problems = Vec::new();
    for (number, trace) in traces().into_iter().chain(anything).enumerate() {
        for &relation in RelationName::ALL {
            let needs = needs(relation);
            let told =
                windows(Listeners::new(&[kind(relation)]), &mut Narrow::new(&mut trace.source(), &needs));
            let all = windows(
                Listeners::of_everything(&[kind(relation)]),
                &mut Narrow::new(&mut trace.source(), &needs),
            );
            if told != all {
                let first = told.iter().zip(&all).find(|(told, all)| told != all);
                problems.push(format!(
                    "{}, trace {number}: {} windows, {} if told of everything, first {first:#?}",
                    relation.word(),
                    told.len(),
                    all.len()
                ));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// `needs` without one of the things that `declared` names, each in turn.
fn each_left_out(needs: &Needs, declared: &Needs) -> Vec<(String, Needs)> {
    let mut all = Vec::new();
    let without =
        |roles: Roles, role| Roles::of(&roles.iter().filter(|other| *other != role).collect::<Vec<_>>());
    for role in declared.calls.iter() {
        all.push((format!("calls of {role:?}"), Needs { calls: without(needs.calls, role), ..*needs }));
    }
    for role in declared.arguments.iter() {
        let arguments = without(needs.arguments, role);
        all.push((format!("arguments of {role:?}"), Needs { arguments, ..*needs }));
    }
    for role in declared.results.iter() {
        all.push((format!("results of {role:?}"), Needs { results: without(needs.results, role), ..*needs }));
    }
    for (number, states) in declared.variables.iter().enumerate() {
        let mut replace = |what: String, states: States| {
            let mut variables = needs.variables.to_vec();
            variables[number] = states;
            all.push((what, Needs { variables: variables.leak(), ..*needs }));
        };
        let attribute = states.attribute;
        for kind in states.of {
            let of = states.of.iter().filter(|other| *other != kind).copied().collect::<Vec<_>>().leak();
            replace(format!("{attribute:?} of {kind:?}"), States { of, ..*states });
        }
        // Of no point means wherever: the only one is as good as the whole.
        for point in states.at.iter().filter(|_| states.at.len() > 1) {
            let at = states.at.iter().filter(|other| *other != point).copied().collect::<Vec<_>>().leak();
            replace(format!("{attribute:?} at {point:?}"), States { at, ..*states });
        }
    }
    if declared.constructions {
        all.push(("constructions".to_owned(), Needs { constructions: false, ..*needs }));
    }
    if declared.fills {
        all.push(("fills".to_owned(), Needs { fills: false, ..*needs }));
    }
    if declared.ops {
        all.push(("ops".to_owned(), Needs { ops: false, ..*needs }));
    }
    for feature in declared.contexts.features() {
        let others: Vec<Feature> = needs.contexts.features().filter(|other| *other != feature).collect();
        all.push((format!("{feature:?}"), Needs { contexts: Fields::of(&others), ..*needs }));
    }
    all
}

/// Traces in which anything happens, made when they are asked for.
type Anything = LazyCell<MemoryTrace, Box<dyn FnOnce() -> MemoryTrace>>;

/// Which of what `declared` names makes no difference to any of these relations.
fn unread(declared: &Needs, relations: &[RelationName], traces: &[Anything]) -> Vec<String> {
    let names = each_left_out(declared, declared).into_iter().map(|(name, _)| name);
    let mut unread: Vec<String> = names.collect();
    for trace in traces {
        if unread.is_empty() {
            break;
        }
        for &relation in relations {
            let whole = narrowed(relation, &needs(relation), trace);
            for (name, less) in each_left_out(&needs(relation), declared) {
                if unread.contains(&name) && narrowed(relation, &less, trace) != whole {
                    unread.retain(|other| *other != name);
                }
            }
        }
    }
    unread
}

#[test]
fn what_it_declares_it_reads() {
    // What takes many steps happens in none of those in which anything does.
    let samples = [true, false].map(|loads| Anything::new(Box::new(move || samples(loads))));
    let anything = (1..=1500).map(|seed| Anything::new(Box::new(move || anything(seed))));
    let longer = [forgotten, by_hand, added_up].map(|trace| Anything::new(Box::new(trace)));
    let traces: Vec<Anything> = samples.into_iter().chain(longer).chain(anything).collect();
    let mut problems = Vec::new();
    for &relation in RelationName::ALL {
        for what in unread(&kind(relation).needs, &[relation], &traces) {
            problems.push(format!("{} declares {what}", relation.word()));
        }
    }
    for what in unread(&EVERY_RELATION, RelationName::ALL, &traces) {
        problems.push(format!("it is said of every relation that it needs {what}"));
    }
    let all = problems.join("\n");
    assert!(problems.is_empty(), "nothing that happens in support/anything.rs differs without it:\n{all}");
}

#[test]
fn preconditions_speak_of_what_is_declared() {
    // One claim or more of every kind, and those of the traces.
    let frozen =
        include_str!("data/claims.jsonl").lines().map(|line| serde_json::from_str(line).expect("a claim"));
    let learned = learn(references(&traces())).verdicts.into_iter().map(|verdict| match verdict {
        Verdict::Kept(invariant, _) => invariant.claim,
        Verdict::Rejected(claim, _) => claim,
    });
    for claim in frozen.chain(learned) {
        let claim: Claim = claim;
        let declared = needs(claim.relation()).contexts;
        let beyond: Vec<Feature> = claim.fields().features().filter(|f| !declared.has(*f)).collect();
        assert_eq!(beyond, [], "{}", claim.text());
    }
}
