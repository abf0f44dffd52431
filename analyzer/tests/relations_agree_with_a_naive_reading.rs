//! Contain, cover, lead and count count what a plain reading of the whole trace counts.
mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use support::Recorder;
use traincheck_analyzer::call::Call;
use traincheck_analyzer::evidence::{Cells, RunEvidence};
use traincheck_analyzer::infer::read;
use traincheck_analyzer::relation::claim::{Outcome, RelationName, Subject};
use traincheck_analyzer::relation::count::claim::Stretch;
use traincheck_analyzer::relation::count::times::Times;
use traincheck_analyzer::relation::cover::claim::Among;
use traincheck_analyzer::relation::{contain, count, cover, lead};
use traincheck_schema::record::{EventKind, Role};

const FUNCTIONS: &[(&str, Role)] = &[
    ("__main__.epoch", Role::User),
    ("__main__.helper", Role::User),
    ("torch.Tensor.backward", Role::Backward),
    ("torch.autograd.backward", Role::Backward),
    ("torch.optim.SGD.step", Role::OptimizerStep),
    ("torch.optim.SGD.zero_grad", Role::ZeroGrad),
    ("torch.nn.utils.clip_grad_norm_", Role::ClipGrad),
    ("torch.internal", Role::Other),
];

/// A call and what it calls.
#[derive(Clone, Debug)]
struct Node {
    function: usize,
    calls: Vec<Node>,
}

/// A call at the top of a thread, after the beginning of an iteration or not.
#[derive(Clone, Debug)]
struct Top {
    thread: u16,
    iteration: bool,
    node: Node,
}

fn nodes() -> impl Strategy<Value = Node> {
    let leaf = (0..FUNCTIONS.len()).prop_map(|function| Node { function, calls: Vec::new() });
    leaf.prop_recursive(4, 40, 6, |inner| {
        (0..FUNCTIONS.len(), prop::collection::vec(inner, 0..6))
            .prop_map(|(function, calls)| Node { function, calls })
    })
}

fn programs() -> impl Strategy<Value = Vec<Top>> {
    let top = (0..2u16, any::<bool>(), nodes());
    prop::collection::vec(top.prop_map(|(thread, iteration, node)| Top { thread, iteration, node }), 1..14)
}

/// A call, as the plain reading sees it: where it begins and ends in the sequence of everything.
#[derive(Clone, Debug)]
struct Seen {
    function: usize,
    thread: u16,
    parent: usize,
    begin: usize,
    end: usize,
    counts: bool,
}

#[derive(Default)]
struct Reading {
    calls: Vec<Seen>,
    iterations: Vec<(usize, u16)>,
    clock: usize,
}

impl Reading {
    fn read(&mut self, node: &Node, thread: u16, around: &[usize], record: &mut Recorder) {
        let (name, role) = FUNCTIONS[node.function];
        record.enter(name, role, 0, 0);
        self.clock += 1;
        let number = self.calls.len();
        let again = around.iter().any(|&outer| match role {
            Role::User => self.calls[outer].function == node.function,
            _ => FUNCTIONS[self.calls[outer].function].1 == role,
        });
        self.calls.push(Seen {
            function: node.function,
            thread,
            parent: around.last().map_or(usize::MAX, |&outer| outer),
            begin: self.clock,
            end: 0,
            counts: role != Role::Other && !again,
        });
        let inside: Vec<usize> = around.iter().copied().chain([number]).collect();
        for call in &node.calls {
            self.read(call, thread, &inside, record);
        }
        self.clock += 1;
        self.calls[number].end = self.clock;
        record.exit(false);
    }
}

fn run(program: &[Top]) -> (Reading, RunEvidence) {
    let mut record = Recorder::default();
    record.iteration = 5;
    let mut reading = Reading::default();
    for top in program {
        record.thread = top.thread;
        if top.iteration {
            record.iteration += 1;
            record.event(EventKind::Iteration, 0, 0, 0, 0, 0);
            reading.clock += 1;
            reading.iterations.push((reading.clock, top.thread));
        }
        reading.read(&top.node, top.thread, &[], &mut record);
    }
    let trace = record.finish(5, None);
    (reading, read(&mut trace.source(), 100).0)
}

/// How many windows there were of a subject, and in how many of them each function was called.
type Counts = BTreeMap<Subject, (u64, BTreeMap<usize, u64>)>;

fn call(function: usize) -> Call {
    let (name, role) = FUNCTIONS[function];
    Call { function: name.into(), role, object: None }
}

fn add(counts: &mut Counts, subject: impl Into<Subject>, called: impl Iterator<Item = usize>) {
    let (total, held) = counts.entry(subject.into()).or_default();
    *total += 1;
    let mut called: Vec<usize> = called.collect();
    called.sort_unstable();
    called.dedup();
    for function in called {
        *held.entry(function).or_default() += 1;
    }
}

fn sum(cells: &Cells) -> u64 {
    cells.values().flatten().sum()
}

/// That a function is called, as the relation has it.
fn called(relation: RelationName, function: usize) -> Outcome {
    let call = call(function);
    match relation {
        RelationName::Contain => contain::claim::Outcome::Called { call }.into(),
        RelationName::Cover => cover::claim::Outcome::Called { call }.into(),
        _ => lead::claim::Outcome::Called { call }.into(),
    }
}

fn counted(evidence: &RunEvidence, relation: RelationName) -> Counts {
    let mut counts = Counts::new();
    for (subject, found) in &evidence.subjects {
        if subject.relation() != relation || found.total.is_empty() {
            continue;
        }
        let held = (0..FUNCTIONS.len())
            .filter_map(|function| {
                let cells = found.held.get(&called(relation, function))?;
                Some((function, sum(cells)))
            })
            .collect();
        counts.insert(subject.clone(), (sum(&found.total), held));
    }
    counts
}

/// How many windows there were of a subject, and in how many of them it happened so often.
type Happenings = BTreeMap<Subject, (u64, BTreeMap<Times, u64>)>;

/// One window for each function that such stretches are known to have called.
fn happen(happenings: &mut Happenings, per: &Stretch, known: &BTreeSet<usize>, inside: &[usize]) {
    for &function in known {
        let subject = count::claim::Subject::Calls { call: call(function), per: per.clone() };
        let (total, times) = happenings.entry(subject.into()).or_default();
        *total += 1;
        let often = match inside.iter().filter(|inner| **inner == function).count() {
            0 => Some(Times::Never),
            1 => Some(Times::Once),
            _ if matches!(per, Stretch::Call { .. }) => None,
            number => u32::try_from(number).ok().filter(|&number| number <= 16).map(Times::Number),
        };
        if let Some(often) = often {
            *times.entry(often).or_default() += 1;
        }
    }
}

fn is_critical(function: usize) -> bool {
    !matches!(FUNCTIONS[function].1, Role::User | Role::Other)
}

/// What comes between two calls, read plainly.
fn between(reading: &Reading, expected: &mut Counts) {
    let role = |seen: &Seen| FUNCTIONS[seen.function].1;
    let inside_step = |seen: &Seen| {
        let around =
            reading.calls.iter().filter(|outer| outer.thread == seen.thread && outer.begin < seen.begin);
        around.filter(|outer| outer.end > seen.end).any(|outer| role(outer) == Role::OptimizerStep)
    };
    // By thread: whether the windows of `zero_grad` so far saw gradients thrown away.
    let mut discards: BTreeMap<u16, Vec<bool>> = BTreeMap::new();
    for later in reading.calls.iter().filter(|call| call.counts) {
        let pairs: &[(Role, &[Role])] = match role(later) {
            Role::OptimizerStep => {
                &[(Role::Backward, &[Role::ClipGrad]), (Role::ZeroGrad, &[Role::Backward])]
            }
            Role::ClipGrad => &[(Role::Backward, &[])],
            Role::ZeroGrad if !inside_step(later) => &[(Role::Backward, &[Role::OptimizerStep])],
            _ => continue,
        };
        let before: Vec<&Seen> = reading
            .calls
            .iter()
            .filter(|other| other.counts && other.thread == later.thread && other.begin < later.begin)
            .collect();
        let last = before.iter().rev().find(|other| other.function == later.function);
        let since = last.map_or(0, |last| last.end);
        for (earlier, inner) in pairs {
            let Some(first) = before.iter().rev().find(|other| role(other) == *earlier) else { continue };
            if first.begin < since {
                continue;
            }
            // What its closure will do is not known when a step begins.
            let has_closure = before.iter().any(|step| {
                let within = |other: &&&Seen| step.begin < other.begin && other.begin < step.end;
                step.function == later.function
                    && before.iter().filter(within).any(|other| role(other) == Role::Backward)
            });
            if *earlier == Role::ZeroGrad && has_closure {
                continue;
            }
            // A step comes when it ends, after what its closure does.
            let follows = |other: &Seen| {
                other.begin > first.begin || role(other) == Role::OptimizerStep && other.end > first.begin
            };
            let called: Vec<usize> = before
                .iter()
                .filter(|other| follows(other) && inner.contains(&role(other)))
                .map(|other| other.function)
                .collect();
            if role(later) == Role::ZeroGrad {
                let history = discards.entry(later.thread).or_default();
                history.push(called.is_empty());
                let stepped = reading
                    .calls
                    .iter()
                    .any(|other| role(other) == Role::OptimizerStep && other.begin < later.begin);
                let again = match stepped {
                    true => history.iter().rev().skip(1).take(2).any(|&thrown| thrown),
                    false => history.iter().rev().take_while(|&&thrown| thrown).count() >= 32,
                };
                if called.is_empty() && !again {
                    continue;
                }
            }
            if last.is_none() {
                continue;
            }
            let subject =
                cover::claim::Subject::Between { earlier: call(first.function), later: call(later.function) };
            add(expected, subject, called.into_iter());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn contain(program in programs()) {
        let (reading, evidence) = run(&program);
        let mut expected = Counts::new();
        for outer in reading.calls.iter().filter(|outer| outer.counts) {
            if !matches!(FUNCTIONS[outer.function].1, Role::User | Role::Backward | Role::OptimizerStep) {
                continue;
            }
            let inside = reading.calls.iter().filter(|inner| {
                inner.counts && inner.thread == outer.thread && inner.begin > outer.begin && inner.end < outer.end
            });
            let inside: Vec<usize> = inside.map(|inner| inner.function).collect();
            // A step that calls nothing was given no closure, and says nothing about closures.
            if !inside.is_empty() || FUNCTIONS[outer.function].1 != Role::OptimizerStep {
                add(&mut expected, contain::claim::Subject::Call { call: call(outer.function) }, inside.into_iter());
            }
        }
        for pair in reading.iterations.windows(2) {
            let [(begin, thread), (end, _)] = pair else { unreachable!() };
            let inside: Vec<&Seen> = reading.calls.iter().filter(|call| {
                call.thread == *thread && call.begin > *begin && call.begin < *end
            }).collect();
            if inside.iter().any(|call| FUNCTIONS[call.function].1 == Role::Backward) {
                let counting = inside.iter().filter(|call| call.counts);
                add(&mut expected, contain::claim::Subject::Iteration, counting.map(|call| call.function));
            }
        }
        prop_assert_eq!(counted(&evidence, RelationName::Contain), expected);
    }

    #[test]
    fn cover(program in programs()) {
        let (reading, evidence) = run(&program);
        let mut expected = Counts::new();
        let critical = reading.calls.iter().filter(|call| call.counts && is_critical(call.function));
        for later in critical {
            let before = |other: &&Seen| other.counts && other.thread == later.thread && other.begin < later.begin;
            let same_level: Vec<&Seen> =
                reading.calls.iter().filter(before).filter(|other| other.parent == later.parent).collect();
            let thread: Vec<&Seen> =
                reading.calls.iter().filter(before).filter(|other| is_critical(other.function)).collect();
            for (level, calls) in [(Among::Same, same_level), (Among::Thread, thread)] {
                let last = calls.iter().rev().find(|other| other.function == later.function);
                let since = last.map_or(0, |last| last.begin);
                let functions: Vec<usize> =
                    calls.iter().filter(|other| other.begin > since).map(|other| other.function).collect();
                let call = call(later.function);
                if level == Among::Same {
                    let subject = cover::claim::Subject::Before { call: call.clone(), level, first: true };
                    add(&mut expected, subject, functions.iter().copied());
                }
                if last.is_some() {
                    add(&mut expected, cover::claim::Subject::Before { call, level, first: false }, functions.into_iter());
                }
            }
        }
        between(&reading, &mut expected);
        prop_assert_eq!(counted(&evidence, RelationName::Cover), expected);
    }

    #[test]
    fn count(program in programs()) {
        let (reading, evidence) = run(&program);
        let mut expected = Happenings::new();
        let of_role = |call: &&Seen| call.counts && is_critical(call.function);
        let mut users: Vec<&Seen> =
            reading.calls.iter().filter(|call| call.counts && FUNCTIONS[call.function].1 == Role::User).collect();
        users.sort_by_key(|outer| outer.end);
        let mut known: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for outer in users {
            let inside: Vec<usize> = reading.calls.iter().filter(of_role).filter(|inner| {
                inner.thread == outer.thread && inner.begin > outer.begin && inner.end < outer.end
            }).map(|inner| inner.function).collect();
            let known = known.entry(outer.function).or_default();
            known.extend(&inside);
            let per = Stretch::Call { call: call(outer.function) };
            happen(&mut expected, &per, known, &inside);
        }
        let mut known = BTreeSet::new();
        for pair in reading.iterations.windows(2) {
            let [(begin, thread), (end, _)] = pair else { unreachable!() };
            let within = |call: &&Seen| call.thread == *thread && call.begin > *begin && call.begin < *end;
            let calls: Vec<&Seen> = reading.calls.iter().filter(within).collect();
            if calls.iter().any(|call| FUNCTIONS[call.function].1 == Role::Backward) {
                let inside: Vec<usize> =
                    calls.iter().copied().filter(of_role).map(|call| call.function).collect();
                known.extend(&inside);
                happen(&mut expected, &Stretch::Iteration, &known, &inside);
            }
        }
        let mut counted = Happenings::new();
        for (subject, found) in &evidence.subjects {
            let Subject::Count(count::claim::Subject::Calls { per: Stretch::Call { .. } | Stretch::Iteration, .. }) = subject else {
                continue;
            };
            if found.total.is_empty() {
                continue;
            }
            let times = found.held.iter().filter_map(|(outcome, windows)| match outcome {
                Outcome::Count(count::claim::Outcome::Happens {
                    times: times @ (Times::Never | Times::Once | Times::Number(_)),
                }) => {
                    Some((*times, sum(windows)))
                }
                _ => None,
            });
            counted.insert(subject.clone(), (sum(&found.total), times.collect()));
        }
        prop_assert_eq!(counted, expected);
    }

    #[test]
    fn lead(program in programs()) {
        let (reading, evidence) = run(&program);
        let mut expected = Counts::new();
        for earlier in reading.calls.iter().filter(|call| call.counts && is_critical(call.function)) {
            let after: Vec<&Seen> = reading.calls.iter().filter(|other| {
                other.counts
                    && other.thread == earlier.thread
                    && other.parent == earlier.parent
                    && other.begin > earlier.begin
            }).collect();
            let next = after.iter().find(|other| other.function == earlier.function).map(|next| next.begin);
            // Without a next one the window ends with the caller; the top of a thread has none.
            if next.is_none() && earlier.parent == usize::MAX {
                continue;
            }
            let until = next.unwrap_or(usize::MAX);
            let called = after.iter().filter(|other| other.begin < until).map(|other| other.function);
            add(&mut expected, lead::claim::Subject::After { call: call(earlier.function) }, called);
        }
        prop_assert_eq!(counted(&evidence, RelationName::Lead), expected);
    }
}
