//! In what a run differs from those that were learned from, as far as `run.json` says: the less is the same, the less can be
//! expected to hold.

use serde::{Deserialize, Serialize};

use crate::invariants::ReferenceRun;
use crate::options::configuration;
use crate::program;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Nothing but perhaps a seed, and what is not on the command line.
    Seed,
    /// The command line has other options, or other numbers, than that of any reference.
    Configuration,
    /// The references are of several programs, and it is none of them. References of one program are meant for whatever is
    /// checked by them.
    Program,
}

impl Difference {
    /// Between a run of `program` with these arguments and the references.
    pub fn of(program: Option<&str>, arguments: &[String], references: &[ReferenceRun]) -> Difference {
        let of_references = references.iter().map(|run| run.program.as_deref());
        let is_of_one = program::are_one(of_references.clone());
        let is_of_it = program::same_as(program, of_references);
        if !is_of_one && !is_of_it.contains(&true) {
            return Difference::Program;
        }
        let own = configuration(arguments);
        let is_same = |(run, is_of_it): (&ReferenceRun, bool)| {
            (is_of_one || is_of_it) && configuration(&run.arguments) == own
        };
        if references.iter().zip(is_of_it).any(is_same) {
            Difference::Seed
        } else {
            Difference::Configuration
        }
    }

    /// In words, behind "learned from".
    pub fn text(self) -> &'static str {
        match self {
            Difference::Seed => "runs of the same configuration",
            Difference::Configuration => "runs of other configurations",
            Difference::Program => "runs of other programs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn found(program: &str, line: &str, references: &[(&str, &str)]) -> Difference {
        let references: Vec<ReferenceRun> = references
            .iter()
            .map(|(program, line)| ReferenceRun {
                program: Some((*program).into()),
                arguments: split(line),
                ..ReferenceRun::default()
            })
            .collect();
        Difference::of(Some(program), &split(line), &references)
    }

    #[test]
    fn seeds_make_none_and_options_make_one() {
        let of_one = [("a.py", "--seed 1 --bs 8"), ("a.py", "--seed 2 --bs 16 --fast")];
        assert_eq!(found("a.py", "--bs 8 --seed 9", &of_one), Difference::Seed);
        assert_eq!(found("a.py", "--bs=16 --fast", &of_one), Difference::Seed);
        assert_eq!(found("a.py", "--bs 32", &of_one), Difference::Configuration);
        assert_eq!(found("a.py", "--bs 8 --fast", &of_one), Difference::Configuration);
        // What one program says is meant for whatever is checked by it.
        assert_eq!(found("b.py", "--bs 8", &of_one), Difference::Seed);
    }

    #[test]
    fn of_several_programs_each_has_its_configurations() {
        let of_two = [("a.py", "--bs 8"), ("b.py", "--bs 16")];
        assert_eq!(found("a.py", "--bs 8", &of_two), Difference::Seed);
        assert_eq!(found("a.py", "--bs 16", &of_two), Difference::Configuration);
        assert_eq!(found("c.py", "--bs 8", &of_two), Difference::Program);
    }
}
