//! Ties of parameters and loaded weights stay; batches, what workers give, gradients and copies of models go on to differ.
//! Where they do not it is found, and where that is no error nothing is.
mod support;

use std::collections::BTreeMap;

use support::torch::{Loader, Model, Optimizer, Torch};
use support::{Value, alarms, learn, library_of, text};
use traincheck_analyzer::invariants::{Invariants, Level};
use traincheck_analyzer::relation::claim::Outcome;
use traincheck_analyzer::relation::consistent;
use traincheck_analyzer::relation::distinct::claim::Outcome::{BatchDiffers, GradientDiffers, WorkersDiffer};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind};

const NAMES: &[&str] = &["embedding.weight", "hidden.weight", "head.weight"];

/// One iteration, with a loader's batch before it or without.
fn iterate(t: &mut Torch, model: Model, optimizer: Optimizer) {
    t.record.at(31);
    t.zero_grad(optimizer);
    t.forward(model, 32);
    t.record.at(33);
    t.backward(&[model]);
    t.record.at(34);
    t.step(optimizer);
}

fn learned(script: impl Fn(u64) -> MemoryTrace) -> Invariants {
    learn(&[script(1), script(2)])
}

fn claims(invariants: &Invariants, outcome: impl Fn(&Outcome) -> bool) -> usize {
    let alarms = invariants.invariants.iter().filter(|invariant| invariant.level == Level::Alarm);
    alarms.filter(|invariant| outcome(&invariant.claim.outcome())).count()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tie {
    Kept,
    BrokenAfter(u32),
    Never,
    /// Two views of one buffer.
    Flattened,
    NoHead,
}

fn tied(seed: u64, iterations: u32, tie: Tie) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let t = &mut torch;
    let names = if tie == Tie::NoHead { &NAMES[..2] } else { NAMES };
    let model = t.model("Net", names);
    let optimizer = t.optimizer("SGD", &[model]);
    if !matches!(tie, Tie::Never | Tie::NoHead) {
        t.share((model, "head.weight"), (model, "embedding.weight"));
    }
    t.views = tie == Tie::Flattened;
    for iteration in 0..iterations {
        if tie == Tie::BrokenAfter(iteration) {
            t.load_state(model);
            t.separate(model, "head.weight");
        }
        iterate(t, model, optimizer);
    }
    torch.finish()
}

#[test]
fn a_tie_that_breaks_is_found_at_the_next_step() {
    let invariants = learned(|seed| tied(seed, 12, Tie::Kept));
    assert_eq!(
        claims(&invariants, |outcome| matches!(
            outcome,
            Outcome::Consistent(consistent::claim::Outcome::SharesStorage { .. })
        )),
        2
    );
    let broken = tied(3, 20, Tie::BrokenAfter(7));
    assert_eq!(alarms(&invariants, &broken), ["tied-weights-broken"]);
    let text = text(&invariants, &broken);
    assert!(text.contains("Found in iteration 8 ") && text.contains("`Net.head.weight`"), "{text}");
    assert_eq!(alarms(&invariants, &tied(4, 9, Tie::Never)), ["tied-weights-broken"]);
}

#[test]
fn ties_that_are_kept_and_names_that_are_gone_raise_no_alarm() {
    let invariants = learned(|seed| tied(seed, 12, Tie::Kept));
    for iterations in [1, 2, 3, 40] {
        assert_eq!(alarms(&invariants, &tied(5, iterations, Tie::Kept)), [""; 0]);
        assert_eq!(alarms(&invariants, &tied(5, iterations, Tie::NoHead)), [""; 0]);
    }
}

#[test]
fn one_untied_reference_is_enough_to_claim_no_tie() {
    let invariants = learn(&[tied(1, 12, Tie::Kept), tied(2, 12, Tie::Kept), tied(3, 12, Tie::Never)]);
    assert_eq!(
        claims(&invariants, |outcome| matches!(
            outcome,
            Outcome::Consistent(consistent::claim::Outcome::SharesStorage { .. })
        )),
        0
    );
}

#[test]
fn views_of_one_buffer_are_no_ties() {
    let invariants = learned(|seed| tied(seed, 12, Tie::Flattened));
    assert_eq!(
        claims(&invariants, |outcome| matches!(
            outcome,
            Outcome::Consistent(consistent::claim::Outcome::SharesStorage { .. })
        )),
        0
    );
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    Kept,
    Overwritten,
    Halved,
    Twice,
    Trained,
}

fn loaded(seed: u64, load: Load) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let t = &mut torch;
    let model = t.model("Net", NAMES);
    let optimizer = t.optimizer("SGD", &[model]);
    t.load_state(model);
    match load {
        Load::Kept => {}
        Load::Overwritten => t.overwrite(model),
        Load::Halved => t.half(model),
        Load::Twice => t.load_state(model),
        Load::Trained => iterate(t, model, optimizer),
    }
    for _ in 0..5 {
        iterate(t, model, optimizer);
    }
    torch.finish()
}

#[test]
fn loaded_weights_that_are_replaced_before_the_first_step_are_found() {
    let invariants = learned(|seed| loaded(seed, Load::Kept));
    let replaced = loaded(3, Load::Overwritten);
    assert_eq!(alarms(&invariants, &replaced), ["loaded-weights-replaced"]);
    let text = text(&invariants, &replaced);
    assert!(text.contains("Found in iteration 1 ") && text.contains("all 3 parameters of `Net`"), "{text}");
    for load in [Load::Kept, Load::Halved, Load::Twice, Load::Trained] {
        assert_eq!(alarms(&invariants, &loaded(4, load)), [""; 0]);
    }
}

/// Loads a model of four parameters, and then so many of them become other ones: with so much of their norm, and with zeros.
fn replaced(parameters: usize, norm: f32, zeros: bool) -> Vec<String> {
    let claim = consistent::claim::Claim {
        subject: consistent::claim::Subject::Loaded,
        outcome: consistent::claim::Outcome::NotReplaced,
    };
    let invariants = library_of([claim]);
    let mut torch = Torch::new(3);
    let t = &mut torch;
    let model = t.model("Net", &["a.weight", "b.weight", "c.weight", "d.weight"]);
    let optimizer = t.optimizer("SGD", &[model]);
    t.load_state(model);
    t.overwrite(model);
    for _ in 0..5 {
        iterate(t, model, optimizer);
    }
    let mut trace = torch.finish();
    let mut seen = BTreeMap::<u32, (u32, u64)>::new();
    for state in trace.batches.iter_mut().flat_map(|batch| &mut batch.states) {
        if state.attribute != Attribute::Data as u8 || state.value_kind != ValueKind::Tensor as u8 {
            continue;
        }
        let number = seen.len();
        let (order, hash) = *seen.entry(state.variable).or_insert((number as u32, state.hash_low));
        let is_loaded = state.hash_low == hash;
        if is_loaded {
            state.l2 = 10.0;
        } else if order as usize >= parameters && state.iteration == 1 && state.step == 0 {
            (state.hash_low, state.l2) = (hash, 10.0);
        } else {
            state.l2 = 10.0 * norm;
            state.zeros = if zeros { state.elements / 2 } else { 0 };
        }
    }
    alarms(&invariants, &trace)
}

#[test]
fn in_any_program_part_of_what_was_loaded_may_be_replaced_or_changed_a_little() {
    assert_eq!(replaced(4, 2.0, false), ["loaded-weights-replaced"]);
    assert_eq!(replaced(3, 0.5, false), ["loaded-weights-replaced"]);
    assert!(replaced(0, 1.0, false).is_empty());
    // A head that begins anew.
    assert!(replaced(2, 2.0, false).is_empty());
    // Rounded, or with a little noise; masked.
    assert!(replaced(4, 1.02, false).is_empty());
    assert!(replaced(4, 0.7, true).is_empty());
    assert_eq!(replaced(4, 1.5, true), ["loaded-weights-replaced"]);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Copied {
    Apart,
    Aliased,
    OneShared,
    OfAnotherClass,
}

fn copied(seed: u64, copied: Copied) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let t = &mut torch;
    let model = t.model("Net", NAMES);
    let other = t.model(if copied == Copied::OfAnotherClass { "Mean" } else { "Net" }, NAMES);
    let optimizer = t.optimizer("SGD", &[model]);
    let shared = match copied {
        Copied::Apart => &[][..],
        Copied::OneShared => &NAMES[..1],
        Copied::Aliased | Copied::OfAnotherClass => NAMES,
    };
    for name in shared {
        t.share((other, name), (model, name));
    }
    for _ in 0..10 {
        iterate(t, model, optimizer);
        if shared.is_empty() {
            t.overwrite(other);
        }
    }
    torch.finish()
}

#[test]
fn a_copy_that_is_the_model_is_found() {
    let invariants = learned(|seed| copied(seed, Copied::Apart));
    let aliased = copied(3, Copied::Aliased);
    assert_eq!(alarms(&invariants, &aliased), ["models-share-parameters"]);
    assert!(text(&invariants, &aliased).contains("Found in iteration 2 "));
    for clean in [Copied::Apart, Copied::OneShared, Copied::OfAnotherClass] {
        let found = alarms(&invariants, &copied(4, clean));
        assert!(!found.contains(&"models-share-parameters".to_owned()), "{found:?}");
    }
}

/// How a script draws its batches.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Draw {
    Shuffled,
    /// `next(iter(loader))` without a shuffle, all the time or for so many iterations.
    First(u32),
    /// All data are one batch.
    Full,
    SameLabels,
    TwoStepsEach,
    /// An evaluation of one batch behind each iteration.
    Evaluated,
    /// Batches that say nothing.
    Zeros,
}

fn drawn(seed: u64, draw: Draw) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let t = &mut torch;
    let model = t.model("Net", NAMES);
    let optimizer = t.optimizer("SGD", &[model]);
    let loader = t.loader();
    t.iter(loader, 20);
    for iteration in 1..=24 {
        let fresh = seed << 32 | iteration;
        let (images, labels) = match draw {
            Draw::First(until) if iteration <= u64::from(until) => (7, 8),
            Draw::Full => (7, 8),
            Draw::SameLabels => (fresh, 8),
            Draw::Zeros => (0, 0),
            _ => (fresh, fresh ^ 0xff),
        };
        if matches!(draw, Draw::First(_) | Draw::Full) {
            t.iter(loader, 20);
        }
        t.next(loader, 20, &[Value::Tensor(images), Value::Whole(labels)], None);
        iterate(t, model, optimizer);
        match draw {
            Draw::Full => t.exhausted(loader, 20),
            Draw::TwoStepsEach => iterate(t, model, optimizer),
            Draw::Evaluated => {
                t.iter(loader, 25);
                t.next(loader, 25, &[Value::Tensor(5), Value::Whole(6)], None);
                t.no_grad(|t| t.forward(model, 26));
            }
            _ => {}
        }
    }
    torch.finish()
}

#[test]
fn a_batch_that_is_trained_on_again_and_again_is_found() {
    let invariants = learned(|seed| drawn(seed, Draw::Shuffled));
    for until in [4, 24] {
        let repeated = drawn(3, Draw::First(until));
        assert_eq!(alarms(&invariants, &repeated), ["same-batch-repeated"]);
        let text = text(&invariants, &repeated);
        assert!(text.contains("Found in iteration 4 (step 3), since iteration 2."), "{text}");
    }
}

#[test]
fn data_that_repeat_for_a_reason_raise_no_alarm() {
    let invariants = learned(|seed| drawn(seed, Draw::Shuffled));
    let clean = [
        Draw::Shuffled,
        Draw::First(3),
        Draw::Full,
        Draw::SameLabels,
        Draw::TwoStepsEach,
        Draw::Evaluated,
        Draw::Zeros,
    ];
    for draw in clean {
        assert_eq!(alarms(&invariants, &drawn(4, draw)), [""; 0], "{draw:?}");
    }
    let differs = |invariants: &Invariants| claims(invariants, |outcome| *outcome == BatchDiffers.into());
    assert_eq!(differs(&invariants), 1);
    for silent in [Draw::Full, Draw::Zeros, Draw::First(24), Draw::First(2)] {
        assert_eq!(differs(&learned(|seed| drawn(seed, silent))), 0);
    }
}

/// What two workers draw.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Noise {
    Own,
    Same,
    /// A grid of coordinates, say.
    Constant,
    /// Whole numbers that are the same: sorted labels.
    Labels,
    /// The same twice, by chance.
    Twice,
}

fn made(seed: u64, noise: Noise) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let t = &mut torch;
    let model = t.model("Net", NAMES);
    let optimizer = t.optimizer("SGD", &[model]);
    let loader = t.loader();
    for pass in 0..3 {
        t.iter(loader, 20);
        for batch in 0..8 {
            let (fresh, turn) = (seed << 32 | pass << 16 | batch, (pass << 16) | (batch / 2));
            let second = match noise {
                Noise::Same => Value::Tensor(turn | 1 << 40),
                Noise::Twice if pass == 1 && batch < 4 => Value::Tensor(turn | 1 << 40),
                Noise::Constant => Value::Tensor(9),
                Noise::Labels => Value::Whole(turn | 1 << 40),
                _ => Value::Tensor(fresh | 1 << 40),
            };
            t.next(loader, 20, &[Value::Tensor(fresh | 1 << 50), second], Some((batch % 2) as i64));
            iterate(t, model, optimizer);
        }
        t.exhausted(loader, 20);
    }
    torch.finish()
}

#[test]
fn workers_that_draw_the_same_are_found() {
    let invariants = learned(|seed| made(seed, Noise::Own));
    assert_eq!(claims(&invariants, |outcome| *outcome == WorkersDiffer.into()), 2);
    assert_eq!(claims(&invariants, |outcome| *outcome == BatchDiffers.into()), 1);
    let same = made(3, Noise::Same);
    assert_eq!(alarms(&invariants, &same), ["workers-give-the-same-data"]);
    let text = text(&invariants, &same);
    assert!(text.contains("Found in iteration 5 ") && text.contains("`DataLoader.batch[1]`"), "{text}");
    for clean in [Noise::Own, Noise::Constant, Noise::Labels, Noise::Twice] {
        assert_eq!(alarms(&invariants, &made(4, clean)), [""; 0]);
    }
}

/// What gradients are like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gradient {
    New,
    /// Hooks give back what they kept, from this iteration on.
    Stale(u32),
    /// The same, and the learning rate is zero.
    StaleAndStill,
    /// Nothing clears them, and backward does not reach the parameters.
    NotCleared,
}

fn hooked(seed: u64, gradient: Gradient) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let t = &mut torch;
    let model = t.model("Net", NAMES);
    let other = t.model("Other", NAMES);
    let optimizer = t.optimizer("SGD", &[model]);
    if gradient == Gradient::StaleAndStill {
        t.set_lr(optimizer, 0.0);
    }
    for iteration in 1..=16 {
        t.stale = match gradient {
            Gradient::Stale(from) => iteration >= from,
            Gradient::StaleAndStill => true,
            _ => false,
        };
        if gradient == Gradient::NotCleared && iteration > 1 {
            t.forward(model, 32);
            t.backward(&[other]);
            t.step(optimizer);
        } else {
            iterate(t, model, optimizer);
        }
    }
    torch.finish()
}

#[test]
fn gradients_that_a_hook_has_kept_are_found() {
    let invariants = learned(|seed| hooked(seed, Gradient::New));
    assert_eq!(claims(&invariants, |outcome| *outcome == GradientDiffers.into()), 3);
    for (from, found) in [(1, 4), (9, 11)] {
        let stale = hooked(3, Gradient::Stale(from));
        assert_eq!(alarms(&invariants, &stale), ["stale-gradients"]);
        let text = text(&invariants, &stale);
        assert!(text.contains(&format!("Found in iteration {found} ")), "{text}");
    }
    for clean in [Gradient::New, Gradient::Stale(15), Gradient::StaleAndStill, Gradient::NotCleared] {
        let found = alarms(&invariants, &hooked(4, clean));
        assert!(!found.contains(&"stale-gradients".to_owned()), "{found:?}");
    }
}

#[test]
fn workers_where_the_references_had_none_raise_no_alarm() {
    let invariants = learned(|seed| drawn(seed, Draw::Shuffled));
    assert_eq!(alarms(&invariants, &made(3, Noise::Own)), [""; 0]);
    let invariants = learned(|seed| made(seed, Noise::Own));
    assert_eq!(alarms(&invariants, &drawn(3, Draw::Shuffled)), [""; 0]);
}

#[test]
fn a_loader_for_every_epoch_is_no_claim_for_every_epoch() {
    let run = |seed: u64| {
        let mut torch = Torch::new(seed);
        let t = &mut torch;
        let model = t.model("Net", NAMES);
        let optimizer = t.optimizer("SGD", &[model]);
        for epoch in 0..40 {
            let loader = t.loader();
            t.iter(loader, 20);
            for batch in 0..5 {
                t.next(loader, 20, &[Value::Tensor(seed << 32 | epoch << 16 | batch)], None);
                iterate(t, model, optimizer);
            }
            t.exhausted(loader, 20);
        }
        torch.finish()
    };
    assert_eq!(claims(&learned(run), |outcome| *outcome == BatchDiffers.into()), 16);
}

/// A loader is none of these scripts' concern, and nothing is said of it.
#[test]
fn what_is_not_looked_at_is_not_spoken_of() {
    let run = |seed| {
        let mut torch = Torch::new(seed);
        let t = &mut torch;
        let model = t.model("Net", NAMES);
        let optimizer = t.optimizer("SGD", &[model]);
        let loader: Loader = t.loader();
        t.each(loader, 20, 12, |t, _| {
            iterate(t, model, optimizer);
            true
        });
        torch.finish()
    };
    let invariants = learned(run);
    assert_eq!(claims(&invariants, |o| *o == BatchDiffers.into() || *o == WorkersDiffer.into()), 0);
}

/// A loader whose workers are looked at in every fourth iteration; `shared`: whether both draw from one stream there.
fn drawing(seed: u64, iterations: u32, shared: impl Fn(u32) -> bool) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let t = &mut torch;
    let model = t.model("Net", NAMES);
    let optimizer = t.optimizer("SGD", &[model]);
    let loader = t.loader();
    let name = "DataLoader.worker[1].numpy.random";
    let stream = t.record.variable(name, VariableKind::Worker, loader.id());
    for iteration in 0..iterations {
        t.record.at(20).enter("torch.utils.data._Iter.__next__", Role::LoaderNext, loader.id(), 0);
        if iteration % 4 == 3 {
            t.record.state(stream, Attribute::Value, Value::Int(i64::from(!shared(iteration / 4))));
        }
        t.record.exit(false);
        iterate(t, model, optimizer);
    }
    torch.finish()
}

#[test]
fn workers_that_draw_from_one_stream_are_found() {
    let invariants = learned(|seed| drawing(seed, 40, |_| false));
    let found = |shared: fn(u32) -> bool| alarms(&invariants, &drawing(3, 32, shared));
    assert_eq!(found(|_| true), ["workers-give-the-same-data"]);
    assert!(found(|_| false).is_empty());
    assert!(found(|look| look % 3 != 0).is_empty(), "never three times in a row");
}

/// Passes of six batches, of which pass number `pass` is in the order number `order(pass)`.
fn passes(seed: u64, order: impl Fn(u64) -> u64) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let t = &mut torch;
    let model = t.model("Net", NAMES);
    let optimizer = t.optimizer("SGD", &[model]);
    let loader = t.loader();
    for pass in 0..4 {
        t.iter(loader, 20);
        for batch in 0..6 {
            t.next(loader, 20, &[Value::Tensor((seed << 32) + (order(pass) << 16) + batch)], None);
            iterate(t, model, optimizer);
        }
        t.exhausted(loader, 20);
    }
    torch.finish()
}

#[test]
fn a_pass_that_takes_the_data_in_the_order_of_the_one_before_is_found() {
    let invariants = learned(|seed| passes(seed, |pass| pass));
    assert_eq!(alarms(&invariants, &passes(3, |_| 0)), ["same-order-in-every-epoch"]);
    assert_eq!(alarms(&invariants, &passes(3, |pass| pass)), [""; 0]);
    assert_eq!(
        alarms(&invariants, &passes(3, |pass| pass % 2)),
        [""; 0],
        "that of an earlier one is another"
    );
}

#[test]
fn data_with_an_order_of_their_own_may_keep_it() {
    let invariants = learned(|seed| passes(seed, |_| 0));
    assert_eq!(alarms(&invariants, &passes(3, |_| 0)), [""; 0]);
    assert_eq!(alarms(&invariants, &passes(3, |pass| pass)), [""; 0]);
}
