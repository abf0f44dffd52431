//! What became of collectives.

use traincheck_schema::record::Collective;

use super::Frame;

/// Something that happened to a collective.
#[derive(Clone, Debug)]
pub struct Came {
    /// The record of it.
    pub record: Collective,
    /// Of one that was issued the calls around it, outermost first.
    pub stack: Vec<Frame>,
    /// How many steps of optimizers its process had made.
    pub steps: u32,
    /// A backward pass has begun since the last of them: gradients are on their way to the next.
    pub before_step: bool,
}
