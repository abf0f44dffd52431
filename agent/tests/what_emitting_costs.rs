//! Figures, not a check: `cargo test --release -p traincheck-agent --test what_emitting_costs -- --ignored
//! --nocapture`.

mod common;

use common::{event, info, is_inner, run_inner, state};
use std::hint::black_box;
use std::time::{Duration, Instant};
use traincheck::sink;

/// Nanoseconds a call of `call`, the best of many rounds of `count`, with a pause for the writer in between.
fn best(count: u64, mut call: impl FnMut(u64)) -> f64 {
    let round = |call: &mut dyn FnMut(u64)| {
        std::thread::sleep(Duration::from_millis(15));
        let begun = Instant::now();
        (0..count).for_each(|i| call(black_box(i)));
        begun.elapsed().as_nanos() as f64 / count as f64
    };
    (0..100).map(|_| round(&mut call)).fold(f64::MAX, f64::min)
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    if is_inner() {
        let begun = Instant::now();
        assert!(sink::start(info()));
        let starting = begun.elapsed();
        let begun = Instant::now();
        sink::emit(&event(0));
        let first = begun.elapsed();
        let event = event(1);
        let state = state(1);
        // Rounds of 2,000 go round the ring; from the second lap on it is warm.
        println!("emit an event         {:6.1} ns", best(2_000, |_| sink::emit(black_box(&event))));
        println!("emit a state          {:6.1} ns", best(1_000, |_| sink::emit_state(black_box(&state))));
        println!("the time              {:6.1} ns", best(2_000, |_| _ = black_box(sink::now())));
        println!("the id of a call      {:6.1} ns", best(2_000, |_| _ = black_box(sink::next_call())));
        let name = b"autograd::engine::evaluate_function: AddmmBackward0";
        println!(
            "an op that is known   {:6.1} ns",
            best(2_000, |_| _ = black_box(sink::op(black_box(name), 0)))
        );
        println!(
            "a text that is known  {:6.1} ns",
            best(2_000, |_| _ = black_box(sink::text(black_box("1,2,3"))))
        );
        println!("to start the run      {starting:?}, the first record of a thread {first:?}");
        let begun = Instant::now();
        let (mut sent, mut longest) = (0_u64, Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(2) {
            let each = Instant::now();
            (0..1_000).for_each(|_| sink::emit(&event));
            longest = longest.max(each.elapsed());
            sent += 1_000;
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("paced: {} events a second; the slowest thousand took {longest:?}", sent / 2);
        sink::seal("exit");
        let begun = Instant::now();
        (0..1_000_000).for_each(|_| sink::emit(black_box(&event)));
        println!("emit after the end    {:6.1} ns", begun.elapsed().as_nanos() as f64 / 1e6);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = run_inner("figures", folder.path());
    print!("{}", String::from_utf8_lossy(&output.stdout));
    let found = common::read(folder.path());
    let account = &found.ending.as_ref().unwrap().account;
    println!(
        "{} events, {} states, {account:?}",
        found.count(),
        found.states.values().map(Vec::len).sum::<usize>()
    );
    println!("dropped: {:?}", found.dropped.iter().map(|dropped| dropped.count).sum::<u64>());
}
