//! What calls are given and give back is recorded in the first iterations in which a function is called, and then in ever
//! rarer ones, for calls with gradients and without apart: what runs only in evaluations or at the end is seen, too.

use traincheck_schema::record::{Direction, flags};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, preloaded, script};

/// The iterations of the calls of `function` with a value in this direction, one for each call.
fn iterations(process: &ProcessTrace, function: &str, direction: Direction, gradients: bool) -> Vec<u32> {
    let mut calls: Vec<u64> = process
        .arguments
        .iter()
        .filter(|value| value.direction == direction as u8 && process.name(value.function) == function)
        .map(|value| value.call)
        .collect();
    calls.dedup();
    let entered = |call: &u64| process.events.iter().find(|event| event.call == *call);
    let entered = calls.iter().filter_map(entered);
    entered
        .filter(|event| (event.flags & flags::GRAD != 0) == gradients)
        .map(|event| event.iteration)
        .collect()
}

#[test]
fn every_function_has_samples_of_its_own() {
    let temporary = folder();
    let run = temporary.path().join("run");
    finish(preloaded(&run).arg(script("seldom_called.py"))).exited(0);
    let process = Trace::read(&run).only();
    process.assert_whole();
    let given = |function: &str, gradients| iterations(&process, function, Direction::Argument, gradients);
    let gave = |function: &str, gradients| iterations(&process, function, Direction::Result, gradients);

    // Every iteration: the first three are sampled as a whole.
    assert_eq!(given("__main__.Net.__call__", true), [1, 2, 3, 4, 8, 16, 32]);
    let linear = gave("torch.nn.modules.linear.Linear.__call__", true);
    assert_eq!(linear, [1, 2, 3, 4, 8, 16, 32].map(|iteration| [iteration; 2]).concat());
    assert_eq!(given("torch.nn.functional.mse_loss", true), [1, 2, 3, 4, 8, 16, 32]);

    // Eight evaluations of two batches each, in iterations 5, 10, ... 40.
    assert_eq!(given("__main__.evaluate", true), [5, 10, 15, 20, 40]);
    let evaluated = [5, 10, 15, 20, 40].map(|iteration| [iteration; 2]).concat();
    assert_eq!(given("torch.nn.functional.l1_loss", false), evaluated);

    // Once, at the end: with as much of what it calls as is taken at a time.
    assert_eq!(given("__main__.generate", true), [40]);
    let generated = given("__main__.Net.__call__", false);
    assert_eq!(generated[..8], evaluated[..8]);
    assert_eq!(generated[8..].len(), 256, "two of them in the evaluation of that iteration");

    // What outermost modules give back is looked at in every iteration.
    assert_eq!(gave("__main__.Net.__call__", true), Vec::from_iter(1..=40));
    let looked_at = gave("__main__.Net.__call__", false);
    assert_eq!(looked_at[..14], [5, 10, 15, 20, 25, 30, 35].map(|iteration| [iteration; 2]).concat());
    assert_eq!(looked_at[14..].len(), 2 + 300);
}
