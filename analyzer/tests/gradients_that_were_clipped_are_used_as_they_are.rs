//! Between clipping and the step that uses them gradients are not multiplied by anything; what else happens to them may be
//! meant.
mod support;

use support::{Recorder, Value, alarms, library_of};
use traincheck_analyzer::relation::cover::claim::{Claim, Outcome, Subject};
use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind};

/// The gradients of two parameters, each with this norm, where they are clipped and where the step begins. `again`: another
/// backward comes between.
fn found(clipped: [u64; 2], used: [u64; 2], again: bool) -> Vec<String> {
    let mut record = Recorder::default();
    let model = record.object("Net", ObjectKind::Module, "__main__.Net");
    let optimizer = record.object("SGD", ObjectKind::Optimizer, "torch.optim.SGD");
    let parameters =
        ["Net.weight", "Net.bias"].map(|name| record.variable(name, VariableKind::Parameter, model));
    let tell = |record: &mut Recorder, at_entry, norms: [u64; 2]| {
        record.look(at_entry);
        for (parameter, norm) in parameters.iter().zip(norms) {
            record.state(*parameter, Attribute::Grad, Value::Tensor(norm));
        }
    };
    for iteration in 1..=5 {
        record.iteration = iteration;
        record.step = iteration;
        record.call("torch.Tensor.backward", Role::Backward, 0);
        record.enter("torch.nn.utils.clip_grad.clip_grad_norm_", Role::ClipGrad, 0, 0);
        tell(&mut record, false, clipped);
        record.exit(false);
        if again {
            record.call("torch.Tensor.backward", Role::Backward, 0);
        }
        record.enter("torch.optim.SGD.step", Role::OptimizerStep, optimizer, 0);
        tell(&mut record, true, used);
        record.exit(false);
    }
    let claim = Claim { subject: Subject::Clipped, outcome: Outcome::Kept };
    alarms(&library_of([claim]), &record.finish(97, None))
}

#[test]
fn they_are_divided_by_a_loss_scale() {
    assert_eq!(found([400, 800], [100, 200], false), ["clipping-before-unscaling"]);
}

#[test]
fn they_are_left_alone() {
    assert!(found([400, 800], [400, 800], false).is_empty());
}

#[test]
fn noise_is_added() {
    assert!(found([400, 800], [410, 700], false).is_empty());
}

#[test]
fn gradients_of_another_batch_are_added() {
    assert!(found([400, 800], [200, 400], true).is_empty());
}
