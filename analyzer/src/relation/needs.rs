//! What a relation reads of a trace. What is not here it does not read, so it need not be recorded for it.

use traincheck_schema::record::{Attribute, Role, VariableKind};

use crate::situation::Fields;

/// What a relation reads, beside what [`EVERY_RELATION`] names.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Calls of functions with these roles.
    pub calls: &'static [Role],
    /// What calls with these roles are given.
    pub arguments: &'static [Role],
    /// What calls with these roles give back.
    pub results: &'static [Role],
    /// States of variables.
    pub variables: &'static [States],
    /// Whether it follows tracked objects from their construction.
    pub constructions: bool,
    /// Whether it follows ops.
    pub ops: bool,
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
        calls: &[],
        arguments: &[],
        results: &[],
        variables: &[],
        constructions: false,
        ops: false,
        contexts: Fields::NONE,
    };
}

/// What iterations, steps and passes over the data are told by: every relation needs it.
pub const EVERY_RELATION: Needs = Needs {
    calls: &[
        Role::User,
        Role::ModuleCall,
        Role::Backward,
        Role::OptimizerStep,
        Role::ScalerStep,
        Role::LoaderIter,
        Role::LoaderNext,
    ],
    contexts: Fields::MODULE_CALL,
    ..Needs::NOTHING
};
