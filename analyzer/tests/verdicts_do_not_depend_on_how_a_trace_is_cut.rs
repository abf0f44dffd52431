//! The same trace gives the same evidence and verdicts in blocks of any size, and references in any order; what was
//! lost raises no alarm.
mod support;

use support::scripts::{Error, Order, Schedule, Script, Style, gan};
use support::{alarms, checked, learn};
use traincheck_analyzer::check::Status;
use traincheck_analyzer::source::{Batch, MemoryTrace};

fn in_blocks(trace: &MemoryTrace, size: usize) -> MemoryTrace {
    let mut batches: Vec<Batch> = Vec::new();
    for batch in &trace.batches {
        for events in batch.events.chunks(size) {
            let from = events.first().map_or(0, |event| event.time);
            let until = batch.events.iter().map(|e| e.time).find(|&t| t > events[events.len() - 1].time);
            let states = batch.states.iter().filter(|s| s.time >= from && until.is_none_or(|u| s.time < u));
            let states = states.copied().collect();
            batches.push(Batch { events: events.to_vec(), states, ..Batch::default() });
        }
    }
    MemoryTrace { batches, ..trace.clone() }
}

#[test]
fn blocks_of_any_size_give_the_same() {
    let traces = [Script::default().run().finish(), gan(1, 3, 4, Error::None).finish()];
    let bad = Script { error: Error::StaleOptimizer, ..Script::default() }.run().finish();
    let whole = learn(&traces);
    let statuses = |trace: &MemoryTrace| -> Vec<(Status, u64, u64)> {
        let found = checked(&whole, trace);
        found.tallies.iter().map(|tally| (tally.status(), tally.held, tally.violated)).collect()
    };
    for size in [1, 2, 7, 50] {
        let cut: Vec<MemoryTrace> = traces.iter().map(|trace| in_blocks(trace, size)).collect();
        let learned = learn(&cut);
        assert_eq!(learned.to_json(), whole.to_json(), "in blocks of {size}");
        assert_eq!(statuses(&in_blocks(&bad, size)), statuses(&bad), "in blocks of {size}");
    }
}

#[test]
fn states_in_the_block_after_their_look_give_the_same() {
    let trace = Script::default().run().finish();
    let mut late = in_blocks(&trace, 1);
    for index in (1..late.batches.len()).rev() {
        let states = std::mem::take(&mut late.batches[index - 1].states);
        late.batches[index].states.splice(0..0, states);
    }
    assert_eq!(learn(&[late]).to_json(), learn(&[trace]).to_json());
}

#[test]
fn the_order_of_the_references_makes_no_difference() {
    let of = |seed, epochs| Script { seed, epochs, ..Script::default() }.run().finish();
    let traces = [of(1, 4), of(2, 5), of(3, 6)];
    let mut files: Vec<String> = Vec::new();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let ordered: Vec<MemoryTrace> = order.iter().map(|&i: &usize| traces[i].clone()).collect();
        // Names come from the position in this helper, so all runs get the same one.
        let mut references = support::references(&ordered);
        references.iter_mut().for_each(|reference| reference.run.name = "run".into());
        files.push(traincheck_analyzer::infer::infer(references).to_json());
    }
    assert_eq!(files[0], files[1]);
    assert_eq!(files[0], files[2]);
}

#[test]
fn what_was_lost_raises_no_alarm() {
    for (order, style) in
        [(Order::First, Style::Flat), (Order::Last, Style::Epochs), (Order::First, Style::Steps)]
    {
        let script = Script { order, style, schedule: Schedule::Epoch, ..Script::default() };
        let invariants = learn(&[
            Script { seed: 2, ..script }.run().finish(),
            Script { seed: 3, ..script }.run().finish(),
        ]);
        let trace = in_blocks(&Script { seed: 9, ..script }.run().finish(), 13);
        for gone in 0..trace.batches.len() - 1 {
            let mut holed = trace.clone();
            let removed = holed.batches.remove(gone);
            holed.batches[gone].lost = removed.events.len() as u64;
            let found = alarms(&invariants, &holed);
            assert!(found.is_empty(), "{found:?} without block {gone} of {script:?}");
        }
    }
}
