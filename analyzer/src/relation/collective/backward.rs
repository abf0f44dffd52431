//! Collectives by which gradients go to all other ranks: those that backward passes enter.
//!
//! Wrappers (DDP, FSDP) reduce gradients in a hook of the backward pass, and a collective through which a gradient comes back enters
//! another one there. One that is left out takes nothing away that anybody waits for: ranks train on with what they have.

use traincheck_schema::record::{CollectiveEvent, CollectiveKind, Role};

use super::claim::{Outcome, Subject};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::{Context, Observer};
use crate::relation::sink::Window;
use crate::scene::came::Came;
use crate::scene::{Frame, TraceEvent};
use crate::situation::NOTHING;

/// What takes gradients to other ranks. What only fetches parameters or sends buffers may be left out by other settings of a wrapper.
const TAKES: [CollectiveKind; 11] = [
    CollectiveKind::AllReduce,
    CollectiveKind::AllReduceCoalesced,
    CollectiveKind::AllReduceSparse,
    CollectiveKind::Reduce,
    CollectiveKind::ReduceScatter,
    CollectiveKind::ReduceScatterTensor,
    CollectiveKind::ReduceScatterTensorCoalesced,
    CollectiveKind::AllToAll,
    CollectiveKind::AllToAllSingle,
    CollectiveKind::Gather,
    CollectiveKind::Scatter,
];

/// How many of them, from the first, reduce: which of these does it is a matter of the wrapper.
const REDUCTIONS: usize = 7;

/// How a collective was entered since the last step.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    #[default]
    NotAtAll,
    /// Behind a backward pass and not in it, or by some of all ranks. Gradients may be taken to others by it, too: whether that is done in
    /// hooks or behind them, and how ranks are divided among the dimensions of a mesh, is a setting.
    Otherwise,
    /// In a backward pass, by all ranks.
    InBackward,
}

/// What has happened since the last step.
#[derive(Default)]
pub(super) struct Backward {
    /// The subjects of [`TAKES`], when they have numbers.
    subjects: Vec<SubjectId>,
    /// By place in [`TAKES`], how each was entered.
    entered: [How; TAKES.len()],
    /// When the first backward pass began; `None`: there was none.
    began: Option<(u32, u32)>,
    losses: u32,
    /// A collective was seen in this process: they are recorded.
    are_recorded: bool,
}

impl Observer for Backward {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Collective(came) if came.record.event == CollectiveEvent::Issued as u8 => {
                self.came(came, cx);
            }
            TraceEvent::Enter(frame) if frame.counts => match frame.target.role {
                Role::Backward if self.began.is_none() => {
                    (self.began, self.losses) = (Some(cx.scene.now), cx.scene.losses);
                }
                Role::OptimizerStep => {
                    if let Some(began) = self.began.take()
                        && self.are_recorded
                        && cx.scene.world_size > 1
                    {
                        self.tell(frame, began, cx);
                    }
                    self.entered = [How::NotAtAll; TAKES.len()];
                }
                _ => {}
            },
            _ => {}
        }
    }
}

impl Backward {
    fn came(&mut self, came: &Came, cx: &Context<'_>) {
        self.are_recorded = true;
        let kind = CollectiveKind::try_from(came.record.op).unwrap_or_default();
        let Some(at) = TAKES.iter().position(|takes| *takes == kind) else { return };
        let Some(group) = cx.source.entry(came.record.group).filter(|group| group.line > 1) else { return };
        let is_in_backward = came.stack.iter().any(|frame| frame.target.role == Role::Backward);
        let how = if is_in_backward && group.line == cx.scene.world_size {
            How::InBackward
        } else if is_in_backward || self.began.is_some() {
            How::Otherwise
        } else {
            How::NotAtAll
        };
        self.entered[at] = self.entered[at].max(how);
    }

    fn tell(&mut self, step: &Frame, began: (u32, u32), cx: &mut Context<'_>) {
        if self.subjects.is_empty() {
            let subject = |kind: CollectiveKind| Subject::Backward { kind: kind.word().into() };
            self.subjects = TAKES.iter().map(|kind| cx.numbers.subject(subject(*kind))).collect();
        }
        let entered = [cx.numbers.outcome(Outcome::Entered)];
        let depth = cx.scene.depth(step);
        let reductions = self.entered.iter().take(REDUCTIONS).max().copied().unwrap_or_default();
        for (at, (subject, mut how)) in self.subjects.iter().zip(self.entered).enumerate() {
            if at < REDUCTIONS && how < reductions {
                how = How::Otherwise;
            }
            if !cx.wants(*subject) {
                continue;
            }
            let mut window = Window::new(*subject, NOTHING, step, depth);
            match how {
                How::InBackward => window.held = &entered,
                How::Otherwise => window.inconclusive = &entered,
                How::NotAtAll => {}
            }
            window.cut = cx.scene.lost_since(self.losses);
            window.now = cx.scene.now;
            window.began = Some(began);
            cx.window(&window);
        }
    }
}
