//! Gradients may be clipped network by network, or group by group: a step is judged by the gradients of its own optimizer, and
//! by all bounds since the backward. What is left out altogether is found.
mod support;

use support::{Passed, Recorder, Value, alarms, library_of};
use traincheck_analyzer::relation::threshold::claim::{Claim, Outcome, Subject};
use traincheck_schema::record::{Attribute, Direction, ObjectKind, Role, VariableKind};

/// Two networks with an optimizer each, of one parameter each. `clips`: which of them each call is given, by its number, with the
/// bound 1. What is not clipped has a gradient of norm 9. `kind`: of the norm.
fn found(clips: &[&[usize]], kind: f64) -> Vec<String> {
    let mut record = Recorder::default();
    let networks = ["Encoder", "Decoder"].map(|name| {
        let model = record.object(name, ObjectKind::Module, &format!("__main__.{name}"));
        let optimizer = record.object(&format!("SGD of {name}"), ObjectKind::Optimizer, "torch.optim.SGD");
        (record.variable(&format!("{name}.weight"), VariableKind::Parameter, model), optimizer)
    });
    for iteration in 1..=5 {
        record.iteration = iteration;
        record.call("torch.Tensor.backward", Role::Backward, 0);
        let mut norms = [9, 9];
        for clipped in clips {
            record.enter("torch.nn.utils.clip_grad.clip_grad_norm_", Role::ClipGrad, 0, 0);
            record.argument(Direction::Argument, "max_norm", Passed::Float(1.0));
            record.argument(Direction::Argument, "norm_type", Passed::Float(kind));
            clipped.iter().for_each(|&network| norms[network] = 1);
            record.look(false);
            for ((parameter, optimizer), norm) in networks.iter().zip(norms) {
                record.state(*parameter, Attribute::HeldBy, Value::Text(optimizer.to_string()));
                record.state(*parameter, Attribute::Grad, Value::Tensor(norm));
            }
            record.exit(false);
        }
        for (_, optimizer) in networks {
            record.call("torch.optim.SGD.step", Role::OptimizerStep, optimizer);
        }
    }
    let claim = Claim { subject: Subject::Clipped, outcome: Outcome::Within };
    alarms(&library_of([claim]), &record.finish(97, None))
}

#[test]
fn one_after_the_other() {
    assert!(found(&[&[0], &[1]], 2.0).is_empty());
    assert!(found(&[&[0, 1]], 2.0).is_empty());
}

#[test]
fn one_is_left_out() {
    assert_eq!(found(&[&[0]], 2.0), ["clipping-incomplete"]);
}

#[test]
fn a_norm_of_another_kind() {
    assert!(found(&[&[0]], f64::INFINITY).is_empty());
    assert!(found(&[&[0]], 1.0).is_empty());
}
