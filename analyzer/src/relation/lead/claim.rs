//! What lead claims.

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

use crate::call::Call;
use crate::relation::statement::{About, Holds, Says, Statement, calls};
use crate::situation::Fields;

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// What came until the next call of the same kind, or until the calls end.
    After {
        /// The call that begins the window.
        call: Call,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The function is called.
    Called {
        /// Which.
        call: Call,
    },
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

/// What its preconditions may speak of.
pub const FIELDS: Fields = Fields::STAGE_AND_GRAD;

impl About for Subject {}

impl Holds for Outcome {
    fn call(&self) -> Option<&Call> {
        let Outcome::Called { call } = self;
        Some(call)
    }

    fn called(&self) -> Option<&Call> {
        self.call()
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let Subject::After { call } = &self.subject;
        let Outcome::Called { call: later } = &self.outcome;
        format!("after every {call} at the same level, before the next one, {later} is called")
    }

    /// What a script does after its last step may be left out when it stops early; what makes a gradient useful may not.
    fn is_critical(&self) -> bool {
        let Subject::After { call: earlier } = &self.subject;
        let Outcome::Called { call: later } = &self.outcome;
        match earlier.role {
            Role::Backward => matches!(later.role, Role::OptimizerStep | Role::ScalerStep),
            Role::ScalerUnscale => later.role == Role::ScalerStep,
            Role::ScalerStep => later.role == Role::ScalerUpdate,
            _ => false,
        }
    }

    fn fields(&self) -> Fields {
        FIELDS
    }

    /// What one function calls one after the other, another program may spread over several.
    fn is_of_a_script(&self) -> bool {
        true
    }

    calls!(|subject, outcome| {
        let (Subject::After { call }, Outcome::Called { call: later }) = (subject, outcome);
        vec![call, later]
    });
}
