//! What collective claims.

use serde::{Deserialize, Serialize};

use crate::call::ANY;
use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// What the ranks of a process group enter at the same place in its order of collectives.
    Entered {
        /// Name of the group.
        group: String,
    },
    /// How far training has come where they do.
    Pace {
        /// Name of the group.
        group: String,
    },
    /// What backward passes enter between one step of an optimizer and the next.
    Backward {
        /// What is done, as `torch.distributed` calls it.
        kind: String,
    },
    /// What the ranks of a group get from a collective.
    Contents {
        /// What is done, as `torch.distributed` calls it.
        kind: String,
    },
    /// What they get from one of them.
    Sent {
        /// What is done, as `torch.distributed` calls it.
        kind: String,
    },
    /// The sum of all elements of what they get.
    Total {
        /// What is done, as `torch.distributed` calls it.
        kind: String,
    },
    /// What the ranks of a group put into a reduction between a backward pass and a step.
    Unreduced {
        /// What is done, as `torch.distributed` calls it.
        kind: String,
    },
    /// What they put into one that has as many elements as a parameter or buffer.
    GoesIn {
        /// What is done, as `torch.distributed` calls it.
        kind: String,
        /// The innermost recorded function that does it and is not PyTorch's own.
        function: String,
    },
    /// A gradient that a reduction has added up behind the backward pass, when the step reads it.
    Stepped {
        /// What is done, as `torch.distributed` calls it.
        kind: String,
    },
    /// The handle of a collective.
    Handle {
        /// What is done, as `torch.distributed` calls it.
        kind: String,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// All of them enter the same.
    Same {
        /// The same what.
        property: Property,
    },
    /// All of them have made equally many optimizer steps.
    EquallyManySteps,
    /// A backward pass enters one.
    Entered,
    /// All of them get the same.
    AllGetTheSame,
    /// The sum of its elements is that of what ranks put in, as the reduction has it.
    SumOfWhatGoesIn,
    /// It is what the root, or whoever sends, has put in.
    WhatWasSent,
    /// Not all ranks put in the same: it was not reduced before.
    DiffersByRank,
    /// It is added up, be it to a mean.
    IsAddedUp,
    /// It is the mean of what ranks have put in, or less.
    IsMean,
    /// Somebody waits for it, before the step after the next if for later ones then, or takes its future.
    WaitedFor,
}

/// What collectives have that ranks enter together, what says most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// What is done.
    Kind,
    /// From or to whom.
    Root,
    /// How it is reduced.
    Reduction,
    /// The type of elements.
    ElementType,
    /// How many elements.
    Size,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl Property {
    /// All of them, in order.
    pub const ALL: [Property; 5] =
        [Property::Kind, Property::Root, Property::Reduction, Property::ElementType, Property::Size];

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Property::Kind => "kind",
            Property::Root => "root",
            Property::Reduction => "reduction",
            Property::ElementType => "element type",
            Property::Size => "size",
        }
    }
}

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            Subject::Entered { .. } => Some(Subject::Entered { group: ANY.into() }),
            // Ranks may train apart between two collectives as long as they like.
            Subject::Pace { .. } => None,
            // A rank may train without the others.
            Subject::Backward { .. } => None,
            Subject::Contents { .. } => Some(Subject::Contents { kind: ANY.into() }),
            Subject::Sent { .. } => Some(Subject::Sent { kind: ANY.into() }),
            Subject::Total { .. } => Some(Subject::Total { kind: ANY.into() }),
            Subject::Unreduced { .. } => Some(Subject::Unreduced { kind: ANY.into() }),
            // How it is reduced is the program's own business.
            Subject::GoesIn { .. } => None,
            // A sum with a smaller rate is the same.
            Subject::Stepped { .. } => None,
            // Whoever sends need not know when it has arrived.
            Subject::Handle { .. } => None,
        }
    }

    fn is_over_ranks(&self) -> bool {
        !matches!(self, Subject::Backward { .. } | Subject::Stepped { .. } | Subject::Handle { .. })
    }
}

impl Holds for Outcome {
    /// That collectives are alike in something else says nothing of what they differ in.
    fn is_alike(&self, _: &Outcome) -> bool {
        false
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let group = |group: &str| match group {
            ANY => "every process group".to_owned(),
            group => format!("process group `{group}`"),
        };
        let any = |kind: &str, any: &str| match kind {
            ANY => any.to_owned(),
            kind => format!("`{kind}`"),
        };
        let subject = match &self.subject {
            Subject::Entered { group: name } => {
                format!("in {}, the collective that ranks enter next", group(name))
            }
            Subject::Pace { group: name } => {
                format!("in {}, when ranks enter a collective, all", group(name))
            }
            Subject::Backward { kind } => {
                format!("before every step of an optimizer that a backward pass comes before, `{kind}`")
            }
            Subject::Sent { kind } => format!("what {} gives", any(kind, "every broadcast or message")),
            Subject::Contents { kind } | Subject::Total { kind } => {
                format!("what {} gives", any(kind, "every collective"))
            }
            Subject::Unreduced { kind } => {
                let reduction = any(kind, "every reduction");
                format!("between a backward pass and the step behind it, what goes into {reduction}")
            }
            Subject::GoesIn { kind, function } => {
                format!("what has the size of a parameter or buffer and goes into `{kind}` in `{function}`")
            }
            Subject::Stepped { kind } => {
                format!("a gradient that `{kind}` has added up behind the backward pass")
            }
            Subject::Handle { kind } => format!("whenever `{kind}` is called, its handle"),
        };
        match self.outcome {
            Outcome::Same { property } => {
                format!("{subject} is of the same {} on all of them", property.text())
            }
            Outcome::EquallyManySteps => format!("{subject} have made equally many optimizer steps"),
            Outcome::Entered => format!("{subject} is entered by a backward pass"),
            Outcome::AllGetTheSame => format!("{subject} is the same on all ranks of the group"),
            Outcome::SumOfWhatGoesIn => format!("{subject} adds up to what ranks put in"),
            Outcome::WhatWasSent => format!("{subject} is what was sent"),
            Outcome::DiffersByRank => {
                format!("{subject} differs from rank to rank, or was not reduced before")
            }
            Outcome::IsAddedUp => format!("{subject} is added up, to a sum or a mean"),
            Outcome::IsMean => {
                format!("{subject} is divided by the number of ranks before the step, or made smaller")
            }
            Outcome::WaitedFor => format!("{subject} is waited for"),
        }
    }

    fn is_critical(&self) -> bool {
        true
    }
}
