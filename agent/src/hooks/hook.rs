//! The hooks, what each is called, and how it is: the list in `run.json`, which `traincheck doctor` shows.

use crate::libtorch::modes::ContextPart;
use crate::sink;
use std::borrow::Cow;

/// Why a hook is off in which a panic was caught.
pub const FAILED: &str = "a callback failed; this is a defect of traincheck";

/// What can be on or off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Calls of Python functions.
    PythonCalls,
    /// Those in a recursion that nearly uses up the stack of a thread.
    DeepRecursion,
    /// Those in interpreters beside the main one.
    Subinterpreters,
    /// Calls that are suspended and resumed, as one call each.
    SuspendedCalls,
    /// Functions beyond the number that is kept.
    FurtherFunctions,
    /// The same of methods, by the type of their object.
    FurtherMethods,
    /// Processes that load data.
    LoaderWorkers,
    /// All that is read from libtorch.
    Libtorch,
    /// Contents and properties of tensors.
    Variables,
    /// Those of tensors that lie in memory that PyTorch has not allocated.
    OtherMemory,
    /// What is known of tensors among arguments.
    Arguments,
    /// The modes that calls run under.
    Modes,
    /// One part of what makes a context.
    Context(ContextPart),
    /// User scopes of libtorch.
    UserScopes,
    /// Ops of libtorch.
    Ops,
    /// Nodes of its autograd engine.
    AutogradNodes,
    /// What fills parameters before the first iteration.
    Fills,
    /// What processes do together.
    Collectives,
    /// With what options they do: how they reduce, where the root is.
    CollectiveOptions,
    /// Random numbers of PyTorch.
    TorchGenerators,
    /// Those of Python.
    Random,
    /// Those of numpy.
    NumpyRandom,
    /// A setting.
    Setting(String),
}

impl Hook {
    /// What it is listed as.
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Hook::PythonCalls => "python calls",
            Hook::DeepRecursion => "python calls in deep recursion",
            Hook::Subinterpreters => "subinterpreters",
            Hook::SuspendedCalls => "suspended calls",
            Hook::FurtherFunctions => "further Python functions",
            Hook::FurtherMethods => "further methods of further types",
            Hook::LoaderWorkers => "loader workers",
            Hook::Libtorch => "libtorch",
            Hook::Variables => "variables",
            Hook::OtherMemory => "variables in memory that is not PyTorch's",
            Hook::Arguments => "arguments",
            Hook::Modes => "modes",
            Hook::Context(ContextPart::Autocast) => "context: autocast",
            Hook::Context(ContextPart::DefaultType) => "context: default type",
            Hook::Context(ContextPart::MatmulPrecision) => "context: precision of matrix products",
            Hook::Context(ContextPart::OfProcess) => "context: determinism and precision of matrix products",
            Hook::UserScopes => "user scopes",
            Hook::Ops => "ops",
            Hook::AutogradNodes => "autograd nodes",
            Hook::Fills => "initialisation",
            Hook::Collectives => "collectives",
            Hook::CollectiveOptions => "options of collectives",
            Hook::TorchGenerators => "torch generators",
            Hook::Random => "random",
            Hook::NumpyRandom => "numpy.random",
            Hook::Setting(setting) => return Cow::Owned(format!("setting {setting}")),
        })
    }

    /// Says how it is, in the trace if it is off. What was switched off stays so, for the first reason.
    pub fn is(&self, state: &State) {
        match state {
            State::On { how } => sink::note_hook_on(&self.name(), how),
            State::Off { why } => sink::note_hook_off(&self.name(), why),
        }
    }

    /// Says that it is off, and why, of one by which calls have been seen: from here on nothing is concluded from their
    /// absence.
    pub fn is_lost(&self, why: &str) {
        sink::note_hook_lost(&self.name(), why);
    }

    /// Says that it is off, and why.
    pub fn is_off(&self, why: &str) {
        self.is(&State::Off { why: why.to_owned() });
    }
}

/// How a hook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// On.
    On {
        /// By what interface.
        how: &'static str,
    },
    /// Off.
    Off {
        /// For what reason.
        why: String,
    },
}

impl From<Result<&'static str, String>> for State {
    fn from(installed: Result<&'static str, String>) -> State {
        match installed {
            Ok(how) => State::On { how },
            Err(why) => State::Off { why },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `run.json` and `traincheck doctor` call them: other programs read these words.
    const LISTED: &[(Hook, &str)] = &[
        (Hook::PythonCalls, "python calls"),
        (Hook::DeepRecursion, "python calls in deep recursion"),
        (Hook::Subinterpreters, "subinterpreters"),
        (Hook::SuspendedCalls, "suspended calls"),
        (Hook::FurtherFunctions, "further Python functions"),
        (Hook::FurtherMethods, "further methods of further types"),
        (Hook::LoaderWorkers, "loader workers"),
        (Hook::Libtorch, "libtorch"),
        (Hook::Variables, "variables"),
        (Hook::OtherMemory, "variables in memory that is not PyTorch's"),
        (Hook::Arguments, "arguments"),
        (Hook::Modes, "modes"),
        (Hook::Context(ContextPart::Autocast), "context: autocast"),
        (Hook::UserScopes, "user scopes"),
        (Hook::Ops, "ops"),
        (Hook::AutogradNodes, "autograd nodes"),
        (Hook::Collectives, "collectives"),
        (Hook::CollectiveOptions, "options of collectives"),
        (Hook::TorchGenerators, "torch generators"),
        (Hook::Random, "random"),
        (Hook::NumpyRandom, "numpy.random"),
    ];

    #[test]
    fn hooks_are_listed_under_the_names_that_they_always_had() {
        for (hook, name) in LISTED {
            assert_eq!(hook.name(), *name, "{hook:?}");
        }
        assert_eq!(Hook::Setting("include".into()).name(), "setting include");
    }

    #[test]
    fn a_hook_that_was_installed_is_on_by_what_it_uses_and_else_off_for_the_reason() {
        assert_eq!(State::from(Ok("an interface")), State::On { how: "an interface" });
        assert_eq!(State::from(Err("it is not there".into())), State::Off { why: "it is not there".into() });
    }
}
