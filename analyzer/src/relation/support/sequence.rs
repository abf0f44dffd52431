//! What came since: the calls of one level, the most recent first.

use rustc_hash::FxHashMap;
use traincheck_schema::record::Role;

use crate::call::CallId;
use crate::call::roles::Roles;
use crate::scene::{Frame, Scene};

/// Each call appears once, at its last occurrence. So the calls since the last B are those in front of it, and
/// finding them costs no more than telling them.
#[derive(Debug, Default)]
pub struct Sequence {
    recent: Vec<CallId>,
    /// By place in `recent`, that in `frames`, which stay where they are: a frame is large.
    places: Vec<usize>,
    frames: Vec<Frame>,
}

impl Sequence {
    /// The calls since `call` last came, most recent last, and its last occurrence; all there are if it has not come.
    pub fn since(&self, call: CallId) -> (&[CallId], Option<&Frame>) {
        match self.find(call) {
            Some(at) => (&self.recent[at + 1..], Some(&self.frames[self.places[at]])),
            None => (&self.recent, None),
        }
    }

    /// Adds a call.
    pub fn push(&mut self, call: CallId, frame: &Frame) {
        if let Some(at) = self.find(call) {
            self.frames[self.places[at]] = *frame;
            let place = self.places.remove(at);
            self.places.push(place);
            self.recent.remove(at);
            self.recent.push(call);
        } else {
            self.recent.push(call);
            self.places.push(self.frames.len());
            self.frames.push(*frame);
        }
    }

    fn clear(&mut self) {
        self.recent.clear();
        self.places.clear();
        self.frames.clear();
    }

    fn find(&self, call: CallId) -> Option<usize> {
        self.recent.iter().rposition(|&other| other == call)
    }

    /// All calls, in the order of their last occurrence.
    pub fn calls(&self) -> &[CallId] {
        &self.recent
    }
}

/// The calls that take part in sequences, at every level that is open: of each level so many sequences.
#[derive(Debug)]
pub struct Levels<const N: usize> {
    /// By the call that makes them, or the thread where none does.
    levels: FxHashMap<(u16, u64), [Sequence; N]>,
    /// Empty ones, for the next levels: most calls open and close one.
    spare: Vec<[Sequence; N]>,
}

impl<const N: usize> Default for Levels<N> {
    fn default() -> Self {
        Levels { levels: FxHashMap::default(), spare: Vec::new() }
    }
}

impl<const N: usize> Levels<N> {
    /// The level of the calls that `parent` makes; 0: the top of the thread.
    pub fn level(&mut self, thread: u16, parent: u64) -> &mut [Sequence; N] {
        let new = || self.spare.pop().unwrap_or_else(|| std::array::from_fn(|_| Sequence::default()));
        self.levels.entry(Self::key(thread, parent)).or_insert_with(new)
    }

    /// Closes the level of the calls that `parent` made.
    pub fn close(&mut self, thread: u16, parent: u64) -> Option<[Sequence; N]> {
        self.levels.remove(&Self::key(thread, parent))
    }

    /// Takes a level back that was closed and is no longer needed.
    pub fn reuse(&mut self, mut level: [Sequence; N]) {
        level.iter_mut().for_each(Sequence::clear);
        self.spare.push(level);
    }

    /// A generator's call may go on in another thread.
    fn key(thread: u16, parent: u64) -> (u16, u64) {
        (if parent == 0 { thread } else { 0 }, parent)
    }
}

/// What training cannot do without.
pub const CRITICAL: Roles = Roles::of(&[
    Role::Backward,
    Role::OptimizerStep,
    Role::ZeroGrad,
    Role::SchedulerStep,
    Role::ClipGrad,
    Role::ScalerScale,
    Role::ScalerUnscale,
    Role::ScalerStep,
    Role::ScalerUpdate,
]);

/// What a call may be preceded or followed by.
pub const NEIGHBOURS: Roles = CRITICAL.and(Roles::of(&[Role::User, Role::ModuleCall]));

/// Whether a call may be what another is preceded or followed by.
pub fn is_neighbour(frame: &Frame) -> bool {
    frame.counts && NEIGHBOURS.has(frame.target.role)
}

/// The call around `frame`, which is open; 0 at the top. A step that a gradient scaler takes counts as taken by whoever
/// called the scaler: beside the backward that it belongs to, as without a scaler.
pub fn parent(frame: &Frame, scene: &Scene) -> u64 {
    let depth = scene.depth(frame);
    let by_scaler =
        |outer: &&Frame| frame.target.role == Role::OptimizerStep && outer.target.role == Role::ScalerStep;
    let mut around = scene.stack(frame.thread, depth).iter().rev().skip_while(by_scaler);
    around.next().map_or(0, |outer| outer.call)
}
