//! The ranks of a process group enter the same collectives, get what these promise, wait for them, and take gradients to one another.
mod support;

use support::torch::Torch;
use support::torch::collectives::{ALL_REDUCE, Called, Group};
use support::{Value, alarms, alarms_of_job, learn, learn_jobs, library_of};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{
    Attribute, CollectiveKind, EventKind, ObjectKind, ReduceKind, Role, VariableKind,
};

const NAMES: &[&str] = &["hidden.weight", "head.weight", "norm._mean"];

/// A rank that reduces something before each step: what, `called` says for each iteration.
fn rank(number: u32, iterations: u32, called: impl Fn(u32) -> Called) -> MemoryTrace {
    let mut torch = Torch::new(3);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer("AdamW", &[model]);
    let group = torch.group(number, 2);
    for iteration in 1..=iterations {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.collective(group, called(iteration));
        torch.step(optimizer);
    }
    torch.finish()
}

fn job(called: impl Fn(u32) -> Called) -> Vec<MemoryTrace> {
    vec![rank(0, 10, |_| ALL_REDUCE), rank(1, 10, called)]
}

/// A rank that trains by itself for so many steps in each round, after which all take a mean.
fn local(number: u32, rounds: &[u32]) -> MemoryTrace {
    let mut torch = Torch::new(3);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer("AdamW", &[model]);
    let group = torch.group(number, 2);
    for steps in rounds {
        for _ in 0..*steps {
            torch.zero_grad(optimizer);
            torch.forward(model, 10);
            torch.backward(&[model]);
            torch.step(optimizer);
        }
        torch.collective(group, ALL_REDUCE);
    }
    torch.finish()
}

fn rounds(of: &[u32], other: &[u32]) -> Vec<String> {
    let good = || vec![local(0, &[4, 4, 4, 4]), local(1, &[4, 4, 4, 4])];
    alarms_of_job(&learn_jobs(&[good(), good()]), &[local(0, of), local(1, other)])
}

#[test]
fn ranks_that_enter_the_same_collectives_are_clean() {
    assert!(
        alarms_of_job(&learn_jobs(&[job(|_| ALL_REDUCE), job(|_| ALL_REDUCE)]), &job(|_| ALL_REDUCE))
            .is_empty()
    );
}

#[test]
fn another_reduction_size_or_kind_on_one_rank_is_found() {
    let learned = learn_jobs(&[job(|_| ALL_REDUCE), job(|_| ALL_REDUCE)]);
    for other in [
        Called { reduce: ReduceKind::Max, ..ALL_REDUCE },
        Called { elements: 32, ..ALL_REDUCE },
        Called { kind: CollectiveKind::Broadcast, reduce: ReduceKind::None, ..ALL_REDUCE },
    ] {
        let job = job(|iteration| if iteration == 5 { other } else { ALL_REDUCE });
        assert_eq!(alarms_of_job(&learned, &job), ["collectives-differ-between-ranks [] of 2 since 5"]);
    }
}

#[test]
fn no_reference_is_needed_for_ranks_that_enter_different_collectives() {
    use traincheck_analyzer::relation::collective::claim::{Claim, Outcome, Property, Subject};
    let claim = |property| Claim {
        subject: Subject::Entered { group: "*".into() },
        outcome: Outcome::Same { property },
    };
    let library = library_of(Property::ALL.map(claim));
    let other = Called { reduce: ReduceKind::Max, ..ALL_REDUCE };
    let found = alarms_of_job(&library, &job(|iteration| if iteration < 5 { ALL_REDUCE } else { other }));
    assert_eq!(found, ["collectives-differ-between-ranks [] of 2 since 5"]);
    assert!(alarms_of_job(&library, &job(|_| ALL_REDUCE)).is_empty());
}

#[test]
fn a_round_that_is_shorter_on_one_rank_is_found() {
    assert!(rounds(&[4, 4, 4, 4], &[4, 4, 4, 4]).is_empty());
    assert!(rounds(&[6, 2, 3, 5], &[6, 2, 3, 5]).is_empty(), "as long as all of them like");
    assert_eq!(rounds(&[4, 4, 4, 4], &[4, 3, 4, 4]), ["steps-differ-between-ranks [] of 2 since 7"]);
}

/// As with `join`: it takes part in what the others do, and trains no more.
#[test]
fn a_rank_that_is_out_of_data_is_not_behind() {
    assert!(rounds(&[4, 4, 4, 4], &[4, 4, 3, 0]).is_empty());
}

#[test]
fn a_handle_that_nobody_waits_for_is_found() {
    let learned = learn_jobs(&[job(|_| ALL_REDUCE), job(|_| ALL_REDUCE)]);
    let forgotten = Called { waited: false, ..ALL_REDUCE };
    let once = job(|iteration| if iteration == 5 { forgotten } else { ALL_REDUCE });
    assert_eq!(alarms_of_job(&learned, &once), ["handles-never-waited-for since 5"]);
    let unlearned = learn_jobs(&[job(|_| forgotten), job(|_| forgotten)]);
    assert!(alarms_of_job(&unlearned, &once).is_empty());
}

/// Ranks that reduce something before each step and wait for many of them at once.
fn waits_for_many(iterations: u32, at_once: usize) -> Vec<MemoryTrace> {
    let rank = |number: u32| {
        let mut torch = Torch::new(3);
        let model = torch.model("Net", NAMES);
        let optimizer = torch.optimizer("AdamW", &[model]);
        let group = torch.group(number, 2);
        let mut open = Vec::new();
        for _ in 1..=iterations {
            torch.forward(model, 10);
            torch.backward(&[model]);
            open.push(torch.begin(group, Called { waited: false, ..ALL_REDUCE }));
            if open.len() == at_once {
                open.drain(..).for_each(|one| torch.wait(one));
            }
            torch.step(optimizer);
        }
        torch.finish()
    };
    vec![rank(0), rank(1)]
}

#[test]
fn handles_may_be_waited_for_many_at_once() {
    let learned = learn_jobs(&[waits_for_many(20, 1), waits_for_many(20, 1)]);
    assert!(alarms_of_job(&learned, &waits_for_many(20, 8)).is_empty());
    let never = alarms_of_job(&learned, &waits_for_many(20, usize::MAX));
    assert_eq!(never, ["handles-never-waited-for since 1"]);
}

/// One of so many ranks, whose backward passes enter what `called` says for each iteration: the first of two in each.
fn exchanges(ranks: u32, called: impl Fn(u32) -> Vec<Called>) -> MemoryTrace {
    let mut torch = Torch::new(3);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer("AdamW", &[model]);
    let group = torch.group(0, ranks);
    torch.collective(group, BROADCAST);
    for iteration in 1..=10 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward_entering(&[model], group, &called(iteration));
        torch.backward(&[model]);
        torch.step(optimizer);
    }
    MemoryTrace { world_size: ranks, ..torch.finish() }
}

const BROADCAST: Called = Called {
    kind: CollectiveKind::Broadcast,
    reduce: ReduceKind::None,
    elements: 64,
    peer: 0,
    waited: true,
    contents: None,
};
const SCATTER: Called = Called { kind: CollectiveKind::Scatter, ..BROADCAST };

#[test]
fn a_backward_pass_that_takes_no_gradient_to_other_ranks_is_found() {
    let good = || exchanges(2, |_| vec![ALL_REDUCE, SCATTER]);
    let learned = learn(&[good(), good()]);
    assert_eq!(alarms(&learned, &good()), [""; 0]);
    assert_eq!(alarms(&learned, &exchanges(4, |_| vec![SCATTER, ALL_REDUCE, ALL_REDUCE])), [""; 0]);
    let found = alarms(&learned, &exchanges(2, |_| vec![ALL_REDUCE]));
    assert_eq!(found, ["gradients-not-exchanged"]);
    let once =
        exchanges(2, |iteration| if iteration == 7 { vec![SCATTER] } else { vec![ALL_REDUCE, SCATTER] });
    assert_eq!(alarms(&learned, &once), ["gradients-not-exchanged"]);
}

#[test]
fn what_has_no_ranks_or_does_not_always_exchange_gradients_need_not() {
    let good = || exchanges(2, |_| vec![ALL_REDUCE]);
    assert_eq!(alarms(&learn(&[good(), good()]), &exchanges(1, |_| Vec::new())), [""; 0]);
    let now_and_then = |every: u32| {
        exchanges(2, move |iteration| if iteration % every == 0 { vec![ALL_REDUCE] } else { Vec::new() })
    };
    let learned = learn(&[now_and_then(2), now_and_then(2)]);
    assert_eq!(alarms(&learned, &now_and_then(5)), [""; 0]);
    // Along a dimension of a mesh that has one rank nothing is exchanged.
    let in_part = || {
        let mut torch = Torch::new(3);
        let model = torch.model("Net", NAMES);
        let optimizer = torch.optimizer("AdamW", &[model]);
        let group = torch.group(0, 2);
        for _ in 0..10 {
            torch.forward(model, 10);
            torch.backward_entering(&[model], group, &[SCATTER]);
            torch.step(optimizer);
        }
        MemoryTrace { world_size: 4, ..torch.finish() }
    };
    assert_eq!(alarms(&learn(&[in_part(), in_part()]), &exchanges(2, |_| vec![ALL_REDUCE])), [""; 0]);
    // What another setting of a wrapper fetches is no gradient.
    let fetches = || exchanges(2, |_| vec![ALL_REDUCE, BROADCAST]);
    assert_eq!(alarms(&learn(&[fetches(), fetches()]), &good()), [""; 0]);
    // Another wrapper reduces in another way.
    let scatters = Called { kind: CollectiveKind::ReduceScatterTensor, ..ALL_REDUCE };
    assert_eq!(alarms(&learn(&[good(), good()]), &exchanges(2, |_| vec![scatters])), [""; 0]);
}

/// Gradients are reduced where the backward pass is over, or along a dimension of a mesh.
fn exchanges_behind(ranks: u32, group_size: u32) -> MemoryTrace {
    let mut torch = Torch::new(3);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer("AdamW", &[model]);
    let group = torch.group(0, group_size);
    for _ in 1..=10 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        let within: &[Called] = if group_size == ranks { &[] } else { &[ALL_REDUCE] };
        torch.backward_entering(&[model], group, within);
        if group_size == ranks {
            torch.collective(group, ALL_REDUCE);
        }
        torch.step(optimizer);
    }
    MemoryTrace { world_size: ranks, ..torch.finish() }
}

#[test]
fn gradients_may_go_to_other_ranks_behind_the_backward_pass_or_to_some_of_them() {
    let good = || exchanges(2, |_| vec![ALL_REDUCE]);
    let learned = learn(&[good(), good()]);
    assert_eq!(alarms(&learned, &exchanges_behind(2, 2)), [""; 0]);
    assert_eq!(alarms(&learned, &exchanges_behind(4, 2)), [""; 0]);
    assert_eq!(alarms(&learned, &exchanges(2, |_| Vec::new())), ["gradients-not-exchanged"]);
    // From such references nothing is learned of backward passes.
    let unlearned = learn(&[exchanges_behind(2, 2), exchanges_behind(2, 2)]);
    assert_eq!(alarms(&unlearned, &exchanges(2, |_| Vec::new())), [""; 0]);
}

/// Two ranks that put this in before each step, and get that.
fn contents(
    kind: CollectiveKind,
    reduce: ReduceKind,
    of: impl Fn(u32, u32) -> (f64, f64),
) -> Vec<MemoryTrace> {
    let rank_of = |number: u32| {
        let peer = match kind {
            CollectiveKind::Recv => 1 - i32::try_from(number).unwrap(),
            _ => 0,
        };
        let of = &of;
        rank(number, 10, move |iteration| {
            let is_sent = kind == CollectiveKind::Recv && number == 0;
            let kind = if is_sent { CollectiveKind::Send } else { kind };
            Called { kind, reduce, peer, contents: Some(of(number, iteration)), ..ALL_REDUCE }
        })
    };
    vec![rank_of(0), rank_of(1)]
}

/// What is found in a job that gets something else in iteration 5, on the last rank.
fn wrong(kind: CollectiveKind, reduce: ReduceKind, good: (f64, f64), got: (f64, f64)) -> Vec<String> {
    let of = |wrong: (f64, f64)| {
        move |rank: u32, iteration: u32| {
            let given = f64::from(rank + 1) + f64::from(iteration);
            let (factor, rest) = if rank == 1 && iteration == 5 { wrong } else { good };
            (given, factor * f64::from(iteration) + rest)
        }
    };
    let learned = learn_jobs(&[contents(kind, reduce, of(good)), contents(kind, reduce, of(good))]);
    assert!(alarms_of_job(&learned, &contents(kind, reduce, of(good))).is_empty());
    alarms_of_job(&learned, &contents(kind, reduce, of(got)))
}

#[test]
fn what_a_collective_gives_is_held_to_what_goes_in() {
    let found = wrong(CollectiveKind::AllReduce, ReduceKind::Sum, (2.0, 3.0), (2.0, 4.0));
    assert_eq!(found, ["changed-under-way [] of 2 since 5"], "of two nobody can say which");
    let found = wrong(CollectiveKind::Broadcast, ReduceKind::None, (1.0, 1.0), (1.0, 2.0));
    assert_eq!(found, ["changed-under-way [] of 2 since 5"]);
    let found = wrong(CollectiveKind::Recv, ReduceKind::None, (1.0, 1.0), (1.0, 2.0));
    assert_eq!(found, ["changed-under-way [1] of 2 since 5"]);
    // The same on both, and no sum.
    let lost = |iteration| iteration == 5;
    let of = |is_lost: fn(u32) -> bool| {
        contents(CollectiveKind::AllReduce, ReduceKind::Sum, move |rank, iteration| {
            let (own, all) = (f64::from(rank + iteration), f64::from(2 * iteration + 1));
            (own, if is_lost(iteration) { f64::from(iteration) } else { all })
        })
    };
    let learned = learn_jobs(&[of(|_| false), of(|_| false)]);
    assert_eq!(alarms_of_job(&learned, &of(lost)), ["changed-under-way [] of 2 since 5"]);
}

/// Two ranks that send each other something before each step; what the last one gets in one iteration is something else.
fn exchanging(iterations: u32, wrong: u32) -> Vec<MemoryTrace> {
    let of = |number: u32| {
        let mut torch = Torch::new(3);
        let model = torch.model("Net", NAMES);
        let optimizer = torch.optimizer("AdamW", &[model]);
        let group = torch.group(number, 2);
        let peer = 1 - i32::try_from(number).unwrap();
        for iteration in 1..=iterations {
            let sent = f64::from(number * 100_000 + iteration);
            let got = f64::from((1 - number) * 100_000 + iteration);
            let got = if number == 1 && iteration == wrong { got + 0.5 } else { got };
            let message = |kind, contents| Called { kind, peer, contents: Some(contents), ..BROADCAST };
            torch.forward(model, 10);
            torch.backward(&[model]);
            torch.collective(group, message(CollectiveKind::Send, (sent, 0.0)));
            torch.collective(group, message(CollectiveKind::Recv, (0.0, got)));
            torch.step(optimizer);
        }
        torch.finish()
    };
    vec![of(0), of(1)]
}

#[test]
fn of_any_number_of_messages_each_is_compared() {
    let learned = learn_jobs(&[exchanging(10, 0), exchanging(10, 0)]);
    assert!(alarms_of_job(&learned, &exchanging(10, 0)).is_empty());
    let found = alarms_of_job(&learned, &exchanging(4200, 4150));
    assert_eq!(found, ["changed-under-way [1] of 2 since 4150"]);
}

#[test]
fn what_is_no_sum_any_more_on_all_ranks_alike_is_found() {
    let of = |reduce| {
        contents(CollectiveKind::AllReduce, reduce, move |rank, iteration| {
            let (own, least) = (f64::from(rank + iteration), f64::from(iteration));
            let got = match reduce {
                ReduceKind::Sum => 2.0 * least + 1.0,
                ReduceKind::Avg => least + 0.5,
                _ => least + 1.0,
            };
            (own, got)
        })
    };
    let learned = learn_jobs(&[of(ReduceKind::Sum), of(ReduceKind::Sum)]);
    assert_eq!(alarms_of_job(&learned, &of(ReduceKind::Max)), ["reduced-in-another-way [] of 2 since 1"]);
    assert!(alarms_of_job(&learned, &of(ReduceKind::Avg)).is_empty());
    let learned = learn_jobs(&[of(ReduceKind::Max), of(ReduceKind::Sum)]);
    assert!(alarms_of_job(&learned, &of(ReduceKind::Max)).is_empty());
}

/// Two ranks, each of which does something between backward pass and step: by its number and the iteration.
fn reducing(between: impl Fn(&mut Torch, Group, u32, u32)) -> Vec<MemoryTrace> {
    let rank = |number: u32| {
        let mut torch = Torch::new(3);
        let model = torch.model("Net", NAMES);
        let optimizer = torch.optimizer("AdamW", &[model]);
        let group = torch.group(number, 2);
        for iteration in 1..=10 {
            torch.zero_grad(optimizer);
            torch.forward(model, 10);
            torch.backward(&[model]);
            between(&mut torch, group, number, iteration);
            torch.step(optimizer);
        }
        torch.finish()
    };
    vec![rank(0), rank(1)]
}

#[test]
fn what_was_reduced_before_is_found_where_the_references_reduce_what_differs() {
    // What ranks put in before each step, one after the other, and the sums that they get.
    let of = |puts_in: fn(u32) -> Vec<[f64; 2]>| {
        reducing(move |torch, group, number, iteration| {
            for put_in in puts_in(iteration) {
                let contents = Some((put_in[number as usize], put_in[0] + put_in[1]));
                torch.collective(group, Called { contents, ..ALL_REDUCE });
            }
        })
    };
    let good = |_| vec![[1.0, 2.0]];
    let again = |at| if at > 3 { vec![[1.0, 2.0], [1.5, 1.5]] } else { vec![[1.0, 2.0]] };
    let learned = learn_jobs(&[of(good), of(good)]);
    assert!(alarms_of_job(&learned, &of(good)).is_empty());
    assert_eq!(alarms_of_job(&learned, &of(again)), ["reduced-more-than-once [] of 2 since 4"]);
    let sum_again = |_| vec![[1.0, 2.0], [3.0, 3.0]];
    assert_eq!(alarms_of_job(&learned, &of(sum_again)), ["reduced-more-than-once [] of 2 since 1"]);
    // What is the same on all ranks and comes from elsewhere: a weight, a count, a batch that all of them have.
    assert!(alarms_of_job(&learned, &of(|_| vec![[1.0, 2.0], [7.0, 7.0]])).is_empty());
    assert!(alarms_of_job(&learned, &of(|_| vec![[7.0, 7.0]])).is_empty());
    let unlearned = learn_jobs(&[of(again), of(good)]);
    assert!(alarms_of_job(&unlearned, &of(again)).is_empty());
}

/// Two ranks that add up the gradients of a parameter and step with so many times the mean.
fn adds_up_gradients(times: impl Fn(u32) -> f64) -> Vec<MemoryTrace> {
    let rank = |number: u32| {
        let mut torch = Torch::new(3);
        let group = torch.group(number, 2);
        let root = torch.record.object("Net", ObjectKind::Module, "train.Net");
        let weight = torch.record.variable("Net.weight", VariableKind::Parameter, root);
        let optimizer = torch.record.object("SGD", ObjectKind::Optimizer, "torch.optim.SGD");
        for iteration in 1..=10 {
            let (own, sum) = (f64::from(number + iteration), f64::from(2 * iteration + 1));
            torch.record.iteration += 1;
            torch.record.event(EventKind::Iteration, 0, 0, 0, 0, 0);
            torch.record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
            torch.record.look(false);
            torch.record.state(weight, Attribute::HeldBy, Value::Text(optimizer.to_string()));
            torch.record.state(weight, Attribute::Grad, Value::Tensor(own.to_bits()));
            torch.record.exit(false);
            torch.collective(group, Called { contents: Some((own, sum)), ..ALL_REDUCE });
            torch.record.enter("torch.optim.SGD.step", Role::OptimizerStep, optimizer, 0);
            torch.record.look(true);
            // The norm of 64 elements that all are the mean.
            let norm = (times(iteration) * sum / 2.0 * 8.0).round() as u64;
            torch.record.state(weight, Attribute::Grad, Value::Tensor(norm));
            torch.record.exit(false);
        }
        torch.finish()
    };
    vec![rank(0), rank(1)]
}

#[test]
fn gradients_that_are_stepped_with_as_a_sum_are_found() {
    let learned = learn_jobs(&[adds_up_gradients(|_| 1.0), adds_up_gradients(|_| 1.0)]);
    assert!(alarms_of_job(&learned, &adds_up_gradients(|_| 1.0)).is_empty());
    let sums = adds_up_gradients(|iteration| if iteration < 5 { 1.0 } else { 2.0 });
    assert_eq!(alarms_of_job(&learned, &sums), ["gradients-added-up-and-not-divided since 5"]);
    assert!(alarms_of_job(&learned, &adds_up_gradients(|_| 0.25)).is_empty(), "clipped");
    let clipped = |iteration: u32| if iteration.is_multiple_of(3) { 0.5 } else { 1.0 };
    let learned = learn_jobs(&[adds_up_gradients(clipped), adds_up_gradients(clipped)]);
    assert_eq!(alarms_of_job(&learned, &sums), ["gradients-added-up-and-not-divided since 5"]);
    // What adds something to the mean says nothing of what is the mean.
    let learned = learn_jobs(&[adds_up_gradients(|_| 1.0), adds_up_gradients(|_| 1.2)]);
    assert!(alarms_of_job(&learned, &sums).is_empty());
}

#[test]
fn what_is_not_added_up_or_has_no_sum_takes_nothing_from_what_is() {
    let of = |with_others: bool, is_wrong: bool| {
        reducing(move |torch, group, number, iteration| {
            let sum = if is_wrong && iteration == 5 { 2.0 } else { 3.0 };
            let contents = Some((f64::from(number + 1), sum));
            torch.collective(group, Called { contents, ..ALL_REDUCE });
            if with_others {
                let largest = Called { reduce: ReduceKind::Max, contents: Some((2.0, 2.0)), ..ALL_REDUCE };
                torch.collective(group, Called { elements: 20, ..largest });
                torch.collective(group, Called { contents: None, ..ALL_REDUCE });
            }
        })
    };
    let learned = learn_jobs(&[of(true, false), of(true, false)]);
    assert!(alarms_of_job(&learned, &of(true, false)).is_empty());
    assert_eq!(alarms_of_job(&learned, &of(true, true)), ["changed-under-way [] of 2 since 5"]);
    // The largest of few numbers is no gradient that is reduced in another way.
    let learned = learn_jobs(&[of(false, false), of(false, false)]);
    assert!(alarms_of_job(&learned, &of(true, false)).is_empty());
}

/// Two ranks of which each does these, one after the other, and whether `hang` finds something.
fn hangs(of: &[Called], other: &[Called]) -> bool {
    let rank = |number: u32, called: &[Called]| {
        let mut torch = Torch::new(3);
        let group = torch.group(number, 2);
        called.iter().for_each(|called| torch.collective(group, *called));
        torch.finish()
    };
    let ranks = [rank(0, of), rank(1, other)];
    traincheck_analyzer::hang::find(support::members(&ranks), &[0, 0]).is_found()
}

#[test]
fn messages_of_another_size_are_found_where_it_is_known_which_they_are() {
    let message = |kind, peer, elements| Called { kind, peer, elements, ..BROADCAST };
    let sent = [message(CollectiveKind::Send, 0, 2), message(CollectiveKind::Send, 0, 3)];
    let received = |first| [message(CollectiveKind::Recv, 1, first), message(CollectiveKind::Recv, 1, 3)];
    assert!(!hangs(&received(2), &sent));
    assert!(hangs(&received(4), &sent));
    let from_any = message(CollectiveKind::RecvAnySource, -1, 2);
    assert!(!hangs(&[from_any, message(CollectiveKind::Recv, 1, 3)], &sent));
}
