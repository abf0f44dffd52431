//! What a relation reads of a trace. What is not here it does not read, so it need not be recorded for it.

use traincheck_schema::record::{Attribute, Role, VariableKind};

use crate::call::role_word;
use crate::call::roles::Roles;
use crate::situation::{Feature, Fields};

/// What a relation reads, beside what [`EVERY_RELATION`] names.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Calls of functions with these roles.
    pub calls: Roles,
    /// What calls with these roles are given.
    pub arguments: Roles,
    /// What calls with these roles give back.
    pub results: Roles,
    /// States of variables.
    pub variables: &'static [States],
    /// Whether it follows tracked objects from their construction.
    pub constructions: bool,
    /// Whether it follows ops.
    pub ops: bool,
    /// Whether it follows what fills parameters before the first iteration.
    pub fills: bool,
    /// Whether it follows collectives.
    pub collectives: bool,
    /// Of the contexts of calls, what its preconditions and claims speak of.
    pub contexts: Fields,
}

/// What is read of some variables.
#[derive(Clone, Copy, Debug)]
pub struct States {
    /// What of them.
    pub attribute: Attribute,
    /// Their kinds.
    pub of: &'static [VariableKind],
    /// The observation points at which they are read; none: wherever.
    pub at: &'static [Point],
}

impl States {
    /// Which optimizers hold parameters.
    pub const HOLDERS: States = States { attribute: Attribute::HeldBy, of: PARAMETERS, at: &[] };
    /// The gradients that a backward leaves.
    pub const GRADIENTS: States =
        States { attribute: Attribute::Grad, of: PARAMETERS, at: &[Point::Return(Role::Backward)] };
    /// The losses that backwards begin at.
    pub const LOSSES: States = States { attribute: Attribute::Value, of: &[VariableKind::Loss], at: &[] };
    /// The storages of parameters.
    pub const STORAGES: States = States { attribute: Attribute::Storage, of: PARAMETERS, at: &[] };
    /// Contents of parameters after each step.
    pub const AFTER_STEPS: States =
        States { attribute: Attribute::Data, of: PARAMETERS, at: &[Point::Return(Role::OptimizerStep)] };
    /// Contents of parameters before and after each step.
    pub const AROUND_STEPS: States = States {
        attribute: Attribute::Data,
        of: PARAMETERS,
        at: &[Point::Entry(Role::OptimizerStep), Point::Return(Role::OptimizerStep)],
    };
    /// Learning rates, wherever one is set.
    pub const RATES: States = States {
        attribute: Attribute::Value,
        of: &[VariableKind::Hyperparameter],
        at: &[
            Point::Entry(Role::OptimizerStep),
            Point::Return(Role::OptimizerStep),
            Point::Return(Role::SchedulerStep),
            Point::Return(Role::OptimizerInit),
            Point::Return(Role::LoadState),
        ],
    };
}

/// Parameters of modules, and those that no running module reaches.
const PARAMETERS: &[VariableKind] = &[VariableKind::Parameter, VariableKind::Unreached];

/// An observation point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The entry of calls with this role.
    Entry(Role),
    /// Their return.
    Return(Role),
}

impl Needs {
    /// Nothing of its own.
    pub const NOTHING: Needs = Needs {
        calls: Roles::NONE,
        arguments: Roles::NONE,
        results: Roles::NONE,
        variables: &[],
        constructions: false,
        ops: false,
        fills: false,
        collectives: false,
        contexts: Fields::NONE,
    };
}

/// What iterations, steps and passes over the data are told by, and what calls are made by: every relation needs it.
pub const EVERY_RELATION: Needs = Needs {
    calls: Roles::of(&[
        Role::Other,
        Role::User,
        Role::ModuleCall,
        Role::Backward,
        Role::OptimizerStep,
        Role::ScalerStep,
        Role::LoaderIter,
        Role::LoaderNext,
    ]),
    contexts: Fields::of(&[Feature::Grad, Feature::Mode, Feature::Outermost]),
    ..Needs::NOTHING
};

/// What the row of [`EVERY_RELATION`] is called.
const EVERY: &str = "every relation";

/// The needs of relations as a table in Markdown.
pub fn table<'a>(relations: impl Iterator<Item = (String, &'a Needs)>) -> String {
    let mut text = String::from(
        "| relation | calls | arguments and results | variables | also | contexts |\n|---|---|---|---|---|---|\n",
    );
    let every = [(EVERY.to_owned(), &EVERY_RELATION)].into_iter();
    for (word, needs) in every.chain(relations) {
        let calls = match needs.calls == Roles::ALL {
            true => "all".to_owned(),
            false => roles(needs.calls.iter().filter(|role| is_its_own(&word, *role))),
        };
        let mut values = Vec::new();
        for (what, of) in [("arguments of", needs.arguments), ("results of", needs.results)] {
            if of != Roles::NONE {
                values.push(format!("{what} {}", roles(of.iter())));
            }
        }
        let variables: Vec<String> = needs.variables.iter().map(States::text).collect();
        let also = [
            (needs.constructions, "constructions"),
            (needs.ops, "ops"),
            (needs.fills, "fills"),
            (needs.collectives, "collectives"),
        ];
        let also: Vec<&str> = also.into_iter().filter_map(|(needed, what)| needed.then_some(what)).collect();
        let contexts: Vec<String> = needs.contexts.features().map(feature).collect();
        let cells =
            [word, calls, values.join("; "), variables.join("; "), also.join(", "), contexts.join(", ")];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn is_its_own(word: &str, role: Role) -> bool {
    word == EVERY || !EVERY_RELATION.calls.has(role)
}

fn roles(roles: impl Iterator<Item = Role>) -> String {
    roles.map(|role| format!("`{}`", role_word::word(role))).collect::<Vec<_>>().join(", ")
}

fn feature(feature: Feature) -> String {
    let word = serde_json::to_value(feature).unwrap_or_default();
    format!("`{}`", word.as_str().unwrap_or_default())
}

impl States {
    fn text(&self) -> String {
        let what = match self.attribute {
            Attribute::Data => "contents",
            Attribute::Grad => "gradients",
            Attribute::RequiresGrad => "`requires_grad`",
            Attribute::Storage => "storage",
            Attribute::HeldBy => "optimizers that hold",
            Attribute::ReachedFrom => "root modules that reach",
            Attribute::Value => "values",
            Attribute::Shape => "shapes",
            Attribute::Training => "`training`",
        };
        let of: Vec<&str> = self.of.iter().map(|kind| plural(*kind)).collect();
        let joint = match self.attribute {
            Attribute::HeldBy | Attribute::ReachedFrom => "",
            _ => "of ",
        };
        let at: Vec<String> = self.at.iter().filter_map(|point| point.text(self.at)).collect();
        let at = if at.is_empty() { String::new() } else { format!(" at the {}", at.join(", ")) };
        format!("{what} {joint}{}{at}", of.join(", "))
    }
}

impl Point {
    /// In words; `None`: the entry of the same calls, which is among the others, says it as well.
    fn text(&self, others: &[Point]) -> Option<String> {
        match *self {
            Point::Entry(role) if others.contains(&Point::Return(role)) => {
                Some(format!("entry and return of `{}`", role_word::word(role)))
            }
            Point::Entry(role) => Some(format!("entry of `{}`", role_word::word(role))),
            Point::Return(role) if others.contains(&Point::Entry(role)) => None,
            Point::Return(role) => Some(format!("return of `{}`", role_word::word(role))),
        }
    }
}

fn plural(kind: VariableKind) -> &'static str {
    match kind {
        VariableKind::Parameter => "parameters",
        VariableKind::Buffer => "buffers",
        VariableKind::Unreached => "parameters of no module",
        VariableKind::Hyperparameter => "hyperparameters",
        VariableKind::Mode => "root modules",
        VariableKind::OptimizerState => "optimizer state",
        VariableKind::SchedulerState => "scheduler state",
        VariableKind::ScalerState => "scaler state",
        VariableKind::Rng => "random number generators",
        VariableKind::Loss => "losses",
        VariableKind::Batch => "batches",
        VariableKind::Worker => "loader workers",
        VariableKind::ParameterAttribute => "attributes of parameters",
    }
}
