//! What a step finds in the gradients: something that is not zero, in some step; something else than the step before; and
//! what all batches since that have left. Contents decide, whatever was called.
mod support;

use support::{Recorder, Value, alarms, library_of};
use traincheck_analyzer::relation::cover::claim::{Claim, Outcome, Subject};
use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind};

/// A program with one parameter, whose optimizer's steps are looked at.
struct Program {
    record: Recorder,
    optimizer: u32,
    loader: u32,
    parameter: u32,
    gradient: Value,
    random: u64,
}

impl Program {
    fn new() -> Program {
        let mut record = Recorder::default();
        let model = record.object("Net", ObjectKind::Module, "__main__.Net");
        let optimizer = record.object("SGD", ObjectKind::Optimizer, "torch.optim.SGD");
        let loader = record.object("DataLoader", ObjectKind::Loader, "torch.utils.data.DataLoader");
        let parameter = record.variable("Net.weight", VariableKind::Parameter, model);
        Program { record, optimizer, loader, parameter, gradient: Value::None, random: 1 }
    }

    fn look(&mut self, at_entry: bool) {
        self.record.look(at_entry);
        let holder = Value::Text(self.optimizer.to_string());
        self.record.state(self.parameter, Attribute::HeldBy, holder);
        let gradient = match self.gradient {
            Value::Tensor(bits) => Value::Tensor(bits),
            _ => Value::None,
        };
        self.record.state(self.parameter, Attribute::Grad, gradient);
    }

    fn batch(&mut self) {
        self.record.iteration += 1;
        self.record.call("torch.utils.data.DataLoader.__next__", Role::LoaderNext, self.loader);
    }

    /// A backward that reaches the parameter, or does not.
    fn backward(&mut self, reaches: bool) {
        self.record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        if reaches {
            self.random += 1;
            self.gradient = Value::Tensor(self.random);
        }
        self.look(false);
        self.record.exit(false);
    }

    fn zero_grad(&mut self) {
        self.gradient = Value::None;
        self.record.call("torch.optim.SGD.zero_grad", Role::ZeroGrad, self.optimizer);
    }

    fn give(&mut self) {
        self.random += 1;
        self.gradient = Value::Tensor(self.random);
    }

    fn clip(&mut self) {
        self.record.call("torch.nn.utils.clip_grad.clip_grad_norm_", Role::ClipGrad, 0);
    }

    fn step(&mut self) {
        self.record.enter("torch.optim.SGD.step", Role::OptimizerStep, self.optimizer, 0);
        self.look(true);
        self.record.exit(false);
        self.record.step += 1;
    }
}

/// What is found where an iteration of the program is this.
fn found(subject: Subject, outcome: Outcome, iteration: impl Fn(&mut Program)) -> Vec<String> {
    let mut program = Program::new();
    program.record.call("torch.utils.data.DataLoader.__iter__", Role::LoaderIter, program.loader);
    for _ in 0..8 {
        iteration(&mut program);
    }
    alarms(&library_of([Claim { subject, outcome }]), &program.record.finish(97, None))
}

fn supplied(iteration: impl Fn(&mut Program)) -> Vec<String> {
    found(Subject::AllSteps, Outcome::Supplied, iteration)
}

fn anew(iteration: impl Fn(&mut Program)) -> Vec<String> {
    found(Subject::NextStep, Outcome::Anew, iteration)
}

fn all_used(iteration: impl Fn(&mut Program)) -> Vec<String> {
    found(Subject::Batches, Outcome::AllUsed, iteration)
}

#[test]
fn steps_without_gradients() {
    let cleared_too_late = |p: &mut Program| {
        p.batch();
        p.backward(true);
        p.zero_grad();
        p.step();
    };
    assert_eq!(supplied(cleared_too_late), ["gradients-thrown-away"]);
    let detached = |p: &mut Program| {
        p.batch();
        p.zero_grad();
        p.backward(false);
        p.step();
    };
    assert_eq!(supplied(detached), ["no-gradient"]);
}

#[test]
fn steps_whose_gradients_the_script_gives() {
    let found = supplied(|p| {
        p.batch();
        p.backward(true);
        p.zero_grad();
        p.give();
        p.step();
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn steps_that_train_nothing() {
    assert!(supplied(Program::step).is_empty());
}

#[test]
fn a_step_is_taken_twice() {
    let twice = |p: &mut Program| {
        p.batch();
        p.zero_grad();
        p.backward(true);
        p.step();
        p.step();
    };
    assert_eq!(anew(twice), ["backward-missing"]);
    let with_other_gradients = |p: &mut Program| {
        p.batch();
        p.zero_grad();
        p.backward(true);
        p.step();
        p.give();
        p.step();
    };
    assert!(anew(with_other_gradients).is_empty());
}

/// Two batches for a step. `clears`: the gradients of the first are thrown away; `by_hand`: they were kept.
fn accumulates(p: &mut Program, clears: bool, by_hand: bool, clips: usize) {
    for number in 0..2 {
        p.batch();
        if clears || number == 0 {
            p.zero_grad();
        }
        p.backward(true);
    }
    if by_hand {
        p.give();
    }
    (0..clips).for_each(|_| p.clip());
    p.step();
}

#[test]
fn gradients_of_a_batch_are_thrown_away() {
    assert_eq!(all_used(|p| accumulates(p, true, false, 0)), ["gradients-thrown-away"]);
    assert_eq!(all_used(|p| accumulates(p, true, false, 1)), ["gradients-thrown-away"]);
}

#[test]
fn gradients_of_all_batches_are_used() {
    assert!(all_used(|p| accumulates(p, false, false, 0)).is_empty());
    // They were added up elsewhere, clipped one by one or not.
    assert!(all_used(|p| accumulates(p, true, true, 0)).is_empty());
    assert!(all_used(|p| accumulates(p, true, true, 2)).is_empty());
}

#[test]
fn a_first_backward_is_for_something_else() {
    // Of one batch: its input is changed by it.
    let adversarial = |p: &mut Program| {
        p.batch();
        p.zero_grad();
        p.backward(true);
        p.zero_grad();
        p.backward(true);
        p.step();
    };
    assert!(all_used(adversarial).is_empty());
}
