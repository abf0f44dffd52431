//! A recorded run in which nothing is left but what a relation declares that it needs says the same to that relation.

#[path = "../analyzer/tests/support/narrow.rs"]
mod narrow;
#[path = "../analyzer/tests/support/windows.rs"]
mod windows;

use narrow::{Narrow, complete};
use traincheck_analyzer::relation::claim::RelationName;
use traincheck_analyzer::relation::kind;
use traincheck_analyzer::relation::listener::Listeners;
use traincheck_analyzer::run_source::{Progress, RunSource};
use traincheck_schema::run::Run;
use traincheck_tests::{finish, folder, pipeline, preloaded};
use windows::windows;

#[test]
fn of_a_classifier_with_workers_and_of_two_models_that_take_turns() {
    let temporary = folder();
    for (name, arguments) in
        [("digits", &["--epochs", "2", "--workers", "2"][..]), ("gan", &["--epochs", "1", "--steps", "8"])]
    {
        let path = temporary.path().join(name);
        let mut command = preloaded(&path);
        command.arg(pipeline(&format!("{name}.py"))).args(arguments);
        finish(&mut command).exited(0);
        let run = Run::open(&path).expect("a run");
        for process in &run.processes {
            for &relation in RelationName::ALL {
                let progress = Progress::default();
                let whole =
                    windows(Listeners::new(&[kind(relation)]), &mut RunSource::new(process, &progress));
                let needs = complete(&kind(relation).needs);
                let narrow = windows(
                    Listeners::new(&[kind(relation)]),
                    &mut Narrow::new(&mut RunSource::new(process, &progress), &needs),
                );
                let differs = whole.iter().zip(&narrow).find(|(whole, narrow)| whole != narrow);
                assert_eq!(differs, None, "{} of {name}", relation.word());
                assert_eq!(whole.len(), narrow.len(), "{} of {name}", relation.word());
            }
        }
    }
}
