//! What people write in their training scripts on purpose breaks nothing that the library says of any program; the errors
//! beside it do.
mod support;

use support::torch::{Model, Optimizer, Scheduler, Torch};
use support::{Value, alarms, alarms_of_job, library_of, with_library};
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::relation::lifecycle::claim as lifecycle;
use traincheck_analyzer::source::MemoryTrace;

fn found(trace: &MemoryTrace) -> Vec<String> {
    alarms(&with_library(Invariants::default(), None), trace)
}

#[track_caller]
fn assert_clean(trace: &MemoryTrace) {
    let found = found(trace);
    assert!(found.is_empty(), "{found:?}");
}

fn net(torch: &mut Torch) -> Model {
    torch.model("Net", &["body.weight", "head.weight"])
}

fn batch(torch: &mut Torch, model: Model, optimizer: Optimizer) {
    torch.zero_grad(optimizer);
    torch.forward(model, 10);
    torch.backward(&[model]);
    torch.step(optimizer);
}

/// Passes over the data, in which the schedulers that are given beside each step at its end.
fn passes(torch: &mut Torch, model: Model, optimizer: Optimizer, ends: &[&[Scheduler]]) {
    let loader = torch.loader();
    for schedulers in ends {
        torch.each(loader, 5, 20, |torch, _| {
            batch(torch, model, optimizer);
            true
        });
        schedulers.iter().for_each(|scheduler| torch.scheduler_step(*scheduler));
    }
}

/// A rank of a job that something else writes to in iteration `hit`, and that goes on with gradients of its own.
fn rank(hit: u32) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("SGD", &[model]);
    for iteration in 1..=10 {
        batch(&mut torch, model, optimizer);
        if iteration == hit {
            torch.overwrite(model);
        }
    }
    torch.finish()
}

#[test]
fn ranks_that_train_replicas_and_one_that_departs() {
    let library = with_library(Invariants::default(), None);
    assert_eq!(alarms_of_job(&library, &[rank(0), rank(0), rank(0)]), [""; 0]);
    let found = alarms_of_job(&library, &[rank(0), rank(5), rank(0)]);
    assert_eq!(found, ["gradients-not-reduced [1] of 3 since 6"]);
}

#[test]
fn schedulers_that_wait_for_their_turn() {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("SGD", &[model]);
    let first = torch.scheduler("CosineAnnealingLR", optimizer);
    let later = torch.scheduler("SWALR", optimizer);
    passes(&mut torch, model, optimizer, &[&[first], &[first], &[later], &[later]]);
    assert_clean(&torch.finish());
}

#[test]
fn a_scheduler_that_steps_from_a_later_pass_on() {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("SGD", &[model]);
    let scheduler = torch.scheduler("ExponentialLR", optimizer);
    passes(&mut torch, model, optimizer, &[&[], &[], &[], &[scheduler]]);
    assert_clean(&torch.finish());
}

/// One training after the other, each with a model, optimizer and scheduler of its own; whether its scheduler steps.
fn search(trials: &[bool]) -> MemoryTrace {
    let mut torch = Torch::new(1);
    for &steps in trials {
        let model = net(&mut torch);
        let optimizer = torch.optimizer("SGD", &[model]);
        let scheduler = torch.scheduler("StepLR", optimizer);
        for _ in 0..30 {
            batch(&mut torch, model, optimizer);
        }
        if steps {
            torch.scheduler_step(scheduler);
        }
        torch.drop_model(model);
    }
    torch.finish()
}

#[test]
fn a_trial_of_a_search_that_is_given_up() {
    assert_clean(&search(&[true, false, true]));
    assert_clean(&search(&[true, true, false]));
    assert_eq!(found(&search(&[false, false, false])), ["scheduler-not-stepped"]);
}

#[test]
fn one_of_two_optimizers_whose_scheduler_is_forgotten() {
    let mut torch = Torch::new(1);
    let (one, other) = (net(&mut torch), net(&mut torch));
    let optimizers = [torch.optimizer("Adam", &[one]), torch.optimizer("Adam", &[other])];
    let schedulers = optimizers.map(|optimizer| torch.scheduler("StepLR", optimizer));
    for iteration in 0..40 {
        batch(&mut torch, one, optimizers[0]);
        batch(&mut torch, other, optimizers[1]);
        if iteration % 10 == 9 {
            torch.scheduler_step(schedulers[0]);
        }
    }
    assert_eq!(found(&torch.finish()), ["scheduler-not-stepped"]);
}

/// A run that breaks off its first pass over the data after so many batches, before a scheduler has stepped.
fn first_pass(batches: u32) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("SGD", &[model]);
    torch.scheduler("StepLR", optimizer);
    let loader = torch.loader();
    torch.each(loader, 5, batches + 1, |torch, number| {
        batch(torch, model, optimizer);
        number < batches
    });
    torch.finish()
}

#[test]
fn a_run_that_ends_before_a_scheduler_is_due() {
    assert_clean(&first_pass(50));
    assert_eq!(found(&first_pass(300)), ["scheduler-not-stepped"]);
}

#[test]
fn a_scheduler_that_never_steps() {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("SGD", &[model]);
    torch.scheduler("StepLR", optimizer);
    passes(&mut torch, model, optimizer, &[&[]]);
    assert_eq!(found(&torch.finish()), ["scheduler-not-stepped"]);
}

/// An optimizer over a model that does not run, but a copy of it. `given`: the script gives the model the gradients.
fn over_a_model_whose_copies_run(given: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let outer = torch.optimizer("Adam", &[model]);
    let gone = torch.orphan(model, outer);
    for _ in 0..12 {
        let copy = net(&mut torch);
        let inner = torch.optimizer("SGD", &[copy]);
        for _ in 0..3 {
            batch(&mut torch, copy, inner);
        }
        if given {
            torch.give_gradients(gone);
        }
        torch.step(outer);
        torch.zero_grad(outer);
        torch.drop_model(copy);
    }
    torch.finish()
}

#[test]
fn a_model_that_is_trained_by_its_copies() {
    assert_clean(&over_a_model_whose_copies_run(true));
    assert_eq!(found(&over_a_model_whose_copies_run(false)), ["stale-optimizer"]);
}

/// An optimizer over a body and a head, which is another one than the model has, or has its turn later.
fn over_a_head_that_does_not_run(replaced: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let (body, head) = (torch.model("Body", &["weight"]), torch.model("Head", &["weight"]));
    let optimizer = torch.optimizer("Adam", &[body, head]);
    let other = torch.model("Head", &["weight"]);
    for iteration in 0..30 {
        torch.zero_grad(optimizer);
        torch.forward(body, 10);
        if replaced {
            torch.forward(other, 11);
            torch.backward(&[body, other]);
        } else if iteration < 20 {
            torch.backward(&[body]);
        } else {
            torch.forward(head, 11);
            torch.backward(&[body, head]);
        }
        torch.step(optimizer);
    }
    torch.finish()
}

#[test]
fn a_part_that_has_its_turn_later() {
    assert_clean(&over_a_head_that_does_not_run(false));
    let found = found(&over_a_head_that_does_not_run(true));
    assert!(found.contains(&"stale-optimizer".to_owned()), "{found:?}");
}

/// An image is trained by what a model makes of it, which gets gradients itself.
fn trains_an_image(evaluates: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let (model, image) = (net(&mut torch), torch.model("Image", &["pixels"]));
    let optimizer = torch.optimizer("Adam", &[image]);
    let image = torch.orphan(image, optimizer);
    if evaluates {
        torch.eval(model);
    }
    for _ in 0..20 {
        torch.zero_grad(optimizer);
        torch.zero_grad_of(model);
        torch.forward(model, 10);
        torch.backward(&[model, image]);
        torch.step(optimizer);
    }
    torch.finish()
}

#[test]
fn a_model_that_a_loss_is_computed_with() {
    assert_clean(&trains_an_image(true));
    assert_eq!(found(&trains_an_image(false)), ["parameters-in-no-optimizer"]);
}

/// Two optimizers of one model: `at_once`, or the second where the first one is done.
fn two_optimizers(at_once: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let (first, second) = (torch.optimizer("Adam", &[model]), torch.optimizer("SGD", &[model]));
    for iteration in 0..20 {
        batch(&mut torch, model, first);
        if at_once {
            torch.step(second);
        } else if iteration == 19 {
            // The loop behind this one, whose first batch is told from it by no iteration.
            torch.zero_grad(second);
            torch.forward(model, 11);
            torch.backward(&[model]);
            torch.step(second);
        }
    }
    for _ in 0..20 {
        batch(&mut torch, model, second);
    }
    torch.finish()
}

#[test]
fn two_optimizers_of_one_model() {
    assert_clean(&two_optimizers(false));
    assert_eq!(found(&two_optimizers(true)), ["held-by-many"]);
}

/// A part of a model that two optimizers hold, each with a backward of its own or not.
fn two_losses(each: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let (first, second) = (torch.optimizer("Adam", &[model]), torch.optimizer_of("Adam", &[(model, "body")]));
    for _ in 0..20 {
        batch(&mut torch, model, first);
        if each {
            torch.zero_grad(second);
            torch.forward(model, 11);
            torch.backward(&[model]);
        }
        torch.step(second);
    }
    torch.finish()
}

#[test]
fn two_optimizers_of_one_part_with_a_loss_for_each() {
    assert_clean(&two_losses(true));
    assert_eq!(found(&two_losses(false)), ["held-by-many"]);
}

/// A rate of zero that is another one after so many steps, with a scheduler that steps after every so many.
fn zero_rate(until: u32, killed: bool, every: Option<u32>) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("SGD", &[model]);
    let scheduler = every.map(|every| (torch.scheduler("LambdaLR", optimizer), every));
    torch.set_lr(optimizer, 0.0);
    for iteration in 0..40 {
        if iteration == until {
            torch.set_lr(optimizer, 0.1);
        }
        batch(&mut torch, model, optimizer);
        if let Some((scheduler, every)) = scheduler
            && (iteration + 1) % every == 0
        {
            torch.scheduler_step(scheduler);
        }
    }
    if killed { torch.killed(0.5) } else { torch.finish() }
}

#[test]
fn a_rate_that_is_zero() {
    // A warm-up from zero, a step of the scheduler for each pass over the data.
    assert_clean(&zero_rate(20, false, Some(10)));
    assert_clean(&zero_rate(30, true, Some(20)));
    // One by integer division: the scheduler steps after each batch, and leaves it there.
    assert_eq!(found(&zero_rate(30, false, Some(1))), ["learning-rate-zero"]);
    assert_eq!(found(&zero_rate(90, false, Some(20))), ["learning-rate-zero"]);
    assert_eq!(found(&zero_rate(90, false, None)), ["learning-rate-zero"]);
    assert_eq!(found(&zero_rate(90, true, None)), ["learning-rate-zero"]);
}

/// That some optimizer steps in any run that is no shorter than a try.
fn some_optimizer_steps() -> Invariants {
    let claim = lifecycle::Claim {
        subject: lifecycle::Subject::Object {
            kind: lifecycle::TrackedKind::Optimizer,
            class: "*".into(),
            cadence: lifecycle::Cadence::Ever,
        },
        outcome: lifecycle::Outcome::Stepped,
    };
    library_of([claim])
}

/// So many iterations without a step, and then so many with one.
fn idle(without: u32, with: u32) -> Torch {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("SGD", &[model]);
    for iteration in 0..without + with {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        if iteration >= without {
            torch.step(optimizer);
        }
    }
    torch
}

#[test]
fn an_optimizer_that_never_steps_in_a_short_run() {
    let found = |trace| alarms(&some_optimizer_steps(), &trace);
    assert_eq!(found(idle(30, 0).finish()), ["step-missing"]);
    assert!(found(idle(12, 0).finish()).is_empty());
    assert!(found(idle(30, 2).finish()).is_empty());
    assert!(found(idle(60, 0).killed(0.5)).is_empty());
}

/// Trains on batches of one loader, and behind each step looks at the only batch of another, in evaluation mode or not.
fn validated(in_evaluation_mode: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("SGD", &[model]);
    let (training, validation) = (torch.loader(), torch.loader());
    torch.iter(training, 5);
    for iteration in 0..40 {
        torch.next(training, 5, &[Value::Tensor(1000 + iteration)], None);
        batch(&mut torch, model, optimizer);
        if in_evaluation_mode {
            torch.eval(model);
        }
        torch.iter(validation, 20);
        torch.next(validation, 20, &[Value::Tensor(7)], None);
        torch.no_grad(|torch| torch.forward(model, 21));
        torch.train(model);
    }
    torch.finish()
}

#[test]
fn a_batch_that_is_validated_on_again_and_again() {
    assert_clean(&validated(true));
    // In training mode nothing tells it from one that is trained on.
    assert_eq!(found(&validated(false)), ["same-batch-repeated"]);
}

/// Two parameters that are one tensor for so many of 40 iterations.
fn tied(until: u32) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("SGD", &[model]);
    for iteration in 0..40 {
        if iteration == until {
            torch.separate(model, "head.weight");
        } else if iteration < until {
            torch.share((model, "head.weight"), (model, "body.weight"));
        }
        batch(&mut torch, model, optimizer);
    }
    torch.finish()
}

#[test]
fn parameters_that_were_one_tensor() {
    assert_clean(&tied(0));
    assert_clean(&tied(40));
    assert_eq!(found(&tied(20)), ["tied-weights-broken"]);
}
