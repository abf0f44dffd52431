//! The context of an example, and the preconditions that can be said about it.
//!
//! A context is one of 48 cells: stage, grad mode, module mode, outermost or not. Counting examples per cell is
//! all that inference needs: a precondition is a choice of cells, so it can be checked against every example that
//! was ever counted, and neither the order of the examples nor the number of threads can change it.

use serde::{Deserialize, Serialize};
use traincheck_schema::record::{Stage, flags};

/// How many cells there are.
pub const CELLS: usize = 48;

/// One context, as a number below [`CELLS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell(u8);

/// Which parts of the context a precondition may speak about; the others are blanked out before counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The stage.
    pub stage: bool,
    /// Whether gradients are enabled.
    pub grad: bool,
    /// The mode of the module that is called, and whether it is the outermost.
    pub module: bool,
}

impl Fields {
    /// Nothing: the claim holds always or not at all.
    pub const NONE: Fields = Fields { stage: false, grad: false, module: false };
    /// Grad mode only.
    pub const GRAD: Fields = Fields { stage: false, grad: true, module: false };
    /// Everything.
    pub const ALL: Fields = Fields { stage: true, grad: true, module: true };
}

impl Cell {
    /// The cell of what has these `flags` in this `stage`, as far as `fields` says.
    pub fn new(stage: u8, event_flags: u16, fields: Fields) -> Cell {
        let stage = if fields.stage { stage.min(3) } else { 0 };
        let grad = u8::from(fields.grad && event_flags & flags::GRAD != 0);
        let (mode, outermost) = if fields.module {
            let mode = if event_flags & flags::MODULE_TRAIN != 0 {
                1
            } else if event_flags & flags::MODULE_EVAL != 0 {
                2
            } else {
                0
            };
            (mode, u8::from(event_flags & flags::OUTERMOST != 0))
        } else {
            (0, 0)
        };
        Cell(((stage * 2 + grad) * 3 + mode) * 2 + outermost)
    }

    /// Its number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The cell with this number.
    pub fn from_index(index: usize) -> Cell {
        Cell((index % CELLS) as u8)
    }

    fn parts(self) -> (u8, u8, u8, u8) {
        (self.0 / 12, self.0 / 6 % 2, self.0 / 2 % 3, self.0 % 2)
    }
}

/// A set of cells, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellSet(pub u64);

impl CellSet {
    /// All cells.
    pub const ALL: CellSet = CellSet((1 << CELLS) - 1);

    /// Adds one.
    pub fn insert(&mut self, cell: Cell) {
        self.0 |= 1 << cell.0;
    }
    /// Whether it is in the set.
    pub fn contains(self, cell: Cell) -> bool {
        self.0 >> cell.0 & 1 == 1
    }
    /// Whether the two have a cell in common.
    pub fn meets(self, other: CellSet) -> bool {
        self.0 & other.0 != 0
    }
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Mode of the module that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// No module is called.
    None,
    /// `module.training` is true.
    Training,
    /// It is false.
    Evaluation,
}

/// A conjunction: every part that is named must be so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// The stage.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stage: Option<StageName>,
    /// Whether gradients are enabled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grad: Option<bool>,
    /// The module's mode.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<Mode>,
    /// Whether no other module call is around it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outermost: Option<bool>,
}

/// [`Stage`] in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Before the first iteration.
    Init,
    /// In an iteration.
    Training,
    /// In evaluation mode or without gradients.
    Evaluation,
    /// While saving.
    Checkpointing,
}

const STAGES: [StageName; 4] =
    [StageName::Init, StageName::Training, StageName::Evaluation, StageName::Checkpointing];
const MODES: [Mode; 3] = [Mode::None, Mode::Training, Mode::Evaluation];

impl StageName {
    /// The name of a recorded stage.
    pub fn of(stage: u8) -> StageName {
        STAGES[usize::from(stage.min(Stage::Checkpointing as u8))]
    }
    /// As one word.
    pub fn word(self) -> &'static str {
        ["init", "training", "evaluation", "checkpointing"][self as usize]
    }
}

impl Clause {
    /// The cells in which it is true.
    pub fn cells(&self) -> CellSet {
        let mut set = CellSet::default();
        for index in 0..CELLS {
            let cell = Cell::from_index(index);
            let (stage, grad, mode, outermost) = cell.parts();
            if self.stage.is_none_or(|s| s as u8 == stage)
                && self.grad.is_none_or(|g| u8::from(g) == grad)
                && self.mode.is_none_or(|m| m as u8 == mode)
                && self.outermost.is_none_or(|o| u8::from(o) == outermost)
            {
                set.insert(cell);
            }
        }
        set
    }

    fn literals(&self) -> u32 {
        u32::from(self.stage.is_some())
            + u32::from(self.grad.is_some())
            + u32::from(self.mode.is_some())
            + u32::from(self.outermost.is_some())
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(stage) = self.stage {
            parts.push(format!("the stage is {}", stage.word()));
        }
        if let Some(grad) = self.grad {
            parts.push(format!("gradients are {}", if grad { "enabled" } else { "disabled" }));
        }
        match self.mode {
            Some(Mode::None) => parts.push("no module is called".into()),
            Some(Mode::Training) => parts.push("the module is in training mode".into()),
            Some(Mode::Evaluation) => parts.push("the module is in evaluation mode".into()),
            None => {}
        }
        if let Some(outermost) = self.outermost {
            let not = if outermost { "" } else { "not " };
            parts.push(format!("it is {not}the outermost module call"));
        }
        parts.join(" and ")
    }
}

/// When a claim applies: always (no clause), or where at least one of at most two clauses is true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Precondition {
    /// The clauses.
    pub any_of: Vec<Clause>,
}

impl Precondition {
    /// The cells it applies in.
    pub fn cells(&self) -> CellSet {
        if self.any_of.is_empty() {
            return CellSet::ALL;
        }
        CellSet(self.any_of.iter().fold(0, |set, clause| set | clause.cells().0))
    }

    /// In words, or nothing for "always".
    pub fn text(&self) -> Option<String> {
        if self.any_of.is_empty() {
            return None;
        }
        Some(self.any_of.iter().map(Clause::text).collect::<Vec<_>>().join(", or "))
    }
}

/// Finds the precondition that covers the most cells with positive examples and none with a negative one.
///
/// Of those that cover equally many it takes the one with fewer clauses, then the narrowest (most conditions), then
/// the first in a fixed order: a narrow precondition is silent where the references have nothing to say.
pub fn separate(positive: CellSet, negative: CellSet) -> Option<Precondition> {
    if positive.is_empty() {
        return None;
    }
    if negative.is_empty() {
        return Some(Precondition::default());
    }
    let candidates: Vec<(Clause, CellSet)> = all_clauses()
        .map(|clause| (clause, clause.cells()))
        .filter(|(_, cells)| !cells.meets(negative) && cells.meets(positive))
        .collect();
    let covered = |cells: u64| (cells & positive.0).count_ones();
    let mut best: Option<((u32, i32, u32), Precondition)> = None;
    let mut offer = |score: (u32, i32, u32), clauses: &[Clause]| {
        if best.as_ref().is_none_or(|(other, _)| score > *other) {
            best = Some((score, Precondition { any_of: clauses.to_vec() }));
        }
    };
    for (index, (first, cells)) in candidates.iter().enumerate() {
        offer((covered(cells.0), -1, first.literals()), &[*first]);
        for (second, other) in &candidates[index + 1..] {
            offer((covered(cells.0 | other.0), -2, first.literals() + second.literals()), &[*first, *second]);
        }
    }
    best.map(|(_, precondition)| precondition)
}

fn all_clauses() -> impl Iterator<Item = Clause> {
    let options = |n: usize| (0..=n).map(move |i| i.checked_sub(1));
    options(4).flat_map(move |stage| {
        options(2).flat_map(move |grad| {
            options(3).flat_map(move |mode| {
                options(2).map(move |outermost| Clause {
                    stage: stage.map(|i| STAGES[i]),
                    grad: grad.map(|i| i == 1),
                    mode: mode.map(|i| MODES[i]),
                    outermost: outermost.map(|i| i == 1),
                })
            })
        })
    })
}
