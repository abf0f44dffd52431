//! How often something happens, said through what else is known of the run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How often something happens: through what is known of the same run, as far as possible. What says more comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// Not at all.
    Never,
    /// Once.
    Once,
    /// As often as there are optimizers that step in the stretch.
    Optimizers,
    /// As often as the stretch has iterations with a backward.
    Iterations,
    /// As often as an optimizer steps in it.
    Steps,
    /// As often as a loader gives a batch in it.
    Batches,
    /// As often as the optimizers that step in it have groups of parameters.
    Groups,
    /// As often as these hold parameters.
    Parameters,
    /// A number that nothing in the run explains.
    Number(u32),
}

impl Times {
    /// Those that say more than a number, from the one that says most.
    pub const EXPLAINED: [Times; 8] = [
        Times::Never,
        Times::Once,
        Times::Optimizers,
        Times::Iterations,
        Times::Steps,
        Times::Batches,
        Times::Groups,
        Times::Parameters,
    ];
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Times::Never => "never",
            Times::Once => "once",
            Times::Optimizers => "once for each optimizer",
            Times::Groups => "once for each group of parameters",
            Times::Parameters => "once for each parameter",
            Times::Iterations => "once in each iteration",
            Times::Steps => "once for each step of the optimizer",
            Times::Batches => "once for each batch",
            Times::Number(number) => return write!(f, "{number} times"),
        };
        f.write_str(text)
    }
}
