//! Within how many steps something comes for the first time. How soon is a matter of configuration: what counts against a
//! run is that it never comes, in a run that goes on for a good deal longer than the references took.

use crate::relation::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::{Cut, Frame};
use crate::situation::NOTHING;

/// The longest stretch of steps within which it is looked for, as a power of two.
pub const LONGEST: u32 = 20;

/// What is to come in the steps of a run.
#[derive(Clone, Copy, Debug)]
pub struct Awaited {
    /// The step from which on it is looked for.
    pub first: Frame,
    /// The last one.
    pub last: Frame,
    /// How many there were.
    pub steps: u32,
    /// Whether a part of it has come.
    pub begun: bool,
    /// After how many steps it has come as a whole.
    came: Option<u32>,
}

impl Awaited {
    /// It is looked for from this step on, of which none has been counted.
    pub fn from(first: Frame) -> Awaited {
        Awaited { first, last: first, steps: 0, begun: false, came: None }
    }

    /// One more step.
    pub fn step(&mut self, frame: &Frame) {
        self.last = *frame;
        self.steps = self.steps.saturating_add(1);
    }

    /// It has come, now or before.
    pub fn comes(&mut self) {
        self.came.get_or_insert(self.steps);
    }

    /// Nothing more will come: says of each stretch of steps whether it came within it.
    pub fn end<S: Into<Subject>>(
        &self,
        within: impl Fn(u32) -> S,
        outcome: impl Into<Outcome>,
        cx: &mut Context<'_>,
    ) {
        let broken_off = cx.source.end().is_broken_off();
        let outcome = [cx.numbers.outcome(outcome)];
        for steps in (0..=LONGEST).map(|power| 1 << power) {
            let subject = cx.numbers.subject(within(steps));
            let mut window = Window::new(subject, NOTHING, &self.last, 0);
            match self.came {
                Some(after) if after <= steps => window.held = &outcome,
                None if !self.begun && self.steps > steps => {
                    window.cut = cx.scene.lost_since(self.first.losses).or(broken_off.then_some(Cut::End));
                }
                // It came later, or there was no time for it.
                _ => window.inconclusive = &outcome,
            }
            window.began = Some((self.first.iteration, self.first.step));
            cx.window(&window);
        }
    }
}
