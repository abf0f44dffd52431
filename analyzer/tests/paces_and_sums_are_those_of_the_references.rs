//! How often schedulers step, optimizers step and losses are used: found where it is another than in the references,
//! and not where only settings differ.
mod support;

use support::torch::{Loader, Model, Optimizer, Scheduler, Torch};
use support::{alarms, learn};
use traincheck_analyzer::invariants::{Invariants, Level};
use traincheck_analyzer::relation::claim::{Claim, Outcome, RelationName};
use traincheck_analyzer::relation::count::times::Times;
use traincheck_analyzer::relation::{count, schedule};
use traincheck_analyzer::source::MemoryTrace;

const PARAMETERS: &[&str] = &["body.weight", "head.weight"];

/// When a scheduler steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    Batch,
    Epoch,
    /// In the first so many epochs only.
    Until(u32),
    /// Once in so many batches, whatever the epoch.
    Every(u32),
}

#[derive(Clone, Copy, Debug)]
struct Run {
    seed: u64,
    model: &'static str,
    scheduler: &'static str,
    pace: Pace,
    epochs: u32,
    batches: u32,
    accumulate: u32,
    /// What autograd evaluates first; nothing: it is not recorded.
    nodes: &'static [&'static str],
    /// A gradient scaler multiplies the loss.
    scaler: bool,
    /// The step of this number (from 1) and those that follow are left out.
    steps: u32,
    /// From this step on there is one half as often.
    slower: u32,
    /// Backward runs twice from one loss in these iterations.
    twice: &'static [u32],
    /// In this epoch the optimizer is made anew, and a scheduler with it or not.
    renewed: Option<(u32, bool)>,
}

const RUN: Run = Run {
    seed: 1,
    model: "Net",
    scheduler: "StepLR",
    pace: Pace::Epoch,
    epochs: 5,
    batches: 8,
    accumulate: 1,
    nodes: &[],
    scaler: false,
    steps: u32::MAX,
    slower: u32::MAX,
    twice: &[],
    renewed: None,
};

impl Run {
    fn trace(&self) -> MemoryTrace {
        let mut torch = Torch::new(self.seed);
        let t = &mut torch;
        let model = t.model(self.model, PARAMETERS);
        let mut optimizer = t.optimizer("SGD", &[model]);
        let mut scheduler = t.scheduler(self.scheduler, optimizer);
        let loader = t.loader();
        let (mut micro, mut steps, mut batch) = (0, 0, 0);
        for epoch in 0..self.epochs {
            if let Some((when, both)) = self.renewed
                && when == epoch
            {
                optimizer = t.optimizer("SGD", &[model]);
                if both {
                    scheduler = t.scheduler(self.scheduler, optimizer);
                }
            }
            t.each(loader, 10, self.batches, |t, index| {
                batch += 1;
                let last = index + 1 == self.batches;
                let due = if steps + 1 >= self.slower { 2 * self.accumulate } else { self.accumulate };
                let step = micro + 1 >= due || last && self.slower == u32::MAX;
                self.batch(t, model, optimizer, batch, step && steps + 1 < self.steps);
                micro = if step { 0 } else { micro + 1 };
                steps += u32::from(step);
                let schedule = match self.pace {
                    Pace::Batch => step,
                    Pace::Every(batches) => batch % batches == 0,
                    Pace::Epoch | Pace::Until(_) => false,
                };
                if schedule {
                    t.record.at(16);
                    t.schedule(scheduler, optimizer, 0.1 / f64::from(batch + 1));
                }
                true
            });
            if self.pace == Pace::Epoch || matches!(self.pace, Pace::Until(end) if epoch < end) {
                t.record.at(17);
                t.schedule(scheduler, optimizer, 0.1 / f64::from(epoch + 2));
            }
        }
        torch.finish()
    }

    fn batch(&self, t: &mut Torch, model: Model, optimizer: Optimizer, batch: u32, step: bool) {
        t.forward(model, 12);
        t.record.at(13);
        if self.scaler {
            t.scale();
        }
        let loss = 1.0 / f64::from(batch);
        if self.twice.contains(&batch) {
            t.backward_from(loss, &[model]);
            t.record.at(14);
        }
        if self.nodes.is_empty() {
            t.backward_from(loss, &[model]);
        } else {
            t.backward_through(self.nodes, &[model]);
        }
        if step {
            t.record.at(15);
            t.step(optimizer);
            t.zero_grad(optimizer);
        }
    }
}

/// What two runs say that differ in their seeds, as far as it is about counts and schedules.
fn learned_from(traces: &[MemoryTrace]) -> Invariants {
    let mut invariants = learn(traces);
    invariants
        .invariants
        .retain(|i| matches!(i.claim.relation(), RelationName::Count | RelationName::Schedule));
    invariants
}

fn learned(run: Run) -> Invariants {
    learned_from(&[1, 2].map(|seed| Run { seed, ..run }.trace()))
}

fn found(references: Run, run: Run) -> Vec<String> {
    alarms(&learned(references), &Run { seed: 3, ..run }.trace())
}

/// The level of what is claimed, if it is.
fn level(invariants: &Invariants, is: impl Fn(&Claim) -> bool) -> Option<Level> {
    invariants
        .invariants
        .iter()
        .filter(|invariant| is(&invariant.claim))
        .map(|invariant| invariant.level)
        .min()
}

fn happens(times: Times) -> impl Fn(&Claim) -> bool {
    move |claim| claim.outcome() == count::claim::Outcome::Happens { times }.into()
}

#[test]
fn a_scheduler_that_steps_with_every_batch_instead_of_every_pass_is_found() {
    assert_eq!(found(RUN, Run { pace: Pace::Batch, ..RUN }), ["scheduler-stepped-too-often"]);
    let twice_a_pass = Run { pace: Pace::Every(4), ..RUN };
    assert_eq!(found(RUN, twice_a_pass), ["scheduler-stepped-too-often"]);
}

#[test]
fn one_that_steps_once_in_a_pass_instead_of_with_every_batch_is_found() {
    let per_batch = Run { pace: Pace::Batch, ..RUN };
    assert_eq!(found(per_batch, RUN), ["scheduler-stepped-too-rarely"]);
}

#[test]
fn the_length_of_a_run_and_of_its_passes_makes_no_difference() {
    for pace in [Pace::Batch, Pace::Epoch] {
        let references = Run { pace, ..RUN };
        for (epochs, batches) in [(1, 8), (9, 3), (3, 40), (7, 1), (2, 2)] {
            let run = Run { epochs, batches, ..references };
            assert_eq!(found(references, run), [""; 0], "{run:?}");
        }
        assert_eq!(found(references, Run { accumulate: 3, ..references }), [""; 0], "{pace:?}");
    }
}

#[test]
fn a_schedule_that_has_come_to_its_end_is_no_error() {
    assert_eq!(found(RUN, Run { pace: Pace::Until(2), epochs: 6, ..RUN }), [""; 0]);
}

#[test]
fn a_pass_of_one_step_tells_no_pace() {
    let one_step = Run { batches: 1, ..RUN };
    for pace in [Pace::Batch, Pace::Epoch] {
        assert_eq!(found(one_step, Run { pace, ..RUN }), [""; 0], "{pace:?}");
    }
}

#[test]
fn what_follows_the_batches_is_not_taken_for_a_pace_of_passes() {
    // Once in ten batches is at most once in these passes, but not in every one.
    let references = Run { pace: Pace::Every(10), ..RUN };
    let invariants = learned(references);
    assert_eq!(
        level(&invariants, |claim| happens(Times::Once)(claim) && claim.text().contains("every pass")),
        None
    );
    assert_eq!(found(references, Run { batches: 60, ..references }), [""; 0]);
}

#[test]
fn another_model_and_a_plateau_have_paces_of_their_own() {
    let other = Run { model: "Other", pace: Pace::Batch, ..RUN };
    let invariants = learned(RUN);
    assert_eq!(alarms(&invariants, &other.trace()), [""; 0]);
    let plateau = Run { scheduler: "ReduceLROnPlateau", ..RUN };
    assert_eq!(found(plateau, Run { pace: Pace::Every(4), ..plateau }), [""; 0]);
}

#[test]
fn schedulers_of_two_optimizers_do_not_disturb_each_other() {
    let trace = |seed, both_per_batch: bool| {
        let mut torch = Torch::new(seed);
        let t = &mut torch;
        let parts: Vec<(Model, Optimizer, Scheduler)> = ["Encoder", "Decoder"]
            .map(|class| {
                let model = t.model(class, PARAMETERS);
                let optimizer = t.optimizer("Adam", &[model]);
                (model, optimizer, t.scheduler("StepLR", optimizer))
            })
            .into();
        let loader: Loader = t.loader();
        for epoch in 0..5 {
            t.each(loader, 10, 6, |t, _| {
                for (model, ..) in &parts {
                    t.forward(*model, if *model == parts[0].0 { 11 } else { 12 });
                }
                t.record.at(13);
                t.backward(&[parts[0].0, parts[1].0]);
                for (_, optimizer, scheduler) in &parts {
                    t.record.at(14);
                    t.step(*optimizer);
                    t.zero_grad(*optimizer);
                    if both_per_batch {
                        t.record.at(15);
                        t.schedule(*scheduler, *optimizer, 0.1);
                    }
                }
                true
            });
            for (_, optimizer, scheduler) in parts.iter().filter(|_| !both_per_batch) {
                t.record.at(16);
                t.schedule(*scheduler, *optimizer, 0.1 / f64::from(epoch + 1));
            }
        }
        torch.finish()
    };
    let invariants = learned_from(&[trace(1, false), trace(2, false)]);
    assert_eq!(alarms(&invariants, &trace(3, false)), [""; 0]);
    assert_eq!(alarms(&invariants, &trace(4, true)), ["scheduler-stepped-too-often"]);
}

#[test]
fn a_scheduler_of_an_optimizer_that_was_replaced_is_found() {
    let renewed = Run { renewed: Some((2, true)), ..RUN };
    assert_eq!(found(renewed, renewed), [""; 0]);
    assert_eq!(found(renewed, RUN), [""; 0]);
    let alone = Run { renewed: Some((2, false)), ..RUN };
    assert!(found(renewed, alone).contains(&"scheduler-of-another-optimizer".into()));
}

#[test]
fn a_scheduler_of_an_optimizer_that_has_never_stepped_is_found() {
    let before_training = Run { renewed: Some((0, false)), ..RUN };
    let found = found(RUN, before_training);
    assert!(found.contains(&"scheduler-of-an-idle-optimizer".into()), "{found:?}");
    assert!(!found.contains(&"scheduler-of-another-optimizer".into()), "{found:?}");
}

#[test]
fn a_loss_that_is_not_divided_before_it_is_accumulated_is_found() {
    let divides = Run { accumulate: 4, nodes: &["DivBackward0", "NllLossBackward0"], ..RUN };
    let bare = Run { nodes: &["NllLossBackward0", "LogSoftmaxBackward0"], ..divides };
    assert_eq!(found(divides, divides), [""; 0]);
    assert_eq!(found(divides, bare), ["accumulation-without-scaling"]);
    // The other way to write it, and with a cast in front.
    let multiplies = Run { nodes: &["ToCopyBackward0", "MulBackward0", "NllLossBackward0"], ..divides };
    assert_eq!(found(divides, multiplies), [""; 0]);
    assert_eq!(found(multiplies, bare), ["accumulation-without-scaling"]);
    // Nothing is accumulated: nothing is to be divided.
    assert_eq!(found(divides, Run { accumulate: 1, ..bare }), [""; 0]);
    // Another loss: a sum need not be divided.
    assert_eq!(found(divides, Run { nodes: &["SumBackward0"], ..divides }), [""; 0]);
    assert_eq!(found(bare, bare), [""; 0]);
    assert_eq!(found(bare, divides), [""; 0]);
}

#[test]
fn the_factor_of_a_gradient_scaler_divides_nothing() {
    let divides = Run {
        accumulate: 4,
        scaler: true,
        nodes: &["MulBackward0", "DivBackward0", "MseLossBackward0"],
        ..RUN
    };
    let bare = Run { nodes: &["MulBackward0", "MseLossBackward0"], ..divides };
    assert_eq!(found(divides, divides), [""; 0]);
    assert_eq!(found(divides, bare), ["accumulation-without-scaling"]);
}

#[test]
fn a_step_that_is_left_out_while_gradients_are_accumulated_is_found() {
    let references = Run { accumulate: 3, batches: 8, ..RUN };
    // In passes that end with a remainder, and in those that do not; one step only; after several.
    for accumulate in [2, 3, 4] {
        for steps in [2, 5] {
            let run = Run { accumulate, steps, ..references };
            assert_eq!(found(references, run), ["step-missing"], "{run:?}");
        }
        assert_eq!(found(references, Run { accumulate, ..references }), [""; 0]);
    }
    // Half as many steps from the fourth on.
    let slower = Run { batches: 48, slower: 4, ..references };
    assert_eq!(found(references, slower), ["step-missing"]);
}

#[test]
fn a_loss_that_is_used_twice_is_found_where_it_is_no_chance() {
    assert_eq!(found(RUN, Run { twice: &[3], ..RUN }), [""; 0]);
    let run = Run { twice: &[3, 4, 5], ..RUN };
    assert_eq!(found(RUN, run), ["backward-twice"]);
    let always = Run { twice: &[2, 3, 5, 6], ..RUN };
    assert_eq!(found(always, always), [""; 0], "learned as it is");
}

#[test]
fn counts_are_notices_and_say_what_explains_them() {
    let invariants = learned(Run { accumulate: 4, ..RUN });
    assert_eq!(
        level(&invariants, |claim| claim.text()
            == "in every training iteration, `Tensor.backward` is called once"),
        Some(Level::Notice)
    );
    // Four iterations for each step: as often as there are iterations, not four times.
    let per_step =
        |claim: &Claim| claim.text().contains("from one step of an optimizer to its next, `Tensor.backward`");
    assert_eq!(
        level(&invariants, |claim| per_step(claim) && happens(Times::Iterations)(claim)),
        Some(Level::Notice)
    );
    assert_eq!(level(&invariants, |claim| per_step(claim) && happens(Times::Number(4))(claim)), None);
    let alarms = invariants.invariants.iter().filter(|i| i.level == Level::Alarm);
    let numbers = |claim: &Claim| {
        matches!(
            claim.outcome(),
            Outcome::Count(count::claim::Outcome::Happens { times: Times::Number(_) })
                | Outcome::Schedule(schedule::claim::Outcome::Thousandths { .. })
        )
    };
    assert_eq!(alarms.filter(|i| numbers(&i.claim)).count(), 0);
}

#[test]
fn what_becomes_of_a_learning_rate_is_a_notice() {
    let invariants = learned(RUN);
    let of = |text: &str| level(&invariants, |claim| claim.text() == text);
    assert_eq!(
        of("where `SGD.param_groups[0].lr` changes, a step of a scheduler does it"),
        Some(Level::Notice)
    );
    assert_eq!(
        of("within a pass over the training data, `SGD.param_groups[0].lr` does not change"),
        Some(Level::Notice)
    );
    assert_eq!(
        of("after 2 steps of schedulers, `SGD.param_groups[0].lr` is 0.333 times what it was at first"),
        Some(Level::Notice)
    );
    let per_batch = learned(Run { pace: Pace::Batch, ..RUN });
    assert_eq!(level(&per_batch, |claim| claim.outcome() == schedule::claim::Outcome::Stays.into()), None);
}
