//! What filled claims.

use serde::{Deserialize, Serialize};

use crate::call::short;
use crate::relation::statement::{About, Holds, Says, Statement};
use crate::words::plural;

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A parameter, and what fills it before the first iteration.
    Parameter {
        /// Its name.
        name: String,
        /// A function of `torch.nn.init`, or an op.
        by: String,
        /// The function of the script that it is called from, or whose call the op is in.
        from: String,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It is filled so.
    Filled,
    /// It is filled so as often as this.
    FilledTimes {
        /// How often.
        times: u64,
    },
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let Subject::Parameter { name, by, from } = &self.subject;
        let by = by.rsplit(['.', ':']).next().unwrap_or(by);
        let subject =
            format!("before the first iteration, `{name}` is filled by `{by}` from `{}`", short(from));
        match self.outcome {
            Outcome::Filled => subject,
            Outcome::FilledTimes { times } => format!("{subject}, {}", plural(times, "time")),
        }
    }

    fn is_critical(&self) -> bool {
        true
    }
}
