//! The claims of all relations, as everything that is not a relation handles them: a variant for each relation.
//!
//! In a file a claim is an object with its `relation`, `subject` and `outcome`, the last two as that relation has them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::bound::{Bound, Side, Span};
use super::list::relations;
use super::statement::{About, Holds, Literal, Says, Statement, When};
use crate::call::Call;
use crate::situation::Fields;

macro_rules! claims {
    ($($(#[$doc:meta])* $module:ident $Name:ident,)*) => {
        /// The relations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum RelationName {
            $($(#[$doc])* $Name,)*
        }

        /// What windows are of.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Subject {
            $($(#[$doc])* $Name(super::$module::claim::Subject),)*
        }

        /// What holds in a window, or does not.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Outcome {
            $($(#[$doc])* $Name(super::$module::claim::Outcome),)*
        }

        /// A claim: in every window of the subject the outcome holds.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Claim {
            $($(#[$doc])* $Name(super::$module::claim::Claim),)*
        }

        impl RelationName {
            /// All of them, in order.
            pub const ALL: &'static [RelationName] = &[$(RelationName::$Name,)*];

            /// As one word.
            pub fn word(self) -> &'static str {
                match self {
                    $(RelationName::$Name => stringify!($module),)*
                }
            }

            fn read(self, subject: Value, outcome: Value) -> serde_json::Result<Claim> {
                Ok(match self {
                    $(RelationName::$Name => Claim::$Name(Statement {
                        subject: serde_json::from_value(subject)?,
                        outcome: serde_json::from_value(outcome)?,
                    }),)*
                })
            }

            /// Reads a subject of this relation's.
            ///
            /// # Errors
            /// If it has none such.
            pub fn read_subject(self, value: Value) -> serde_json::Result<Subject> {
                match self {
                    $(RelationName::$Name => serde_json::from_value(value).map(Subject::$Name),)*
                }
            }

            /// Reads an outcome of this relation's.
            ///
            /// # Errors
            /// If it has none such.
            pub fn read_outcome(self, value: Value) -> serde_json::Result<Outcome> {
                match self {
                    $(RelationName::$Name => serde_json::from_value(value).map(Outcome::$Name),)*
                }
            }
        }

        $(
            impl From<super::$module::claim::Subject> for Subject {
                fn from(subject: super::$module::claim::Subject) -> Subject {
                    Subject::$Name(subject)
                }
            }

            impl From<super::$module::claim::Outcome> for Outcome {
                fn from(outcome: super::$module::claim::Outcome) -> Outcome {
                    Outcome::$Name(outcome)
                }
            }

            impl From<super::$module::claim::Claim> for Claim {
                fn from(claim: super::$module::claim::Claim) -> Claim {
                    Claim::$Name(claim)
                }
            }
        )*

        impl Subject {
            /// The relation that it is of.
            pub fn relation(&self) -> RelationName {
                match self {
                    $(Subject::$Name(_) => RelationName::$Name,)*
                }
            }

            /// The same with nothing of a program named, see [`About::general`].
            pub fn general(&self) -> Option<Subject> {
                match self {
                    $(Subject::$Name(subject) => subject.general().map(Subject::$Name),)*
                }
            }

            /// Whether its windows are over the ranks of a job, see [`About::is_over_ranks`].
            pub fn is_over_ranks(&self) -> bool {
                match self {
                    $(Subject::$Name(subject) => subject.is_over_ranks(),)*
                }
            }

            /// Which bound is learned of the numbers of its windows, see [`About::side`].
            pub fn side(&self) -> Option<Side> {
                match self {
                    $(Subject::$Name(subject) => subject.side(),)*
                }
            }

            /// What is to be learned of the numbers of its windows: a span for each run that has some. `None`: nothing.
            pub fn learned(&self, spans: &[Span]) -> Option<Outcome> {
                let bound = Bound::learned(self.side()?, spans)?;
                match self {
                    $(Subject::$Name(_) => super::$module::claim::Outcome::of_bound(bound).map(Outcome::$Name),)*
                }
            }
        }

        impl Outcome {
            fn holds(&self) -> &dyn Holds {
                match self {
                    $(Outcome::$Name(outcome) => outcome,)*
                }
            }

            /// The same with nothing of a program named, see [`Holds::general`].
            pub fn general(&self) -> Option<Outcome> {
                match self {
                    $(Outcome::$Name(outcome) => outcome.general().map(Outcome::$Name),)*
                }
            }

            /// The same with another bound; `None`: it has none.
            pub fn with_bound(&self, bound: Bound) -> Option<Outcome> {
                match self {
                    $(Outcome::$Name(_) => {
                        super::$module::claim::Outcome::of_bound(bound).map(Outcome::$Name)
                    })*
                }
            }

            /// Whether it is the same but for what it names.
            pub fn is_alike(&self, other: &Outcome) -> bool {
                match (self, other) {
                    $((Outcome::$Name(one), Outcome::$Name(other)) => {
                        one.is_alike(other)
                    })*
                    _ => false,
                }
            }
        }

        impl Claim {
            /// The claim that an outcome holds in every window of a subject.
            ///
            /// # Panics
            /// If they are of two relations, which none says of its own windows.
            pub fn new(subject: Subject, outcome: Outcome) -> Claim {
                match (subject, outcome) {
                    $((Subject::$Name(subject), Outcome::$Name(outcome)) => {
                        Claim::$Name(Statement { subject, outcome })
                    })*
                    (subject, outcome) => panic!("no relation has both {subject:?} and {outcome:?}"),
                }
            }

            /// The relation that makes it.
            pub fn relation(&self) -> RelationName {
                match self {
                    $(Claim::$Name(_) => RelationName::$Name,)*
                }
            }

            /// What it is about.
            pub fn subject(&self) -> Subject {
                match self {
                    $(Claim::$Name(claim) => Subject::$Name(claim.subject.clone()),)*
                }
            }

            /// What it says.
            pub fn outcome(&self) -> Outcome {
                match self {
                    $(Claim::$Name(claim) => Outcome::$Name(claim.outcome.clone()),)*
                }
            }

            /// What its relation says about its outcome.
            pub fn holds(&self) -> &dyn Holds {
                match self {
                    $(Claim::$Name(claim) => &claim.outcome,)*
                }
            }

            /// What its relation says about it.
            pub fn says(&self) -> &dyn Says {
                match self {
                    $(Claim::$Name(claim) => claim,)*
                }
            }

            /// Other claims that say as much, see [`Says::implied_by`].
            pub fn implied_by(&self) -> Vec<(Claim, When)> {
                match self {
                    $(Claim::$Name(claim) => {
                        claim.implied_by().into_iter().map(|(by, when)| (Claim::$Name(by), when)).collect()
                    })*
                }
            }

            /// The weaker claim that references may fit as well, see [`Says::ambiguous_with`].
            pub fn ambiguous_with(&self) -> Option<Claim> {
                match self {
                    $(Claim::$Name(claim) => claim.ambiguous_with().map(Claim::$Name),)*
                }
            }

            /// Within how many steps it wants something, see [`Says::within_steps`].
            pub fn within_steps(&self) -> Option<(u32, Claim)> {
                match self {
                    $(Claim::$Name(claim) => {
                        claim.within_steps().map(|(steps, claim)| (steps, Claim::$Name(claim)))
                    })*
                }
            }

            /// The same claim without the objects that calls are made on; `None` if it names none.
            pub fn without_objects(&self) -> Option<Claim> {
                match self {
                    $(Claim::$Name(claim) => claim.without_objects().map(Claim::$Name),)*
                }
            }
        }

        impl Serialize for Subject {
            fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
                match self {
                    $(Subject::$Name(subject) => subject.serialize(serializer),)*
                }
            }
        }

        impl Serialize for Outcome {
            fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
                match self {
                    $(Outcome::$Name(outcome) => outcome.serialize(serializer),)*
                }
            }
        }

        impl Serialize for Claim {
            fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
                match self {
                    $(Claim::$Name(Statement { subject, outcome }) => {
                        InFile { relation: RelationName::$Name, subject, outcome }.serialize(serializer)
                    })*
                }
            }
        }
    };
}

relations!(claims);

/// A claim as files have it.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Claim", deny_unknown_fields)]
struct InFile<S, O> {
    relation: RelationName,
    subject: S,
    outcome: O,
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Claim, D::Error> {
        let InFile { relation, subject, outcome } = InFile::<Value, Value>::deserialize(deserializer)?;
        relation.read(subject, outcome).map_err(D::Error::custom)
    }
}

impl Outcome {
    /// The bound that it says the number of the window keeps to.
    pub fn bound(&self) -> Option<Bound> {
        self.holds().bound()
    }

    /// The call that it names.
    pub fn call(&self) -> Option<&Call> {
        self.holds().call()
    }

    /// The call that it says is made, in whatever mode.
    pub fn called(&self) -> Option<&Call> {
        self.holds().called()
    }

    /// Whether it is no claim of its own, but says that a value was seen that makes others worth making.
    pub fn is_support(&self) -> bool {
        self.holds().is_support()
    }
}

impl Claim {
    /// In words, without the precondition.
    pub fn text(&self) -> String {
        self.says().text()
    }

    /// Whether a violation can be an error of training; where not, it is at most a notice.
    pub fn is_critical(&self) -> bool {
        self.says().is_critical()
    }

    /// The literal thing that it speaks of, if it does.
    pub fn literal(&self) -> Option<Literal> {
        self.holds().literal()
    }

    /// Which features of a situation its precondition may speak of.
    pub fn fields(&self) -> Fields {
        self.says().fields()
    }

    /// The calls that it names.
    pub fn calls(&self) -> Vec<&Call> {
        self.says().calls()
    }

    /// Whether it names nothing of a program.
    pub fn is_general(&self) -> bool {
        self.subject().general().as_ref() == Some(&self.subject())
            && self.outcome().general().as_ref() == Some(&self.outcome())
    }

    /// What it says with another outcome of the same relation.
    pub fn with_outcome(&self, outcome: Outcome) -> Claim {
        Claim::new(self.subject(), outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_has_one_word_in_files_and_in_code() {
        for (index, relation) in RelationName::ALL.iter().enumerate() {
            assert_eq!(*relation as usize, index);
            assert_eq!(serde_json::to_value(relation).unwrap(), relation.word());
        }
    }

    #[test]
    fn a_claim_is_read_as_its_relation_has_it() {
        let of = |relation: &str, subject: &str, outcome: &str| {
            let text = format!(r#"{{"relation":"{relation}","subject":{subject},"outcome":{outcome}}}"#);
            serde_json::from_str::<Claim>(&text).map_err(|error| error.to_string())
        };
        let variable = r#"{"of":"variable","name":"w"}"#;
        assert!(of("moving", variable, r#"{"is":"moves"}"#).is_ok());
        for (relation, subject, outcome, says) in [
            ("moves", variable, r#"{"is":"moves"}"#, "unknown variant `moves`"),
            ("moving", variable, r#"{"is":"held"}"#, "unknown variant `held`, expected `moves`"),
            ("moving", r#"{"of":"root","class":"R"}"#, r#"{"is":"moves"}"#, "unknown variant `root`"),
            ("moving", r#"{"of":"variable"}"#, r#"{"is":"moves"}"#, "missing field `name`"),
            (
                "moving",
                r#"{"of":"variable","name":"w","more":1}"#,
                r#"{"is":"moves"}"#,
                "unknown field `more`",
            ),
        ] {
            let error = of(relation, subject, outcome).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
