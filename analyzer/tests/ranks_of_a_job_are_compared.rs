//! The ranks of a job are compared where they have come equally far: replicas stay the same, and data differ.
mod support;

use support::torch::{Model, Torch};
use support::{Value, alarms_of_job, learn_jobs, library_of};
use traincheck_analyzer::relation::{consistent, distinct};
use traincheck_analyzer::source::MemoryTrace;

const NAMES: &[&str] = &["hidden.weight", "head.weight", "norm._mean"];

/// A rank that trains like every other with this seed, but for what is done before each step.
fn rank(seed: u64, iterations: u32, before_step: impl Fn(&mut Torch, Model, u32)) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer("AdamW", &[model]);
    for iteration in 1..=iterations {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        before_step(&mut torch, model, iteration);
        torch.step(optimizer);
    }
    torch.finish()
}

fn nothing(_: &mut Torch, _: Model, _: u32) {}

fn good(seed: u64, ranks: usize) -> Vec<MemoryTrace> {
    (0..ranks).map(|_| rank(seed, 10, nothing)).collect()
}

/// What is found in a job of which some ranks are others.
fn found(references: usize, job: &[MemoryTrace]) -> Vec<String> {
    alarms_of_job(&learn_jobs(&[good(1, references), good(2, references)]), job)
}

/// Something writes to the parameters of this rank in one iteration.
fn hit(seed: u64, iterations: u32, when: u32) -> MemoryTrace {
    rank(seed, iterations, move |torch, model, iteration| {
        if iteration == when {
            torch.overwrite(model);
        }
    })
}

#[test]
fn ranks_that_train_alike_are_clean_however_many_there_are() {
    assert!(found(2, &good(3, 2)).is_empty());
    assert!(found(2, &good(3, 4)).is_empty());
    assert!(found(4, &good(3, 2)).is_empty());
}

#[test]
fn a_rank_that_departs_from_the_others_is_named() {
    let mut job = good(3, 4);
    job[2] = hit(3, 10, 6);
    assert_eq!(found(2, &job), ["replicas-drift-apart [2] of 4 since 6"]);
    // Of two nobody can say which.
    let two = [rank(3, 10, nothing), hit(3, 10, 6)];
    assert_eq!(found(2, &two), ["replicas-drift-apart [] of 2 since 6"]);
}

#[test]
fn ranks_that_never_were_the_same_are_said_to_be_so() {
    let job = [rank(3, 10, nothing), rank(4, 10, nothing)];
    assert_eq!(found(2, &job), ["replicas-begin-apart [] of 2 since 1"]);
}

#[test]
fn what_is_divided_among_ranks_in_the_references_is_divided_in_a_run() {
    let shards = |seed: u64| vec![rank(seed, 10, nothing), rank(seed + 10, 10, nothing)];
    let learned = learn_jobs(&[shards(1), shards(2)]);
    assert!(alarms_of_job(&learned, &shards(3)).is_empty());
    assert!(alarms_of_job(&learned, &good(3, 2)).is_empty());
}

/// Each rank steps one of two models and is sent the other before the next step; from iteration `until` on, some ranks no longer are.
fn shares(seed: u64, ranks: u64, until: u32, lonely: &[u64]) -> Vec<MemoryTrace> {
    let of = |number: u64| {
        let mut torch = Torch::new(seed);
        let models = [torch.model("Net", &["weight"]), torch.model("Head", &["bias"])];
        let optimizer = torch.optimizer("AdamW", &[models[(number % 2) as usize]]);
        for iteration in 1..=12 {
            if iteration < until || !lonely.contains(&number) {
                models.iter().for_each(|model| torch.give(*model, u64::from(iteration) << 32 | seed << 16));
            }
            models.iter().for_each(|model| torch.forward(*model, 10));
            torch.backward(&models);
            torch.step(optimizer);
        }
        torch.finish()
    };
    (0..ranks).map(of).collect()
}

/// Ranks that all step, and average what they have, now and then.
fn averages(seed: u64, every: u32) -> Vec<MemoryTrace> {
    let of = |number: u64| {
        let mut torch = Torch::new(seed);
        let model = torch.model("Net", &["weight"]);
        let optimizer = torch.optimizer("AdamW", &[model]);
        for iteration in 1..=12_u32 {
            if iteration.is_multiple_of(every) {
                torch.give(model, u64::from(iteration) << 32 | seed << 16);
            }
            torch.forward(model, 10);
            torch.backward(&[model]);
            (0..number).for_each(|_| torch.give_gradients(model));
            torch.step(optimizer);
        }
        torch.finish()
    };
    vec![of(0), of(1)]
}

#[test]
fn parameters_that_are_no_longer_sent_to_the_others_behind_a_step_are_found() {
    let clean = |seed, ranks| shares(seed, ranks, u32::MAX, &[]);
    let learned = learn_jobs(&[clean(1, 2), clean(2, 2)]);
    assert!(alarms_of_job(&learned, &clean(3, 2)).is_empty());
    assert!(alarms_of_job(&learned, &clean(3, 4)).is_empty());
    assert_eq!(alarms_of_job(&learned, &shares(3, 2, 7, &[1])), ["parameters-not-sent [] of 2 since 7"]);
    assert_eq!(alarms_of_job(&learned, &shares(3, 4, 7, &[2])), ["parameters-not-sent [2] of 4 since 7"]);
}

#[test]
fn ranks_that_all_step_may_average_less_often_than_in_the_references() {
    let learned = learn_jobs(&[averages(1, 1), averages(2, 1)]);
    assert_eq!(alarms_of_job(&learned, &averages(3, 1)), [""; 0]);
    assert_eq!(alarms_of_job(&learned, &averages(3, 3)), [""; 0]);
}

#[test]
fn ranks_with_learning_rates_of_their_own_are_found() {
    let other_rate = {
        let mut torch = Torch::new(3);
        let model = torch.model("Net", NAMES);
        let optimizer = torch.optimizer("AdamW", &[model]);
        for iteration in 1..=10 {
            if iteration == 5 {
                torch.set_lr(optimizer, 0.05);
            }
            torch.zero_grad(optimizer);
            torch.forward(model, 10);
            torch.backward(&[model]);
            torch.step(optimizer);
        }
        torch.finish()
    };
    let job = [rank(3, 10, nothing), rank(3, 10, nothing), other_rate];
    assert_eq!(found(2, &job), ["hyperparameters-differ-between-ranks [2] of 3 since 5"]);
}

#[test]
fn a_rank_that_ends_early_or_leaves_a_step_out_is_compared_as_far_as_it_goes() {
    assert!(found(2, &[rank(3, 10, nothing), rank(3, 6, nothing)]).is_empty());
    assert_eq!(
        found(2, &[rank(3, 10, nothing), hit(3, 6, 5)]),
        ["replicas-drift-apart [] of 2 since 5"],
        "what comes before the end of the shorter one counts"
    );
}

mod without_references {
    use super::*;

    fn library() -> traincheck_analyzer::invariants::Invariants {
        use consistent::claim::{Claim, Outcome, Subject};
        let claim = |subject| Claim { subject, outcome: Outcome::SameOnAllRanks };
        library_of([claim(Subject::SameGradient), claim(Subject::SameBefore)])
    }

    #[test]
    fn what_steps_made_the_same_is_to_stay_so() {
        let job = [rank(3, 10, nothing), hit(3, 10, 6), rank(3, 10, nothing)];
        assert_eq!(alarms_of_job(&library(), &job), ["replicas-drift-apart [1] of 3 since 6"]);
        assert!(alarms_of_job(&library(), &good(3, 3)).is_empty());
    }

    #[test]
    fn ranks_that_never_were_the_same_may_train_what_they_like() {
        let job = [rank(3, 10, nothing), rank(4, 10, nothing)];
        assert!(alarms_of_job(&library(), &job).is_empty());
    }

    /// Local SGD: after a few common steps each rank trains on its own, and parameters are averaged every so often.
    #[test]
    fn ranks_that_average_now_and_then_are_apart_in_between() {
        let local = |number: u64| {
            rank(3, 30, move |torch, model, iteration| match iteration {
                ..5 => {}
                _ if iteration % 4 == 0 => torch.give(model, u64::from(iteration) << 32),
                _ => torch.give(model, (u64::from(iteration) << 32) + 1000 * (number + 1)),
            })
        };
        let job = [local(0), local(1)];
        let only_before = library_of([consistent::claim::Claim {
            subject: consistent::claim::Subject::SameBefore,
            outcome: consistent::claim::Outcome::SameOnAllRanks,
        }]);
        assert!(alarms_of_job(&only_before, &job).is_empty());
        let seldom = |number: u64| {
            rank(3, 280, move |torch, model, iteration| match iteration {
                ..5 => {}
                _ if iteration % 100 == 0 => torch.give(model, u64::from(iteration) << 32),
                _ => torch.give(model, (u64::from(iteration) << 32) + 1000 * (number + 1)),
            })
        };
        assert!(alarms_of_job(&only_before, &[seldom(0), seldom(1)]).is_empty());
        let mut never_again = job.to_vec();
        never_again[1] = rank(3, 30, |torch, model, iteration| {
            if iteration == 5 {
                torch.give(model, 77);
            }
        });
        assert!(!alarms_of_job(&only_before, &never_again).is_empty());
    }
}

mod data {
    use super::*;
    use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind};

    /// A rank that is given these batches.
    fn given(seed: u64, iterations: u32, batch: impl Fn(u32) -> u64) -> MemoryTrace {
        let mut torch = Torch::new(seed);
        let model = torch.model("Net", NAMES);
        let optimizer = torch.optimizer("AdamW", &[model]);
        let loader = torch.record.object("DataLoader", ObjectKind::Loader, "torch.utils.data.DataLoader");
        let images = torch.record.variable("DataLoader.batch[0]", VariableKind::Batch, loader);
        for iteration in 1..=iterations {
            torch.record.enter("torch.utils.data.dataloader.__next__", Role::LoaderNext, loader, 0);
            torch.record.look(false);
            torch.record.state(images, Attribute::Data, Value::Tensor(batch(iteration)));
            torch.record.exit(false);
            torch.zero_grad(optimizer);
            torch.forward(model, 10);
            torch.backward(&[model]);
            torch.step(optimizer);
        }
        torch.finish()
    }

    fn job(seed: u64, same_from: u32) -> Vec<MemoryTrace> {
        let of = |rank: u64| {
            given(seed, 12, move |iteration| {
                let own = if iteration >= same_from { 0 } else { rank };
                (u64::from(iteration) << 8) + own + 1
            })
        };
        vec![of(0), of(1)]
    }

    #[test]
    fn ranks_that_are_given_the_same_batches_are_found() {
        let learned = learn_jobs(&[job(1, u32::MAX), job(2, u32::MAX)]);
        assert!(alarms_of_job(&learned, &job(3, u32::MAX)).is_empty());
        assert_eq!(alarms_of_job(&learned, &job(3, 1)), ["same-data-on-ranks [] of 2 since 1"]);
        assert_eq!(alarms_of_job(&learned, &job(3, 5)), ["same-data-on-ranks [] of 2 since 5"]);
    }

    #[test]
    fn replicas_have_no_use_for_one_batch_twice_in_any_program() {
        let library = library_of([distinct::claim::Claim {
            subject: distinct::claim::Subject::BatchesOfReplicas,
            outcome: distinct::claim::Outcome::RanksDiffer,
        }]);
        assert_eq!(alarms_of_job(&library, &job(3, 1)), ["same-data-on-ranks [] of 2 since 1"]);
        assert!(alarms_of_job(&library, &job(3, u32::MAX)).is_empty());
        // Ranks that divide a model among them work on one batch together.
        let divided: Vec<MemoryTrace> =
            (0..2).map(|rank| given(rank + 3, 12, |at| u64::from(at) + 1)).collect();
        assert!(alarms_of_job(&library, &divided).is_empty());
    }
}
