//! Of a trace in which nothing is left but what a relation declares that it needs, the relation says the same.
mod support;

use std::collections::BTreeMap;

use support::narrow::Narrow;
use support::scripts::{Error, NAMES, Order, Schedule, Script, Style, gan};
use support::torch::Torch;
use support::windows::windows;
use support::{Passed, Value};
use traincheck_analyzer::relation::claim::RelationName;
use traincheck_analyzer::relation::kind;
use traincheck_analyzer::relation::needs::Needs;
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{Direction, ObjectKind, Role, flags};

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
    traces
}

/// A script that does a little of everything.
fn everything() -> MemoryTrace {
    let mut torch = Torch::new(5);
    let t = &mut torch;
    let model = t.model("Net", NAMES);
    let average = t.model("Net", NAMES);
    t.share((model, "head.bias"), (model, "norm.bias"));
    t.load_state(model);
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

/// What one relation says of a trace of which only `needs` are left.
fn narrowed(relation: RelationName, needs: &Needs, trace: &MemoryTrace) -> Vec<String> {
    windows(relation, &mut Narrow::new(&mut trace.source(), needs))
}

#[test]
fn what_it_declares_is_enough() {
    let mut counts: BTreeMap<RelationName, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for (number, trace) in traces().iter().enumerate() {
        for &relation in RelationName::ALL {
            let whole = windows(relation, &mut trace.source());
            let narrow = narrowed(relation, &kind(relation).needs, trace);
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
    // These need nothing that not every relation needs.
    let content = [RelationName::Mode];
    for &relation in RelationName::ALL.iter().filter(|relation| !content.contains(relation)) {
        let differs = traces.iter().any(|trace| {
            windows(relation, &mut trace.source()) != narrowed(relation, &Needs::NOTHING, trace)
        });
        assert!(differs, "{} needs nothing", relation.word());
    }
}
