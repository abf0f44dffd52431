//! What can be set: one table ([`TABLE`]), from which the file `traincheck.toml`, the variables `TRAINCHECK_*`, the
//! options of `traincheck collect`, their help, the messages about mistakes and `docs/configuration.md` are made.
//!
//! Reading settings never fails: what is wrong is a [`Problem`], and the setting keeps its default. Who reads them
//! decides what follows: the agent notes it and records, `collect` refuses.

mod file;
pub mod guide;
mod load;
mod pattern;
mod placement;
mod problem;
mod root;
mod rule;
mod table;
mod words;

pub use load::{Given, InForce, Loaded, Sources, environment, load};
pub use pattern::{Pattern, glob};
pub use placement::Placement;
pub use problem::{Place, Problem};
pub use root::CodeRoot;
pub use rule::{FunctionRule, KEYS};
pub use table::{Kind, Setting, TABLE};
pub use words::{
    COUNTERS, CapturePolicy, Counter, ObservationPoint, ObservationPoints, Receiver, RecordedArguments, Word,
};

/// How much is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Iterations and the state of variables: no functions of the script, no ops.
    Minimal,
    /// The Python surface that matters for correctness, the script's own functions, user scopes, state.
    #[default]
    Training,
    /// Every Python function of `torch`, and every op.
    Full,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 3] = [Profile::Minimal, Profile::Training, Profile::Full];

    /// The name under which it is set, and which the trace keeps.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Minimal => "minimal",
            Profile::Training => "training",
            Profile::Full => "full",
        }
    }
}

/// The settings in force. The defaults are those of the table; a test holds the two together.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How much is recorded.
    pub profile: Profile,
    /// Functions that are recorded beside those of the profile.
    pub include: Vec<Pattern>,
    /// Functions that are not recorded.
    pub exclude: Vec<Pattern>,
    /// What counts as the user's own code beside what lies outside of installed packages.
    pub user_code: Vec<CodeRoot>,
    /// What functions of other libraries do.
    pub rules: Vec<FunctionRule>,
    /// Every op is recorded in this many iterations at the beginning ...
    pub sample_first: u32,
    /// ... and then in one of this many; 0: never again.
    pub sample_every: u32,
    /// A function of the script that is called more often in one iteration is no longer recorded.
    pub max_calls_per_iteration: u32,
    /// What recording may cost, in percent of the job's time; none: as much as it costs.
    pub overhead: Option<f64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            profile: Profile::Training,
            include: Vec::new(),
            exclude: Vec::new(),
            user_code: Vec::new(),
            rules: Vec::new(),
            sample_first: 3,
            sample_every: 100,
            max_calls_per_iteration: 64,
            overhead: None,
        }
    }
}
