//! A file of invariants that was written before is read, and says the same: the JSON of a claim, its id, its words and
//! whether it can be an alarm stay as they are, for one claim or more of every kind that a relation makes.

use std::fmt::Write;
use std::path::Path;

use traincheck_analyzer::invariants::{FORMAT, Invariant, Invariants, Level, VERSION};
use traincheck_analyzer::precondition::Precondition;
use traincheck_analyzer::relation::claim::Claim;

/// One claim a line.
const CLAIMS: &str = include_str!("data/claims.jsonl");

fn precondition() -> Precondition {
    serde_json::from_str(r#"[{"grad":true,"stage":"training"}]"#).unwrap()
}

/// Whether a file may have it as an alarm.
fn can_be_an_alarm(claim: &Claim) -> bool {
    let invariant = Invariant::new(claim.clone(), Precondition::default(), Level::Alarm, Vec::new());
    let file = Invariants {
        format: FORMAT.into(),
        version: VERSION,
        runs: Vec::new(),
        excused: Vec::new(),
        invariants: vec![invariant],
    };
    match Invariants::parse(file.to_json().as_bytes(), Path::new("file")) {
        Ok(read) => {
            assert_eq!(read, file);
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("no more than a notice"), "{error}");
            false
        }
    }
}

#[test]
fn every_claim_keeps_its_json_its_ids_and_its_words() {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let mut claims: Vec<(Claim, &str)> = CLAIMS.lines().map(|line| (read(line), line)).collect();
    // In the order in which they are judged and explained.
    claims.sort();
    let mut text = String::new();
    for (claim, line) in claims {
        assert_eq!(serde_json::to_string(&claim).unwrap(), line);
        let always = Invariant::new(claim.clone(), Precondition::default(), Level::Notice, Vec::new());
        let somewhere = Invariant::new(claim.clone(), precondition(), Level::Notice, Vec::new());
        let level = if can_be_an_alarm(&claim) { "alarm " } else { "notice" };
        writeln!(text, "{line}\n  {}  {}\n  {level} {}", always.id, somewhere.id, always.text).unwrap();
    }
    insta::assert_snapshot!(text);
}
