//! What right programs of several ranks do, and programs of one rank do not, is no error.
mod support;

use support::torch::collectives::{ALL_REDUCE, Called};
use support::torch::{Optimizer, Torch};
use support::{Value, alarms, alarms_of_job, learn, learn_jobs, library_of};
use traincheck_analyzer::relation::{frozen, mode, owned};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{
    Attribute, CollectiveKind, EventKind, ObjectKind, ReduceKind, Role, VariableKind, flags,
};

const NAMES: &[&str] = &["hidden.weight", "head.weight"];

/// A training whose schedule goes on so many times after each step, in a job of so many ranks.
fn scheduled(seed: u64, times: u32, world_size: u32) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer("AdamW", &[model]);
    let scheduler = torch.scheduler("LambdaLR", optimizer);
    let loader = torch.loader();
    for _ in 0..3 {
        torch.each(loader, 5, 6, |torch, _| {
            torch.record.at(10);
            torch.zero_grad(optimizer);
            torch.forward(model, 11);
            torch.record.at(12);
            torch.backward(&[model]);
            torch.step(optimizer);
            torch.record.at(13);
            (0..times).for_each(|_| torch.scheduler_step(scheduler));
            true
        });
    }
    MemoryTrace { world_size, ..torch.finish() }
}

#[test]
fn a_schedule_in_samples_goes_on_for_what_all_ranks_have_seen() {
    let invariants = learn(&[scheduled(1, 1, 1), scheduled(2, 1, 1)]);
    assert_eq!(alarms(&invariants, &scheduled(3, 2, 2)), [""; 0]);
    assert_eq!(alarms(&invariants, &scheduled(3, 4, 4)), [""; 0]);
    assert!(!alarms(&invariants, &scheduled(3, 2, 1)).is_empty(), "there is one rank");
    assert!(!alarms(&invariants, &scheduled(3, 4, 2)).is_empty(), "there are two");
}

/// A parameter of which this rank has nothing, and a layer behind it.
fn sharded(elements: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let record = &mut torch.record;
    let net = record.object("Net", ObjectKind::Module, "__main__.Net");
    let parts = ["Net.first", "Net.last"]
        .map(|name| record.module_below(net, name, "torch.nn.modules.linear.Linear"));
    let optimizer = record.object("SGD", ObjectKind::Optimizer, "torch.optim.sgd.SGD");
    let [first, last] =
        ["Net.first.bias", "Net.last.bias"].map(|name| record.variable(name, VariableKind::Parameter, net));
    for number in 1..=24_u32 {
        record.iteration = number;
        record.event(EventKind::Iteration, 0, 0, 0, 0, 0);
        record.enter("__main__.Net.__call__", Role::ModuleCall, net, flags::MODULE_TRAIN | flags::OUTERMOST);
        for part in parts {
            record.enter(
                "torch.nn.modules.linear.Linear.__call__",
                Role::ModuleCall,
                part,
                flags::MODULE_TRAIN,
            );
            record.exit(false);
        }
        record.exit(false);
        record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        record.look(false);
        for parameter in [first, last] {
            record.state(parameter, Attribute::HeldBy, Value::Text(optimizer.to_string()));
            record.state(parameter, Attribute::RequiresGrad, Value::Bool(true));
        }
        record.state(first, Attribute::Grad, Value::None);
        record.state(last, Attribute::Grad, Value::Tensor(u64::from(number)));
        record.exit(false);
        record.enter("torch.optim.sgd.SGD.step", Role::OptimizerStep, optimizer, 0);
        record.look(false);
        record.state(first, Attribute::Data, if elements { Value::Tensor(5) } else { Value::Empty });
        record.state(last, Attribute::Data, Value::Tensor(100 + u64::from(number)));
        record.exit(false);
    }
    torch.finish()
}

#[test]
fn what_a_rank_has_nothing_of_gets_no_gradient_there() {
    use owned::claim::{Claim, Outcome, Subject};
    let library = library_of([Claim { subject: Subject::Called, outcome: Outcome::GetsGradient }]);
    assert_eq!(alarms(&library, &sharded(false)), [""; 0]);
    assert_eq!(alarms(&library, &sharded(true)), ["no-gradient"]);
}

/// A wrapper in evaluation mode around a model with dropout that is in training mode, or is not.
fn wrapped(inner: u16) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let record = &mut torch.record;
    let net = record.object("Wrapper", ObjectKind::Module, "__main__.Wrapper");
    let dropout = record.module_below(net, "Wrapper.net.drop", "torch.nn.modules.dropout.Dropout");
    let optimizer = record.object("SGD", ObjectKind::Optimizer, "torch.optim.sgd.SGD");
    let weight = record.variable("Wrapper.net.weight", VariableKind::Parameter, net);
    for number in 1..=12_u32 {
        record.iteration = number;
        record.enter(
            "__main__.Wrapper.__call__",
            Role::ModuleCall,
            net,
            flags::MODULE_EVAL | flags::OUTERMOST,
        );
        record.enter("torch.nn.modules.dropout.Dropout.__call__", Role::ModuleCall, dropout, inner);
        record.exit(false);
        record.exit(false);
        record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        record.look(false);
        record.state(weight, Attribute::HeldBy, Value::Text(optimizer.to_string()));
        record.exit(false);
        record.enter("torch.optim.sgd.SGD.step", Role::OptimizerStep, optimizer, 0);
        record.exit(false);
    }
    torch.finish()
}

#[test]
fn a_wrapper_in_evaluation_mode_is_no_model_in_evaluation_mode() {
    use mode::claim::{Claim, Outcome, Subject};
    let library = library_of([Claim { subject: Subject::Training, outcome: Outcome::InTraining }]);
    assert_eq!(alarms(&library, &wrapped(flags::MODULE_TRAIN)), [""; 0]);
    assert_eq!(alarms(&library, &wrapped(flags::MODULE_EVAL)), ["evaluation-mode"]);
}

/// An optimizer over shards, which steps one of its own that holds the same parameters; or both step.
fn nested(inside: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", NAMES);
    let inner = torch.optimizer("Adam", &[model]);
    let outer: Optimizer = torch.optimizer("ZeroRedundancyOptimizer", &[model]);
    for _ in 0..10 {
        torch.zero_grad(outer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        if inside {
            torch.step_around(outer, |torch| torch.step(inner));
        } else {
            torch.step(inner);
            torch.step(outer);
        }
    }
    torch.finish()
}

#[test]
fn an_optimizer_within_another_one_takes_no_step_of_its_own() {
    use owned::claim::{Claim, Outcome, Subject};
    let one = Claim { subject: Subject::Root { class: "*".into() }, outcome: Outcome::HeldOnce };
    let library = library_of([one]);
    assert_eq!(alarms(&library, &nested(true)), [""; 0]);
    assert_eq!(alarms(&library, &nested(false)), ["held-by-many"]);
}

/// A rank whose gradients, and with them its parameters, are these.
fn rank(gradient: impl Fn(u64) -> u64) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let record = &mut torch.record;
    let net = record.object("Net", ObjectKind::Module, "__main__.Net");
    let optimizer = record.object("SGD", ObjectKind::Optimizer, "torch.optim.sgd.SGD");
    let weight = record.variable("Net.weight", VariableKind::Parameter, net);
    let mut data = 5000;
    for number in 1..=12 {
        record.iteration = number;
        record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        record.look(false);
        record.state(weight, Attribute::HeldBy, Value::Text(optimizer.to_string()));
        record.state(weight, Attribute::Grad, Value::Tensor(gradient(number.into())));
        record.exit(false);
        record.enter("torch.optim.sgd.SGD.step", Role::OptimizerStep, optimizer, 0);
        record.look(true);
        record.state(weight, Attribute::Data, Value::Tensor(data));
        data += gradient(number.into());
        record.step += 1;
        record.look(false);
        record.state(weight, Attribute::Data, Value::Tensor(data));
        record.exit(false);
    }
    torch.finish()
}

/// Contents with this hash have a norm by the last two digits of it.
#[test]
fn sums_in_another_order_on_each_rank_are_no_other_gradients() {
    let same = || rank(|number| 1000 * number);
    let learned = learn_jobs(&[vec![same(), same()], vec![same(), same()]]);
    let rounded = || rank(|number| 1000 * number + 100);
    assert_eq!(alarms_of_job(&learned, &[same(), same(), rounded(), same()]), [""; 0]);
    let others = || rank(|number| 1000 * number + 50);
    assert_eq!(
        alarms_of_job(&learned, &[same(), same(), others(), same()]),
        ["gradients-not-reduced [2] of 4 since 1"]
    );
    let later = || rank(|number| 1000 * number + if number > 5 { 100 } else { 0 });
    assert_eq!(
        alarms_of_job(&learned, &[same(), same(), later(), same()]),
        ["gradients-not-reduced [2] of 4 since 6"],
        "what was the same is the same in every bit"
    );
}

/// A rank that draws: after its seed, and other numbers than the others from some iteration on.
fn drawing(seed: u64, other_from: u64, rank: u64) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer("SGD", &[model]);
    let stream = torch.record.variable("torch.default_generator", VariableKind::Rng, 0);
    for number in 1..=12_u64 {
        torch.record.enter("__main__.draws", Role::User, 0, 0);
        torch.record.look(false);
        let own = if number >= other_from { 7 * rank } else { 0 };
        torch.record.state(stream, Attribute::Data, Value::Tensor((seed << 32) + (number << 8) + own + 1));
        torch.record.exit(false);
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(optimizer);
    }
    torch.finish()
}

#[test]
fn that_one_rank_draws_more_does_not_make_seeds_of_ranks_differ() {
    let job = |seed, from| vec![drawing(seed, from, 0), drawing(seed, from, 1)];
    let seeded_alike = learn_jobs(&[job(1, 4), job(2, 4)]);
    assert_eq!(alarms_of_job(&seeded_alike, &job(3, u64::MAX)), [""; 0]);
    let seeded_apart = learn_jobs(&[job(1, 0), job(2, 0)]);
    assert_eq!(alarms_of_job(&seeded_apart, &job(3, 0)), [""; 0]);
    assert_eq!(
        alarms_of_job(&seeded_apart, &job(3, u64::MAX)),
        ["same-random-numbers-on-ranks [] of 2 since 2"]
    );
}

/// A training with evaluations, in which a rank sends its buffers to the others, or does not; they change there.
fn evaluated(is_sent: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", &["weight", "norm._mean"]);
    let optimizer = torch.optimizer("AdamW", &[model]);
    let group = torch.group(1, 2);
    for _ in 0..6 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(optimizer);
        torch.eval(model);
        if is_sent {
            let broadcast =
                Called { kind: CollectiveKind::Broadcast, reduce: ReduceKind::None, ..ALL_REDUCE };
            torch.collective(group, broadcast);
        }
        torch.overwrite(model);
        torch.train(model);
    }
    MemoryTrace { world_size: 2, ..torch.finish() }
}

#[test]
fn what_another_rank_sends_in_an_evaluation_changes_variables() {
    use frozen::claim::{Claim, Outcome, Subject};
    let claim = |outcome| Claim { subject: Subject::Root { class: "*".into() }, outcome };
    let library = library_of([claim(Outcome::ParametersStay), claim(Outcome::BuffersStay)]);
    assert_eq!(alarms(&library, &evaluated(true)), [""; 0]);
    assert_eq!(alarms(&library, &evaluated(false)), ["changed-in-evaluation"]);
}

/// A rank that steps a part of what it trains, with the gradients of two batches, and gets the other part from another rank behind
/// every step, or does not.
fn stepped_in_part(is_sent: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer_of("AdamW", &[(model, "hidden.weight")]);
    for _ in 0..6 {
        for _ in 0..2 {
            torch.forward(model, 10);
            torch.backward(&[model]);
        }
        torch.step(optimizer);
        if is_sent {
            torch.write(model);
        }
        torch.zero_grad_of(model);
    }
    torch.finish()
}

#[test]
fn what_another_rank_steps_needs_no_holder_here() {
    use owned::claim::{Claim, Outcome, Subject};
    let library =
        library_of([Claim { subject: Subject::Root { class: "*".into() }, outcome: Outcome::Held }]);
    assert_eq!(alarms(&library, &stepped_in_part(true)), [""; 0]);
    assert_eq!(alarms(&library, &stepped_in_part(false)), ["parameters-in-no-optimizer"]);
}

/// Two optimizers over the same parameters, of which the second steps behind so many steps of the first.
fn outer(every: u32) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", NAMES);
    let inner = torch.optimizer("AdamW", &[model]);
    let outer = torch.optimizer("SGD", &[model]);
    for iteration in 1..=20 {
        torch.zero_grad(inner);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(inner);
        if iteration % every == 0 {
            torch.give_gradients(model);
            torch.step(outer);
        }
    }
    torch.finish()
}

#[test]
fn an_outer_optimizer_steps_now_and_then() {
    use owned::claim::{Claim, Outcome, Subject};
    let claim = Claim { subject: Subject::Root { class: "*".into() }, outcome: Outcome::HeldOnce };
    let library = library_of([claim]);
    assert_eq!(alarms(&library, &outer(5)), [""; 0]);
    assert_eq!(alarms(&library, &outer(1)), ["held-by-many"]);
}
