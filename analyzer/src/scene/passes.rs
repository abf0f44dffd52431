//! Passes over the training data: those of a loader in which a backward runs.

use super::Frame;

/// An iterator over a loader that is in use.
#[derive(Debug)]
struct Pass {
    object: u32,
    site: u32,
    trained: bool,
}

/// Notices where a pass turns out to be one over training data: at its first backward.
#[derive(Debug, Default)]
pub struct Passes {
    open: Vec<Pass>,
    current: Option<usize>,
    /// The backward with which the last one began, and what it goes over.
    begun: Option<(u64, u32)>,
    /// When the last one came to its end.
    ended: u64,
}

impl Passes {
    /// The training pass that begins with this backward: what it goes over. Passes over the same are told by the place
    /// in the code that iterates, so that a script may make a loader of its own for each.
    pub fn begins_with(&self, backward: &Frame) -> Option<u32> {
        self.begun.filter(|(call, _)| *call == backward.call).map(|(_, over)| over)
    }

    /// When the last training pass came to its end, ns; 0: none has.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// A loader is iterated over.
    pub(crate) fn iterated(&mut self, frame: &Frame) {
        // Begun again before its end: the older iterator is given up.
        self.open.retain(|pass| frame.object == 0 || pass.object != frame.object);
        self.open.push(Pass { object: frame.object, site: frame.site, trained: false });
        self.current = Some(self.open.len() - 1);
    }

    /// A loader has given a batch, or has come to its end.
    pub(crate) fn gave(&mut self, frame: &Frame, ended: bool) {
        let of = self.open.iter().rposition(|pass| frame.object == 0 || pass.object == frame.object);
        if ended {
            if let Some(at) = of
                && self.open.remove(at).trained
            {
                self.ended = frame.time;
            }
            self.current = None;
        } else {
            self.current = of;
        }
    }

    /// A backward, the outermost, begins.
    pub(crate) fn trained(&mut self, frame: &Frame) {
        let current = self.current.or(self.open.len().checked_sub(1));
        let Some(pass) = current.and_then(|at| self.open.get_mut(at)) else { return };
        if !std::mem::replace(&mut pass.trained, true) {
            self.begun = Some((frame.call, if pass.site == 0 { pass.object } else { pass.site }));
        }
    }
}
