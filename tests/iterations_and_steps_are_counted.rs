//! An iteration is a forward with gradients and what follows; a step, an iteration in which an optimizer stepped.

use traincheck_schema::record::{EventKind, Role, Stage};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, pipeline, preloaded, script};

fn record(program: &std::path::Path, arguments: &[&str]) -> ProcessTrace {
    let temporary = folder();
    let run = temporary.path().join("run");
    finish(preloaded(&run).arg(program).args(arguments)).exited(0);
    let process = Trace::read(&run).only();
    process.assert_whole();
    process
}

/// The numbers that the iterations were given.
fn numbers(process: &ProcessTrace) -> Vec<u32> {
    process.of_kind(EventKind::Iteration).map(|event| event.iteration).collect()
}

#[test]
fn accumulation_makes_three_iterations_a_step() {
    // Two epochs of twelve batches, a step every three batches; evaluation between them counts nothing.
    let process = record(&script("accumulate.py"), &[]);
    assert_eq!(numbers(&process), (1..=24).collect::<Vec<_>>());
    assert_eq!(process.steps(), 8);
    assert_eq!(process.entered(Role::OptimizerStep).count(), 8);
    let evaluated = process.entered(Role::ModuleCall).filter(|event| event.stage == Stage::Evaluation as u8);
    assert!(evaluated.count() >= 8, "eight batches were evaluated");
}

#[test]
fn a_pipeline_with_loaders_and_checkpoints() {
    // 1,437 images in batches of 128 are 12 batches.
    let temporary = folder();
    let out = temporary.path().to_str().expect("text");
    let process = record(&pipeline("digits.py"), &["--batch-size", "128", "--epochs", "3", "--out", out]);
    assert_eq!(numbers(&process), (1..=36).collect::<Vec<_>>());
    assert_eq!(process.steps(), 36);
    assert_eq!(process.entered(Role::Save).count(), 3);
    assert!(process.events.iter().any(|event| event.stage == Stage::Checkpointing as u8));
}
