//! Types, rows and lengths of results: what is learned of them, and what is no more than chance.
mod support;

use support::torch::{Model, Optimizer, Torch};
use support::{Passed, Value, alarms, learn, library_of};
use traincheck_analyzer::invariants::{Invariants, Level};
use traincheck_analyzer::relation::broadcast;
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{Attribute, Direction, ObjectKind, Role, VariableKind, flags};

const AUTOCAST: &str = "autocast(cpu, bfloat16) matmul=high";

fn training(seed: u64, iterations: u32, each: impl Fn(&mut Torch, u32)) -> MemoryTrace {
    at_rate(0.1, seed, iterations, each)
}

/// With another learning rate.
fn at_rate(rate: f64, seed: u64, iterations: u32, each: impl Fn(&mut Torch, u32)) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model: Model = torch.model("Net", &["body.weight", "head.weight"]);
    let optimizer: Optimizer = torch.optimizer("AdamW", &[model]);
    torch.set_lr(optimizer, rate);
    for iteration in 1..=iterations {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        each(&mut torch, iteration);
        torch.backward(&[model]);
        torch.step(optimizer);
    }
    torch.finish()
}

/// A call of a module inside, and what it gives back.
fn call(torch: &mut Torch, module: &str, dtype: &str) {
    let object = torch.record.object(module, ObjectKind::Module, "torch.nn.Linear");
    torch.record.enter("torch.nn.Linear.__call__", Role::ModuleCall, object, flags::MODULE_TRAIN);
    torch.record.exit(false);
    torch.record.argument(Direction::Result, "result", Passed::Tensor(&format!("[8, 3] {dtype} cpu"), true));
}

/// `body` under autocast, then `head` under what is given.
fn mixed(torch: &mut Torch, body: &str, head: &str) {
    let dtype = |context: &str| if context.is_empty() { "float32" } else { "bfloat16" };
    torch.record.under(body);
    call(torch, "Net.body", dtype(body));
    torch.record.under(head);
    call(torch, "Net.head", dtype(head));
    torch.record.under("");
}

fn found(reference: impl Fn(&mut Torch, u32), run: impl Fn(&mut Torch, u32)) -> Vec<String> {
    let invariants = learn(&[training(1, 12, &reference), training(2, 12, &reference)]);
    alarms(&invariants, &training(3, 9, run))
}

#[test]
fn a_module_that_leaves_autocast_is_found() {
    let reference = |torch: &mut Torch, _| mixed(torch, AUTOCAST, AUTOCAST);
    assert_eq!(found(reference, |torch, _| mixed(torch, AUTOCAST, "")), ["autocast-not-applied"]);
    // The first of an iteration, too.
    assert_eq!(found(reference, |torch, _| mixed(torch, "", AUTOCAST)), ["autocast-not-applied"]);
}

#[test]
fn without_autocast_or_in_another_type_nothing_is_wrong() {
    let reference = |torch: &mut Torch, _| mixed(torch, AUTOCAST, AUTOCAST);
    assert!(found(reference, |torch, _| mixed(torch, "", "")).is_empty());
    let half = |torch: &mut Torch, _| {
        torch.record.under("autocast(cpu, float16)");
        call(torch, "Net.body", "float16");
        call(torch, "Net.head", "float32");
        torch.record.under("");
    };
    assert!(found(reference, half).is_empty());
}

#[test]
fn autocast_that_begins_late_is_no_error() {
    let reference = |torch: &mut Torch, _| mixed(torch, AUTOCAST, AUTOCAST);
    let late = |torch: &mut Torch, iteration| {
        let context = if iteration > 4 { AUTOCAST } else { "" };
        mixed(torch, context, context);
    };
    assert!(found(reference, late).is_empty());
}

#[test]
fn a_head_that_is_outside_of_autocast_in_the_references_may_be() {
    let reference = |torch: &mut Torch, _| mixed(torch, AUTOCAST, "");
    assert!(found(reference, reference).is_empty());
    assert!(found(reference, |torch, _| mixed(torch, AUTOCAST, AUTOCAST)).is_empty());
}

/// Calls of a root module, of a layer, and of a module of the script's own in it, with the largest magnitudes of the results.
fn looked(torch: &mut Torch, shape: &str, [root, layer, inner]: [f32; 3]) {
    let text = format!("{shape} float32 cpu");
    for (module, class, outermost, largest) in [
        ("Scorer", "__main__.Scorer", true, root),
        ("Scorer.layer", "torch.nn.modules.linear.Linear", false, layer),
        ("Scorer.inner", "__main__.Inner", false, inner),
    ] {
        let object = torch.record.object(module, ObjectKind::Module, class);
        let flags = flags::MODULE_TRAIN | if outermost { flags::OUTERMOST } else { 0 };
        torch.record.enter(&format!("{class}.__call__"), Role::ModuleCall, object, flags);
        torch.record.exit(false);
        torch.record.argument(Direction::Result, "result", Passed::Looked(&text, largest));
    }
}

const NONE_ZERO: [f32; 3] = [1.0, 2.0, 1e-30];

#[test]
fn results_of_nothing_but_zeros_are_found_where_they_come() {
    let reference = |torch: &mut Torch, _| looked(torch, "[8, 3]", NONE_ZERO);
    for (zero, from, to, finds) in [
        // Once is enough for the root module and for the layer.
        (0, 5, 5, true),
        (1, 5, 5, true),
        // What may drop all, or select nothing, is not asked.
        (2, 5, 9, false),
    ] {
        let run = |torch: &mut Torch, iteration| {
            let mut largest = NONE_ZERO;
            if (from..=to).contains(&iteration) {
                largest[zero] = 0.0;
            }
            looked(torch, "[8, 3]", largest);
        };
        let expected: &[&str] = if finds { &["data-lost"] } else { &[] };
        assert_eq!(found(reference, run), expected, "{zero}, {from} to {to}");
    }
}

#[test]
fn zeros_that_the_references_have_or_of_few_elements_are_no_error() {
    let run = |torch: &mut Torch, iteration| {
        looked(torch, "[8, 3]", if iteration == 5 { [0.0; 3] } else { NONE_ZERO })
    };
    let begins_with_zeros = |torch: &mut Torch, iteration| {
        looked(torch, "[8, 3]", if iteration < 4 { [0.0; 3] } else { NONE_ZERO })
    };
    assert!(found(begins_with_zeros, run).is_empty());
    // Of a few elements all may be zero by chance.
    let few = |torch: &mut Torch, iteration| {
        looked(torch, "[5, 3]", if iteration == 5 { [0.0; 3] } else { NONE_ZERO })
    };
    assert!(found(|torch, _| looked(torch, "[5, 3]", NONE_ZERO), few).is_empty());
    // Nothing is known of what was not looked at.
    let unseen = |torch: &mut Torch, _| call(torch, "Scorer", "float32");
    assert!(found(|torch, _| looked(torch, "[8, 3]", NONE_ZERO), unseen).is_empty());
}

#[test]
fn results_that_are_once_far_beyond_all_others_are_found() {
    let reference = |torch: &mut Torch, _| looked(torch, "[8, 3]", NONE_ZERO);
    let once = |largest: f32| {
        move |torch: &mut Torch, iteration| {
            looked(torch, "[8, 3]", if iteration == 5 { [1.0, largest, 1e-30] } else { NONE_ZERO })
        }
    };
    assert_eq!(found(reference, once(1e20)), ["results-far-from-others"]);
    assert!(found(reference, once(100.0)).is_empty());
    // In another setting they may be of another size.
    let invariants = learn(&[training(1, 12, reference), training(2, 12, reference)]);
    assert!(alarms(&invariants, &at_rate(0.5, 3, 9, once(1e20))).is_empty());
}

/// An outermost call of a module with so many rows.
fn rows(torch: &mut Torch, given: u64, gave: u64) {
    let object = torch.record.object("Scorer", ObjectKind::Module, "__main__.Scorer");
    let flags = flags::MODULE_TRAIN | flags::OUTERMOST;
    torch.record.enter("__main__.Scorer.__call__", Role::ModuleCall, object, flags);
    torch.record.argument(
        Direction::Argument,
        "x",
        Passed::Tensor(&format!("[{given}, 4] float32 cpu"), false),
    );
    torch.record.exit(false);
    torch.record.argument(
        Direction::Result,
        "result",
        Passed::Tensor(&format!("[{gave}, 2] float32 cpu"), true),
    );
}

#[test]
fn a_batch_that_collapses_is_found() {
    let reference = |torch: &mut Torch, iteration: u32| {
        let n = if iteration.is_multiple_of(4) { 5 } else { 8 };
        rows(torch, n, n);
    };
    assert_eq!(found(reference, |torch, _| rows(torch, 8, 1)), ["batch-mixed-up"]);
    assert!(found(reference, |torch, _| rows(torch, 3, 3)).is_empty());
}

#[test]
fn a_batch_that_has_collapsed_when_it_is_given_is_found() {
    let given = |n: u64, m: u64| {
        move |torch: &mut Torch, iteration: u32| {
            // The last batch of a pass is smaller.
            let less = if iteration.is_multiple_of(4) { 3 } else { 0 };
            let rows = |n: u64| if n == 1 { 1 } else { n - less };
            torch.record.enter("__main__.score", Role::User, 0, 0);
            for (name, shape) in [("images", format!("{}, 3, 4", rows(n))), ("labels", rows(m).to_string())] {
                let tensor = format!("[{shape}] float32 cpu");
                torch.record.argument(Direction::Argument, name, Passed::Tensor(&tensor, false));
            }
            torch.record.exit(false);
        }
    };
    assert_eq!(found(given(8, 8), given(1, 8)), ["batch-collapsed"]);
    for (images, labels) in [(6, 6), (8, 16), (1, 1)] {
        assert!(found(given(8, 8), given(images, labels)).is_empty(), "{images} {labels}");
    }
    assert!(found(given(1, 1), given(1, 8)).is_empty(), "what never varied is equal by chance");
}

#[test]
fn rows_that_never_vary_are_equal_by_chance() {
    let reference = |torch: &mut Torch, _| rows(torch, 8, 8);
    assert!(found(reference, |torch, _| rows(torch, 6, 8)).is_empty());
}

/// A loss that the script calls.
fn loss(torch: &mut Torch, function: &str, role: Role, prediction: &str, target: &str) {
    torch.record.enter(function, role, 0, flags::GRAD);
    for (name, shape) in [("prediction", prediction), ("target", target)] {
        // Class indices are whole numbers.
        let dtype = if name == "target" && function.ends_with("cross_entropy") { "int64" } else { "float32" };
        let tensor = format!("[{shape}] {dtype} cpu");
        torch.record.argument(Direction::Argument, name, Passed::Tensor(&tensor, false));
    }
    torch.record.exit(false);
}

#[test]
fn a_prediction_that_is_broadcast_against_its_target_is_found() {
    for (function, role) in [("__main__.huber", Role::User), ("torch.nn.functional.mse_loss", Role::Other)] {
        let given = |prediction: &'static str, target: &'static str| {
            move |torch: &mut Torch, _: u32| loss(torch, function, role, prediction, target)
        };
        assert_eq!(found(given("8", "8"), given("8, 1", "8")), ["shapes-broadcast"]);
        assert_eq!(found(given("8, 2", "8, 2"), given("8, 1, 2", "8, 2")), ["shapes-broadcast"]);
        // Another configuration: they were equal by chance, or only one of the two is broadcast.
        for (prediction, target) in [("6, 1", "6, 1"), ("6", "8"), ("1", "8"), ("1, 8", "6, 8"), ("", "8")] {
            assert!(found(given("8", "8"), given(prediction, target)).is_empty(), "{prediction} {target}");
        }
    }
}

#[test]
fn one_call_that_broadcasts_is_an_accident() {
    let given = |torch: &mut Torch, prediction| loss(torch, "__main__.huber", Role::User, prediction, "8");
    let odd = |torch: &mut Torch, iteration: u32| {
        given(torch, if iteration.is_multiple_of(3) { "8" } else { "8, 1" })
    };
    assert!(found(|torch, _| given(torch, "8"), odd).is_empty());
}

/// `generate(prompt, max_new_tokens)`.
fn generate(torch: &mut Torch, prompt: u64, most: i64, gave: u64) {
    torch.record.enter("__main__.generate", Role::User, 0, 0);
    torch.record.argument(
        Direction::Argument,
        "prompt",
        Passed::Tensor(&format!("[1, {prompt}] int64 cpu"), false),
    );
    torch.record.argument(Direction::Argument, "max_new_tokens", Passed::Int(most));
    torch.record.exit(false);
    torch.record.argument(
        Direction::Result,
        "result",
        Passed::Tensor(&format!("[1, {gave}] int64 cpu"), false),
    );
}

#[test]
fn a_bound_that_is_ignored_is_found() {
    let reference = |torch: &mut Torch, _| generate(torch, 7, 20, 27);
    assert_eq!(found(reference, |torch, _| generate(torch, 7, 20, 60)), ["bound-ignored"]);
    assert!(found(reference, |torch, _| generate(torch, 30, 50, 80)).is_empty());
    assert!(found(reference, |torch, _| generate(torch, 30, 50, 31)).is_empty());
}

#[test]
fn a_bound_that_is_never_reached_says_nothing() {
    let reference = |torch: &mut Torch, _| generate(torch, 7, 1000, 9);
    assert!(found(reference, |torch, _| generate(torch, 7, 10, 60)).is_empty());
}

/// `clip_grad_norm_(model.parameters(), 700.0)` leaves gradients of these norms, each of a parameter in this storage.
fn clip(torch: &mut Torch, gradients: [(i64, u64); 2]) {
    let object = torch.record.object("Tied", ObjectKind::Module, "__main__.Tied");
    torch.record.enter("torch.nn.utils.clip_grad.clip_grad_norm_", Role::ClipGrad, 0, 0);
    torch.record.argument(Direction::Argument, "max_norm", Passed::Float(700.0));
    torch.record.look(false);
    for (name, (storage, norm)) in ["Tied.embedding", "Tied.head"].into_iter().zip(gradients) {
        let id = torch.record.variable(name, VariableKind::Parameter, object);
        torch.record.state(id, Attribute::Storage, Value::Int(storage));
        torch.record.state(id, Attribute::Grad, Value::Tensor(norm));
    }
    torch.record.exit(false);
}

#[test]
fn the_gradient_of_tied_parameters_counts_once_in_the_norm() {
    let untied = |torch: &mut Torch, _| clip(torch, [(1, 500), (2, 400)]);
    let tied = |torch: &mut Torch, _| clip(torch, [(1, 650), (1, 650)]);
    assert!(found(untied, tied).is_empty());
    let too_much = |torch: &mut Torch, _| clip(torch, [(1, 800), (1, 800)]);
    assert_eq!(found(tied, too_much), ["clipping-incomplete"]);
    // Parts of one storage that have gradients of their own are no ties.
    let parts = |torch: &mut Torch, _| clip(torch, [(1, 600), (1, 500)]);
    assert_eq!(found(tied, parts), ["clipping-incomplete"]);
}

fn texts(invariants: &Invariants, level: Level) -> Vec<&str> {
    invariants.invariants.iter().filter(|i| i.level == level).map(|i| i.text.as_str()).collect()
}

#[test]
fn what_may_differ_between_machines_and_settings_is_a_notice() {
    let reference = |torch: &mut Torch, _: u32| rows(torch, 8, 8);
    let invariants = learn(&[training(1, 12, reference), training(2, 12, reference)]);
    let notices = texts(&invariants, Level::Notice);
    for text in [
        "Whenever `Scorer` is called with gradients, its result is of type float32",
        "Whenever `Scorer` is called with gradients, its result is on a device of type cpu",
        "Whenever `Scorer` is called with gradients, its result requires a gradient",
    ] {
        assert!(notices.contains(&text), "{text} in {notices:#?}");
    }
}

#[test]
fn in_any_program_a_loss_broadcasts_no_two_tensors_so_that_both_grow() {
    let claim = broadcast::claim::Claim {
        subject: broadcast::claim::Subject::Loss,
        outcome: broadcast::claim::Outcome::Fits,
    };
    let invariants = library_of([claim]);
    let found = |function: &str, role, prediction: &str, target: &str| {
        let each = |torch: &mut Torch, _: u32| loss(torch, function, role, prediction, target);
        alarms(&invariants, &training(3, 9, each))
    };
    let mse = |prediction: &str, target: &str| {
        found("torch.nn.functional.mse_loss", Role::Other, prediction, target)
    };
    assert_eq!(mse("8, 1", "8"), ["shapes-broadcast"]);
    assert_eq!(
        found("torch.nn.modules.loss.L1Loss.__call__", Role::ModuleCall, "8", "8, 1"),
        ["shapes-broadcast"]
    );
    // Each with each, on purpose; only one is broadcast.
    for (prediction, target) in [("8, 1", "8, 1"), ("8, 1, 4", "1, 8, 4"), ("8, 4", "4")] {
        assert!(mse(prediction, target).is_empty(), "{prediction} {target}");
    }
    // Classes, of which there is one; no loss.
    assert!(found("torch.nn.functional.cross_entropy", Role::Other, "8, 1", "8").is_empty());
    assert!(found("__main__.pairs", Role::User, "8, 1", "8").is_empty());
}
