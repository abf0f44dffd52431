//! Of every claim that is no alarm, `infer --explain` says which rule decided it, and with which numbers.
mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::references;
use support::scripts::Script;
use traincheck_analyzer::call::Call;
use traincheck_analyzer::evidence::{RunEvidence, SubjectEvidence};
use traincheck_analyzer::infer::{Learned, Reference, learn, reasons};
use traincheck_analyzer::invariants::{Doubt, Invariant, Level, ReferenceRun};
use traincheck_analyzer::relation::claim::{Outcome, Subject};
use traincheck_analyzer::relation::{contain, moving};
use traincheck_analyzer::situation::{Feature, Situation, Value};
use traincheck_schema::record::Role;

/// In the first and in the second half: windows in which it held, and in which it did not.
type Halves = [(u64, u64); 2];

const NEVER: Halves = [(0, 0), (0, 0)];

/// With gradients, and without.
type Grads = [Halves; 2];

fn call(function: &str, role: Role, object: Option<&str>) -> Call {
    Call { function: function.into(), role, object: object.map(Into::into) }
}

fn called(function: &str, role: Role, object: Option<&str>) -> Outcome {
    contain::claim::Outcome::Called { call: call(function, role, object) }.into()
}

fn step(object: Option<&str>) -> Outcome {
    called("torch.optim.adam.Adam.step", Role::OptimizerStep, object)
}

fn in_function(name: &str) -> Subject {
    contain::claim::Subject::Call { call: call(&format!("__main__.{name}"), Role::User, None) }.into()
}

#[derive(Default)]
struct Run(RunEvidence);

impl Run {
    fn says(mut self, subject: Subject, outcome: Outcome, counts: Grads) -> Run {
        let evidence = self.0.subjects.entry(subject).or_default();
        let mut held = BTreeMap::new();
        for (grad, [first, second]) in [true, false].into_iter().zip(counts) {
            if [first, second] != NEVER {
                let situation = Situation::new(vec![(Feature::Grad, Value::Flag(grad))]);
                held.insert(situation.clone(), [first.0, second.0]);
                evidence.total.insert(situation, [first.0 + first.1, second.0 + second.1]);
            }
        }
        evidence.held.insert(outcome, held);
        self
    }

    fn named(self, name: &str) -> Reference {
        let run = ReferenceRun {
            name: name.into(),
            program: None,
            processes: 1,
            iterations: 10,
            records: 100,
            torn: false,
            arguments: Vec::new(),
        };
        Reference { run, evidence: self.0 }
    }
}

fn text(learned: &Learned) -> String {
    let mut text = String::new();
    reasons::write(learned, |_| None, &mut text).unwrap();
    text
}

#[test]
fn every_rule_has_a_line() {
    const GOOD: Grads = [[(5, 0), (5, 0)], NEVER];
    let cases: &[(&str, Grads, Grads)] = &[
        ("good", GOOD, GOOD),
        ("few", GOOD, [[(1, 0), (1, 0)], NEVER]),
        ("only_in_a", GOOD, [NEVER, NEVER]),
        ("late", [[(0, 0), (5, 0)], NEVER], [[(0, 0), (5, 0)], NEVER]),
        ("fails_later", [[(5, 0), (5, 0)], [(0, 0), (0, 1)]], [[(5, 0), (5, 0)], [(0, 0), (0, 2)]]),
        ("fails_in_b", GOOD, [[(5, 0), (5, 0)], [(0, 4), (0, 0)]]),
        ("half", [[(5, 0), (5, 4)], [(5, 0), (5, 1)]], GOOD),
        ("never", [[(1, 4), (5, 4)], NEVER], GOOD),
        ("rare", [[(1, 0), (0, 0)], NEVER], [[(1, 0), (0, 0)], NEVER]),
    ];
    let (mut a, mut b) = (Run::default(), Run::default());
    for (name, in_a, in_b) in cases {
        a = a.says(in_function(name), step(None), *in_a);
        b = b.says(in_function(name), step(None), *in_b);
    }
    let helper = || called("__main__.helper", Role::User, None);
    let thinned = || called("__main__.tiny", Role::User, None);
    let weight = || moving::claim::Subject::Variable { name: "Net.weight".into() }.into();
    let several = |mut run: Run| {
        run = run.says(in_function("harmless"), helper(), GOOD);
        run = run.says(in_function("thinned"), thinned(), GOOD);
        run = run.says(in_function("implied"), step(None), GOOD).says(
            in_function("implied"),
            step(Some("Adam")),
            GOOD,
        );
        run = run.says(in_function("crowded"), step(None), GOOD);
        run.0.subjects.get_mut(&in_function("crowded")).unwrap().too_many = true;
        run.says(weight(), moving::claim::Outcome::Moves.into(), [[(5, 1), (5, 0)], NEVER])
    };
    let (a, mut b) = (several(a), several(b));
    b.0.thinned = BTreeSet::from(["__main__.tiny".to_owned()]);
    let forward = learn(
        vec![a.0.clone(), b.0.clone()].into_iter().zip(["a", "b"]).map(|(e, n)| Run(e).named(n)).collect(),
    );
    let backward = learn(vec![b.named("b"), a.named("a")]);
    assert_eq!(forward, backward);
    insta::assert_snapshot!(text(&forward));
    let doubts = forward.invariants.invariants.iter().map(|one| (one.text.split('`').nth(1), one.doubt));
    let doubts: BTreeMap<Option<&str>, Option<Doubt>> = doubts.collect();
    for (function, doubt) in [
        ("good", None),
        ("harmless", None),
        ("few", Some(Doubt::FewExamples)),
        ("late", Some(Doubt::FewExamples)),
        ("only_in_a", Some(Doubt::FewExamples)),
        ("fails_later", Some(Doubt::FailsElsewhere)),
        ("fails_in_b", Some(Doubt::FailsElsewhere)),
    ] {
        assert_eq!(doubts.get(&Some(function)), Some(&doubt), "{function}");
    }
}

#[test]
fn where_a_level_was_measured_the_line_says_so() {
    let traces: Vec<_> = (1..3).map(|seed| Script { seed, ..Script::default() }.run().finish()).collect();
    let learned = learn(references(&traces));
    let mut text = String::new();
    let measured = |one: &Invariant| (one.level == Level::Alarm).then(|| "measured: a notice".to_owned());
    reasons::write(&learned, measured, &mut text).unwrap();
    let alarms: Vec<&str> = text.lines().filter(|line| line.starts_with("alarm     ")).collect();
    assert!(alarms.len() > 10 && alarms.iter().all(|line| line.ends_with(": measured: a notice")), "{text}");
}

#[test]
fn every_claim_is_an_alarm_or_has_a_line() {
    let traces: Vec<_> = (1..3).map(|seed| Script { seed, ..Script::default() }.run().finish()).collect();
    let references = references(&traces);
    let claims: BTreeSet<_> = references
        .iter()
        .flat_map(|reference| &reference.evidence.subjects)
        .flat_map(|(key, evidence)| evidence.held.keys().map(move |outcome| (key, outcome)))
        .collect();
    let numbers = references.iter().flat_map(|reference| &reference.evidence.subjects);
    let bounds: BTreeSet<_> =
        numbers.filter(|(_, evidence)| evidence.numbers.is_some()).map(|(key, _)| key).collect();
    let claims = claims.len() + bounds.len();
    let learned = learn(references.clone());
    let lines = text(&learned).lines().count();
    let alarms = learned.invariants.invariants.iter().filter(|i| i.level as u8 == 0).count();
    assert!(alarms > 10 && lines > 100, "{alarms} {lines}");
    assert_eq!(claims, alarms + lines);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| learn(references.clone())), learned);
    }
}

#[test]
fn a_subject_with_too_many_situations_says_so_and_keeps_its_counts() {
    let mut one = RunEvidence::default();
    let mut other = RunEvidence::default();
    for (number, run) in [&mut one, &mut other].into_iter().enumerate() {
        let mut evidence = SubjectEvidence::default();
        for n in 0..2000 {
            let precision = Value::word(format!("{}", n + 2000 * number as i64));
            evidence.total.insert(Situation::new(vec![(Feature::Matmul, precision)]), [1, 0]);
        }
        run.subjects.insert(in_function("f"), evidence);
    }
    one.merge(other);
    assert!(one.subjects[&in_function("f")].too_many);
}
