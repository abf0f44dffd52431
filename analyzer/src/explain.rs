//! What an invariant means, for people: its relation, its level, and what a violation would speak for.

use crate::infer::ENOUGH;
use crate::invariants::{Doubt, Invariant, Invariants, Level};
use crate::library::levels::{self, BUDGET};
use crate::relation;
use crate::relation::claim::RelationName;
use crate::relation::statement::Literal;

/// The guide to the relations.
const GUIDE: &str = include_str!("../../docs/relations.md");

/// What the guide says about the relation of an invariant: its first paragraphs, and what of a violation is no error; of
/// one that was learned also what makes an alarm of it. Markdown.
pub fn relation_text(relation: RelationName, is_of_library: bool) -> Vec<String> {
    let heading = format!("## {}", relation.word());
    let section = GUIDE.lines().skip_while(|line| line.trim_end() != heading).skip(1);
    let section: Vec<&str> = section.take_while(|line| !line.starts_with("## ")).collect();
    let mut parts: Vec<String> = Vec::new();
    let mut open = false;
    for line in section {
        let continues = open && !line.trim().is_empty() && !line.starts_with("- ");
        match parts.last_mut() {
            Some(part) if continues => *part = format!("{part} {}", line.trim()),
            _ if line.trim().is_empty() => {}
            _ => parts.push(line.trim().to_owned()),
        }
        open = !line.trim().is_empty();
    }
    let is_wanted = |part: &String| match part.strip_prefix("- ") {
        // Of the library's levels the references say nothing.
        Some(item) if item.starts_with("Alarms:") => !is_of_library,
        Some(item) => item.starts_with("No error:") || item.starts_with("Superficial:"),
        None => true,
    };
    parts.into_iter().filter(is_wanted).collect()
}

/// Why an invariant has its level, as far as the file of invariants shows, and for which runs it has another one.
pub fn level_text(invariant: &Invariant, invariants: &Invariants) -> String {
    let by_the_rules = text_of_the_rules(invariant, invariants);
    let measured = levels::built_in().decide(BUDGET).text(invariant).filter(|_| invariant.tried.is_none());
    [by_the_rules].into_iter().chain(measured).collect::<Vec<_>>().join("; ")
}

fn text_of_the_rules(invariant: &Invariant, invariants: &Invariants) -> String {
    let kind = relation::kind(invariant.claim.relation());
    let literal = invariant.claim.literal().map_or("", Literal::text);
    let held: Vec<u64> =
        invariant.evidence.iter().map(|run| run.positive).filter(|&count| count > 0).collect();
    match invariant.level {
        Level::Alarm if invariant.tried.is_some() => {
            "alarm: it names nothing of a program, and false alarms on programs that it was not made from are within \
             the budget of the library"
                .into()
        }
        Level::Notice if invariant.tried.is_some() => {
            "notice: it names nothing of a program, and as an alarm it would raise more false ones than the library's \
             budget allows"
                .into()
        }
        Level::Alarm if kind.structural => {
            "alarm: it follows from how training works, and held wherever it came up".into()
        }
        Level::Alarm => format!(
            "alarm: a violation can be an error of training, it held at least {} times in every run in which it came \
             up, and it holds where it was not learned: in the second half of the runs, and in each run when learned \
             from the others",
            held.iter().min().copied().unwrap_or_default()
        ),
        Level::Notice if !invariant.claim.is_critical() => {
            "notice: nothing says that a violation would be an error of training".into()
        }
        Level::Notice if !literal.is_empty() => {
            format!("notice: it speaks of {literal}, which the references cannot vary")
        }
        Level::Notice if invariant.doubt == Some(Doubt::Ambiguous) => {
            "notice: it fits a weaker claim as well; `traincheck infer --explain` says which rules it misses".into()
        }
        Level::Notice if invariant.doubt == Some(Doubt::FailsElsewhere) => {
            "notice: learned on a part of the reference runs, it fails in the rest; `traincheck infer --explain` says where"
                .into()
        }
        Level::Notice if held.iter().any(|&count| count < ENOUGH) && !kind.structural => {
            format!("notice: in some run it came up fewer than {ENOUGH} times")
        }
        Level::Notice if held.len() < invariants.runs.len().min(2) => {
            "notice: it came up in one of the reference runs only".into()
        }
        Level::Notice => {
            "notice: too little speaks for it, or its level was lowered by hand; `traincheck infer --explain` says which \
             rules it misses"
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_a_section_on_every_relation() {
        for &relation in RelationName::ALL {
            let text = relation_text(relation, false);
            assert!(text.first().is_some_and(|first| first.len() > 20), "docs/relations.md: {:?}", relation);
        }
    }
}
