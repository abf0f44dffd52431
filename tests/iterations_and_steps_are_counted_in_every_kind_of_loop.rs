//! Whatever the loop looks like: iterations, steps and micro-steps are numbered as docs/how-it-works.md says, and what
//! is training is told from what is evaluation. The numbers below follow from the loops and those rules.

use traincheck_schema::record::{Event, EventKind, Role, Stage, flags};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, preloaded, script, traincheck};

/// What a loop is to be counted as.
struct Loop {
    /// The function that it is.
    name: &'static str,
    /// How many iterations.
    iterations: u32,
    /// In how many an optimizer steps.
    steps: u32,
    /// How often a model is called in training ...
    training: usize,
    /// ... and in evaluation.
    evaluation: usize,
}

const fn of(name: &'static str, iterations: u32, steps: u32, training: usize, evaluation: usize) -> Loop {
    Loop { name, iterations, steps, training, evaluation }
}

/// How often a model is called is not known beforehand.
const ANY: usize = usize::MAX;

const LOOPS: &[Loop] = &[
    // The dry run is the beginning of the first iteration.
    of("dry_run", 5, 5, 6, 0),
    // Ten batches, a step every four; the second one steps for the last two as well.
    of("accumulate", 10, 2, 10, 0),
    of("accumulate_in_functions", 10, 3, 10, 0),
    // Fifteen times the critic, three times the generator. What the generator makes for the critic without gradients,
    // in an iteration in which it was trained itself, is taken for evaluation.
    of("critics", 15, 15, 49, 2),
    of("critics_after_generator", 15, 15, 47, 4),
    // The critic's loop has returned when the generator's turn comes.
    of("critics_in_functions", 18, 18, 51, 0),
    of("adversaries", 4, 4, 16, 0),
    of("gradient_penalty", 4, 4, 8, 0),
    of("turns", 4, 4, 8, 0),
    of("phases", 14, 14, 14, 0),
    // Where one loop follows another in the same function for the first time, nothing tells that it is another one.
    of("phases_inline", 13, 13, 14, 0),
    of("teacher_first", 4, 4, 8, 0),
    of("teacher_second", 4, 4, 8, 0),
    of("siamese", 4, 4, 8, 0),
    of("contrastive", 4, 4, 8, 0),
    of("several_losses", 4, 4, 16, 0),
    of("truncated", 4, 4, 12, 0),
    of("reinforce", 5, 5, 21, 0),
    // Acting with what the iteration before has trained, without gradients, is taken for evaluation.
    of("deep_q", 9, 9, 22, 8),
    of("proximal", 12, 12, 17, 5),
    of("recomputed", 4, 4, 16, 0),
    of("meta", 3, 3, 18, 0),
    of("closures", 4, 4, ANY, 0),
    of("sharpness", 4, 4, 8, 0),
    of("nested_optimizers", 4, 4, 4, 0),
    of("scaled", 5, 4, 5, 0),
    of("clears_last", 5, 5, 5, 0),
    // Two and three modules are called by a forward that is called itself.
    of("forward_itself", 4, 4, 8, 0),
    of("forward_of_a_container", 4, 4, 12, 0),
    of("thread", 5, 5, 5, 0),
    of("generator", 5, 5, 5, 0),
    of("engine", 6, 6, 6, 4),
    of("skipped", 8, 7, 8, 0),
    // A batch without a backward belongs to the iteration of the next.
    of("left_out", 7, 7, 8, 0),
    // So does the one that fails before it; the one that fails after it is an iteration without a step.
    of("repeated", 7, 6, 8, 0),
    of("saves", 4, 4, 4, 0),
    of("epochs_inline", 12, 12, 12, 6),
    of("epochs_in_functions", 12, 12, 12, 6),
    of("gradients_in_evaluation", 12, 12, 12, 6),
    // Here the loss is a module, too.
    of("gradients_in_evaluation_of_functions", 12, 12, 24, 12),
    of("average_in_evaluation", 12, 12, 12, 6),
    of("training_mode_in_evaluation", 12, 12, 12, 6),
    // Gradients and training mode on: this can only be taken for training. In a function of its own it begins an
    // iteration, which the next epoch goes on with and the last one leaves without a step.
    of("everything_on_in_evaluation", 12, 12, 18, 0),
    of("everything_on_in_functions", 13, 12, 18, 0),
];

/// Neither `Tensor.backward` nor an optimizer, in the whole job.
const FUNCTIONAL: &[Loop] = &[of("functional", 5, 0, 5, 0)];

const TRAINERS: &[Loop] = &[
    of("accelerated", 10, 3, 10, 0),
    of("by_an_optimizer_of_a_library", 4, 4, 4, 0),
    of("lightning", 10, 6, 10, 4),
    // Two trainers: five batches and three.
    of("lightning_by_hand", 8, 8, 23, 0),
    of("transformer", 10, 6, 10, 4),
];

/// Runs loops of a script, and reads what was recorded of them.
fn record(program: &str, loops: &[Loop]) -> ProcessTrace {
    let temporary = folder();
    let run = temporary.path().join("run");
    let names = loops.iter().map(|of| of.name);
    finish(preloaded(&run).arg(script(program)).args(names)).exited(0);
    let process = Trace::read(&run).only();
    process.assert_whole();
    process
}

/// The entry into a function of the script, and the return from it.
fn around<'a>(process: &'a ProcessTrace, function: &str) -> (&'a Event, &'a Event) {
    let name = format!("__main__.{function}");
    let entry = process.entered(Role::User).find(|event| process.name(event.name) == name);
    let entry = entry.unwrap_or_else(|| panic!("{name} was not called"));
    let exit = process.of_kind(EventKind::Exit).find(|event| event.call == entry.call);
    (entry, exit.unwrap_or_else(|| panic!("{name} did not return")))
}

/// Fails unless every event carries the numbers of the iteration it is in, and every iteration those it should.
fn assert_numbered(process: &ProcessTrace) {
    let mut events: Vec<_> = process.events.iter().collect();
    events.sort_by_key(|event| event.time);
    let (mut iteration, mut step, mut since_step) = (0, 0, 0);
    for event in events {
        if event.kind == EventKind::Iteration as u8 {
            assert_eq!(event.iteration, iteration + 1);
            // How many iterations in a row were without a step before it.
            since_step = if iteration == 0 || event.step > step { 0 } else { since_step + 1 };
            assert_eq!(event.value, since_step, "micro-step of iteration {}", event.iteration);
            (iteration, step) = (event.iteration, event.step);
        }
        // The stage that an iteration brings with it is said just before it.
        let ahead = u32::from(event.kind == EventKind::Stage as u8 && event.iteration > iteration);
        assert_eq!(event.iteration, iteration + ahead);
        assert!(event.step == step || event.step == step + 1, "one step an iteration");
    }
}

fn assert_counted(process: &ProcessTrace, loops: &[Loop]) {
    assert_numbered(process);
    let mut wrong = Vec::new();
    for of in loops {
        let (entry, exit) = around(process, of.name);
        let calls = |stage: Stage| {
            process
                .entered(Role::ModuleCall)
                .filter(|event| (entry.time..exit.time).contains(&event.time))
                .filter(|event| event.flags & flags::OUTERMOST != 0 && event.stage == stage as u8)
                .count()
        };
        let found = (exit.iteration - entry.iteration, exit.step - entry.step, calls(Stage::Evaluation));
        let training = if of.training == ANY { ANY } else { calls(Stage::Training) };
        if found != (of.iterations, of.steps, of.evaluation) || training != of.training {
            wrong.push(format!(
                "{}: {} iterations, {} steps, {training} calls in training, {} in evaluation; expected {}, {}, {}, {}",
                of.name, found.0, found.1, found.2, of.iterations, of.steps, of.training, of.evaluation
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn loops_of_a_script() {
    let process = record("loops.py", LOOPS);
    assert_counted(&process, LOOPS);

    let micro = |name: &str| -> Vec<u64> {
        let (entry, exit) = around(&process, name);
        let begun = process.of_kind(EventKind::Iteration);
        begun.filter(|event| (entry.time..exit.time).contains(&event.time)).map(|event| event.value).collect()
    };
    assert_eq!(micro("accumulate"), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]);
    assert_eq!(micro("skipped"), [0, 0, 0, 0, 1, 0, 0, 0]);

    // Saving is a stage of its own, after which training goes on.
    let (entry, exit) = around(&process, "saves");
    let stages: Vec<_> = process
        .of_kind(EventKind::Stage)
        .filter(|event| (entry.time..exit.time).contains(&event.time))
        .map(|event| event.stage)
        .collect();
    assert_eq!(stages, [Stage::Checkpointing as u8, Stage::Training as u8]);
}

#[test]
fn a_loop_without_an_optimizer() {
    assert_counted(&record("loops.py", FUNCTIONAL), FUNCTIONAL);
}

#[test]
fn loops_of_libraries() {
    let process = record("trainers.py", TRAINERS);
    assert_counted(&process, TRAINERS);
    // A wrapper's step is none. There are two optimizers where Lightning is told what to do.
    for (function, steps) in
        [("accelerated", 3), ("by_an_optimizer_of_a_library", 4), ("lightning", 6), ("lightning_by_hand", 13)]
    {
        let (entry, exit) = around(&process, function);
        let stepped = process.entered(Role::OptimizerStep);
        let stepped = stepped.filter(|event| (entry.time..exit.time).contains(&event.time)).count();
        assert_eq!(stepped, steps, "{function}");
    }

    let (entry, exit) = around(&process, "transformer");
    let saved = process
        .of_kind(EventKind::Stage)
        .filter(|event| (entry.time..exit.time).contains(&event.time))
        .filter(|event| event.stage == Stage::Checkpointing as u8);
    assert!(saved.count() >= 2, "two checkpoints were saved");
}

#[test]
fn a_script_without_functions() {
    let temporary = folder();
    let run = temporary.path().join("run");
    finish(preloaded(&run).arg(script("flat.py"))).exited(0);

    // Twelve batches, a step every three. Of the five of the other loop the first cannot be told from the one before:
    // there is no call that has returned. The step before the first iteration belongs to none.
    let process = Trace::read(&run).only();
    process.assert_whole();
    assert_numbered(&process);
    assert_eq!((process.iterations(), process.steps()), (16, 8));
    let calls = |stage: Stage| {
        process.entered(Role::ModuleCall).filter(move |call| call.stage == stage as u8).count()
    };
    assert_eq!((calls(Stage::Training), calls(Stage::Evaluation)), (17, 4));

    let text = finish(traincheck().arg("inspect").arg(&run)).exited(0).stdout;
    assert!(text.contains("16 iterations, 8 steps, 8 micro-steps"), "{text}");
    assert!(text.contains("(17 calls of models), evaluation"), "{text}");
    assert!(text.contains("(4 calls of models)"), "{text}");
}
