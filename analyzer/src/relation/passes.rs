//! Passes over the training data: those of a loader in which a backward runs.

use traincheck_schema::record::Role;

use crate::scene::{Cut, Frame, Moment};

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
}

impl Passes {
    /// A training pass begins with this moment: what it goes over. Passes over the same are told by the place in the
    /// code that iterates, so that a script may make a loader of its own for each.
    pub fn hear(&mut self, moment: &Moment<'_>) -> Option<u32> {
        match moment {
            Moment::Enter(frame) if frame.target.role == Role::LoaderIter && frame.counts => {
                // Begun again before its end: the older iterator is given up.
                self.open.retain(|pass| frame.object == 0 || pass.object != frame.object);
                self.open.push(Pass { object: frame.object, site: frame.site, trained: false });
                self.current = Some(self.open.len() - 1);
            }
            Moment::Enter(frame) if frame.target.role == Role::Backward && frame.counts => {
                return self.trained();
            }
            Moment::Leave(frame, cut) if frame.target.role == Role::LoaderNext => {
                self.next_returned(frame, *cut == Some(Cut::Raised));
            }
            _ => {}
        }
        None
    }

    fn next_returned(&mut self, frame: &Frame, ended: bool) {
        let of = self.open.iter().rposition(|pass| frame.object == 0 || pass.object == frame.object);
        if ended {
            if let Some(at) = of {
                self.open.remove(at);
            }
            self.current = None;
        } else {
            self.current = of;
        }
    }

    fn trained(&mut self) -> Option<u32> {
        let current = self.current.or(self.open.len().checked_sub(1));
        let pass = current.and_then(|at| self.open.get_mut(at))?;
        let again = std::mem::replace(&mut pass.trained, true);
        (!again).then_some(if pass.site == 0 { pass.object } else { pass.site })
    }
}
