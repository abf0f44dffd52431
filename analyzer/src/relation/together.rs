//! What follows all ranks of a job together for one relation, and what it works with.
//!
//! Ranks are gone over side by side and meet where they have come equally far: at the look that a step of the same optimizer
//! begins or ends with. All scenes are then as they were at that moment, so nothing of them has to be kept.

use std::rc::Rc;

use super::numbers::Numbers;
use super::sink::{Ranks, Sink, Window};
use crate::scene::came::Came;
use crate::scene::variables::Digest;
use crate::scene::{Look, Scene};
use crate::source::Source;

/// One rank of a job, at this moment.
#[derive(Clone, Copy)]
pub struct Rank<'a> {
    /// Its number.
    pub number: u32,
    /// Its process: `HOST-PID`.
    pub process: &'a str,
    /// The process.
    pub scene: &'a Scene,
    /// For texts.
    pub source: &'a dyn Source,
}

/// All ranks of a job where they have come equally far.
#[derive(Clone, Copy)]
pub struct Meeting<'a> {
    /// In the order of their numbers.
    pub ranks: &'a [Rank<'a>],
    /// What each of them is looking at, likewise.
    pub looks: &'a [Look],
}

impl Meeting<'_> {
    /// Whether all are at the entry of a step; else all are at its return.
    pub fn is_before_step(&self) -> bool {
        self.looks.iter().all(|look| look.at_entry)
    }
}

/// What an observer over ranks works with.
pub struct Joint<'a> {
    /// Numbers of subjects and outcomes.
    pub numbers: &'a mut Numbers,
    /// Where windows go.
    pub sink: &'a mut dyn Sink,
}

impl Joint<'_> {
    /// Hands over a window of the rank number `at` of `ranks`, in which those that `departing` names are not as the
    /// others, by their places; none: nobody can say which. With what each of them has of the variable that it is about,
    /// if that is a tensor.
    pub fn window(
        &mut self,
        window: &Window<'_>,
        ranks: &[Rank<'_>],
        at: usize,
        departing: &[usize],
        contents: &[Digest],
    ) {
        self.hand_over(window, ranks, at, (departing, contents, true));
    }

    /// The same of what has no variable. Where they do not `differ`, what is wrong is of all of them together.
    pub fn window_of(
        &mut self,
        window: &Window<'_>,
        ranks: &[Rank<'_>],
        at: usize,
        departing: &[usize],
        differ: bool,
    ) {
        self.hand_over(window, ranks, at, (departing, &[], differ));
    }

    fn hand_over(
        &mut self,
        window: &Window<'_>,
        ranks: &[Rank<'_>],
        at: usize,
        (departing, contents, differ): (&[usize], &[Digest], bool),
    ) {
        let rank = &ranks[at];
        let departing: Vec<u32> = departing.iter().map(|&at| ranks[at].number).collect();
        let over =
            Ranks { departing: &departing, of: ranks.len() as u32, differ, process: rank.process, contents };
        let window = Window { ranks: Some(over), ..*window };
        self.sink.window(&window, rank.scene, self.numbers, rank.source);
    }
}

/// Turns what ranks have at meetings into windows.
pub trait Together {
    /// Hears of what became of a collective of the rank at the place `at` of `ranks`, before the meeting that follows it.
    fn came(&mut self, came: &Rc<Came>, at: usize, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let _ = (came, at, ranks, joint);
    }

    /// Observes one meeting.
    fn met(&mut self, meeting: &Meeting<'_>, joint: &mut Joint<'_>);

    /// Hears that there are no more.
    fn end(&mut self, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let _ = (ranks, joint);
    }
}

/// Which values depart from those of the others: the places of those that are not the `same` as what more than half of them
/// are; `None`: all are the same. Where none is in the majority nobody can say, and the list is empty.
///
/// Borrowed from the advice to name first the smallest set of machines that differ (ByteRobust, SOSP '25).
pub fn departing<T>(values: &[T], same: impl Fn(&T, &T) -> bool) -> Option<Vec<usize>> {
    let (first, others) = values.split_first()?;
    if others.iter().all(|value| same(value, first)) {
        return None;
    }
    let apart = |from: &T| (0..values.len()).filter(|&at| !same(&values[at], from)).collect::<Vec<_>>();
    let in_majority =
        |value: &&T| values.iter().filter(|other| same(other, value)).count() * 2 > values.len();
    Some(values.iter().find(in_majority).map(apart).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn those_that_are_not_as_most_depart() {
        let departing = |values: &[u8]| super::departing(values, |one, other| one == other);
        assert_eq!(departing(&[]), None);
        assert_eq!(departing(&[7]), None);
        assert_eq!(departing(&[7, 7, 7]), None);
        assert_eq!(departing(&[7, 8, 7]), Some(vec![1]));
        assert_eq!(departing(&[8, 7, 7, 7, 9]), Some(vec![0, 4]));
        assert_eq!(departing(&[7, 8]), Some(vec![]), "either may be wrong");
        assert_eq!(departing(&[7, 7, 8, 8]), Some(vec![]));
    }
}
