//! Measurements of one number, eight in a row at a time. A part of band.

use super::claim::{Quantity, Subject};
use super::setting::{Pace, Setting};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::variables::VarId;
use crate::scene::{Cut, Frame};
use crate::situation::NOTHING;

/// So many measurements in a row are judged together, by their median.
const A_BLOCK: usize = 8;
/// A block in which all but the lowest and the highest lie further apart, in sizes, is of no size: two doublings.
const SCATTERED: i32 = 16;
/// So many blocks are the beginning.
const THE_BEGINNING: u32 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Blocks {
    quantity: Quantity,
    /// Each block, and the beginning, once the setting is known.
    subjects: Option<[SubjectId; 2]>,
    /// The block that is being filled, and how many it has.
    block: [i32; A_BLOCK],
    filled: usize,
    /// Where it began.
    began: (u32, u32),
    since: Pace,
    blocks: u32,
    highest: i32,
    /// Some block so far was scattered.
    scattered: bool,
}

impl Blocks {
    /// None so far.
    pub(super) fn of(quantity: Quantity) -> Blocks {
        Blocks {
            quantity,
            subjects: None,
            block: [0; A_BLOCK],
            filled: 0,
            began: (0, 0),
            since: Pace::default(),
            blocks: 0,
            highest: i32::MIN,
            scattered: false,
        }
    }

    /// The number is of this size at a call. `resumed`: the training begins before this run.
    pub(super) fn add(
        &mut self,
        size: i32,
        (at, variables): (&Frame, &[VarId]),
        (setting, resumed): (&Setting, bool),
        cx: &mut Context<'_>,
    ) {
        if self.filled == 0 {
            self.began = (at.iteration, at.step);
            self.since = setting.pace(cx.scene);
        }
        self.block[self.filled] = size;
        self.filled += 1;
        if self.filled < A_BLOCK {
            return;
        }
        self.filled = 0;
        self.blocks = self.blocks.saturating_add(1);
        self.block.sort_unstable();
        let size = self.block[A_BLOCK / 2];
        let scattered = self.block[A_BLOCK - 2] - self.block[1] > SCATTERED;
        self.scattered |= scattered;
        self.highest = self.highest.max(size);
        let [each, beginning] = *self.subjects.get_or_insert_with(|| {
            let (quantity, setting) = (&self.quantity, setting.text_since(self.since, cx.scene));
            let each = Subject::Each { quantity: quantity.clone(), setting: setting.clone() };
            let beginning = Subject::Beginning { quantity: quantity.clone(), setting };
            [cx.numbers.subject(each), cx.numbers.subject(beginning)]
        });
        let mut window = Window::new(each, NOTHING, at, cx.scene.depth(at));
        window.number = Some(size);
        window.began = Some(self.began);
        window.cut = scattered.then_some(Cut::Unclear);
        window.variables = variables;
        cx.window(&window);
        if self.blocks == THE_BEGINNING {
            (window.subject, window.number) = (beginning, Some(self.highest));
            (window.began, window.cut) = (None, (resumed || self.scattered).then_some(Cut::Unclear));
            cx.window(&window);
        }
    }
}
