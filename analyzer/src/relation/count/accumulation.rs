//! Gradients that are accumulated over several iterations before a step.
//!
//! The step comes after as many iterations as it did before in the same run, and the sum is scaled: the loss is divided
//! before backward. The second is seen in the nodes at the root of the backward, so only where every op is recorded.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Role, flags};

use super::claim::{Outcome, Subject};
use super::model;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::root::{Root, node_name};
use crate::scene::{Cut, Frame, Iteration, Scene, TraceEvent};
use crate::situation::NOTHING;

/// How much longer than the only stretch between two steps so far the next one may be.
const PATIENCE: u32 = 4;

#[derive(Debug, Default)]
pub struct Accumulation {
    rhythm: Rhythm,
    sum: Sum,
}

impl Accumulation {
    pub fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.counts => match frame.target.role {
                Role::LoaderIter => self.rhythm.passes = true,
                Role::ZeroGrad | Role::OptimizerStep | Role::ScalerStep => self.sum.cleared(),
                _ => {}
            },
            TraceEvent::Leave(frame, cut) => match frame.target.role {
                Role::LoaderNext if *cut == Some(Cut::Raised) => self.rhythm.passes = true,
                Role::Backward if frame.counts => self.sum.added(frame, *cut, cx),
                _ => {}
            },
            TraceEvent::IterationBegan(_) => self.rhythm.began(cx),
            TraceEvent::IterationEnded(iteration, cut) if iteration.backward => {
                self.rhythm.ended(iteration, *cut, cx);
            }
            _ => {}
        }
    }
}

/// After how many iterations a step comes.
#[derive(Debug, Default)]
struct Rhythm {
    /// Iterations since the last step.
    waited: u32,
    /// Whether something was lost in them.
    cut: Option<Cut>,
    losses: u32,
    /// Whether a pass over a loader has ended or begun since the last iteration began.
    passes: bool,
    /// Whether one has since the first of the iterations.
    between: bool,
    /// The stretch before.
    last: Option<u32>,
    /// As long as two in a row were.
    usual: Option<u32>,
    /// A stretch that has ended; whether with the pass is not yet known.
    ended: Option<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    iterations: u32,
    usual: u32,
    between: bool,
    cut: Option<Cut>,
    frame: Frame,
    depth: usize,
    model: String,
}

impl Rhythm {
    fn began(&mut self, cx: &mut Context<'_>) {
        let passes = std::mem::take(&mut self.passes);
        if let Some(stretch) = self.ended.take() {
            // What remains at the end of a pass is shorter, or goes into the first stretch of the next.
            let remainder = stretch.iterations != stretch.usual && (passes || stretch.between);
            let cut = stretch.cut.or(remainder.then_some(Cut::Unclear));
            let kept = stretch.iterations == stretch.usual;
            self.window(&stretch, kept, true, cut, cx);
        }
        self.between = self.waited > 0 && (self.between || passes);
    }

    fn ended(&mut self, iteration: &Iteration, cut: Option<Cut>, cx: &mut Context<'_>) {
        self.waited = self.waited.saturating_add(1);
        self.cut = self.cut.or(cut).or(cx.scene.lost_since(self.losses));
        let stepped = iteration.scaler || !iteration.stepped.is_empty();
        let Some(usual) = self.usual.or(self.last) else {
            if stepped {
                self.stepped(cx.scene);
            }
            return;
        };
        let longest = usual.saturating_mul(if self.usual.is_some() { 2 } else { PATIENCE });
        // With a step in every iteration there is nothing to accumulate: contain speaks of a step that is missing.
        let model = iteration
            .begun_by
            .filter(|_| usual > 1)
            .and_then(|root| cx.scene.object(root))
            .map(|object| object.class.clone());
        let stretch = model.map(|model| Stretch {
            iterations: self.waited,
            usual,
            between: self.between,
            cut: self.cut,
            frame: iteration.frame,
            depth: iteration.depth,
            model,
        });
        if let Some(stretch) = stretch {
            if stepped && self.waited < longest && self.usual.is_some() {
                self.ended = Some(stretch);
            } else if self.waited == longest && (!stepped || self.usual.is_some()) {
                self.window(&stretch, false, false, stretch.cut, cx);
            }
        }
        if stepped {
            self.stepped(cx.scene);
        }
    }

    fn stepped(&mut self, scene: &Scene) {
        if self.cut.is_none() {
            if self.last == Some(self.waited) {
                self.usual = self.last;
            }
            self.last = Some(self.waited);
        }
        self.waited = 0;
        self.cut = None;
        self.losses = scene.losses;
        self.between = false;
    }

    fn window(
        &self,
        stretch: &Stretch,
        held: bool,
        inconclusive: bool,
        cut: Option<Cut>,
        cx: &mut Context<'_>,
    ) {
        let subject = Subject::Accumulation { model: stretch.model.clone() };
        let subject = cx.numbers.subject(subject);
        let in_time = [cx.numbers.outcome(Outcome::StepsInTime)];

        let mut window = Window::new(subject, NOTHING, &stretch.frame, stretch.depth);
        window.held = if held { &in_time } else { &[] };
        window.inconclusive = if inconclusive { &in_time } else { &[] };
        window.cut = cut;
        cx.window(&window);
    }
}

/// The gradients that have been added up since they were cleared.
#[derive(Debug, Default)]
struct Sum {
    /// In which iteration a place in the code has first added to them.
    since: FxHashMap<u32, u32>,
    /// The first of several backward passes, of which it is not yet known that they are several.
    first: Option<(Frame, Root)>,
    losses: u32,
    windows: u32,
}

impl Sum {
    fn cleared(&mut self) {
        self.since.clear();
        self.first = None;
    }

    fn added(&mut self, frame: &Frame, cut: Option<Cut>, cx: &mut Context<'_>) {
        let in_step = cx.scene.inside(frame.thread, Role::OptimizerStep);
        if frame.site == 0 || cut.is_some() || in_step {
            return;
        }
        if cx.scene.lost_since(self.losses).is_some() {
            // That they were cleared may be what was lost.
            self.cleared();
            self.losses = cx.scene.losses;
        }
        let root = cx.scene.roots.of(frame.call).filter(|_| frame.flags & flags::ALL_OPS != 0);
        let since = *self.since.entry(frame.site).or_insert(frame.iteration);
        if since == frame.iteration {
            // Several losses of one iteration are a sum that is meant.
            self.first = root.map(|root| (*frame, root));
            return;
        }
        if let Some((first, root)) = self.first.take().filter(|(first, _)| first.site == frame.site) {
            self.window(&first, root, frame, cx);
        }
        if let Some(root) = root {
            self.window(frame, root, frame, cx);
        }
    }

    fn window(&mut self, backward: &Frame, root: Root, at: &Frame, cx: &mut Context<'_>) {
        let Some(model) = model(cx) else { return };
        let Some(node) = cx.source.entry(root.node).map(|op| node_name(&op.text).to_owned()) else { return };
        self.windows = self.windows.saturating_add(1);
        let subject = Subject::AccumulatedLoss { model, node };
        let subject = cx.numbers.subject(subject);
        let scaled = [cx.numbers.outcome(Outcome::Scaled)];
        let mut window = Window::new(subject, NOTHING, at, cx.scene.depth(at));
        window.held = if root.scaled { &scaled } else { &[] };
        window.cut = Scene::too_early(backward.iteration, self.windows);
        cx.window(&window);
    }
}
