//! Output: what a module gives back, with gradients, has the type it had in the references.
//!
//! Where autocast is on somewhere in the iteration, a module whose result had its type in the references has it: one
//! that is called outside of it, or switches it off, computes in full precision without a word. Elsewhere types are
//! what the script chose, and a difference is worth no more than a look.
//!
//! And what it gives back, with gradients or without, is not all zeros where it never was in the references.
pub mod claim;
mod contents;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Argument, Role, flags};

use crate::call::roles::Roles;
use crate::relation::needs::Needs;
use crate::relation::numbers::SubjectId;
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::results::{MOST_RESULTS, place};
use crate::relation::support::tensor::Described;
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::{Feature, Fields, NOTHING};
use claim::{Outcome, Subject, is_of};
use contents::Contents;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Output::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::ModuleCall]),
    results: Roles::of(&[Role::ModuleCall]),
    contexts: Fields::of(&[Feature::AutocastCpu, Feature::AutocastCuda]),
    ..Needs::NOTHING
};

const TOLD: Told = Told { entries: Roles::of(&[Role::ModuleCall]), ..Told::NOTHING };

#[derive(Default)]
struct Output {
    /// What contexts say about autocast, by id.
    contexts: FxHashMap<u32, Option<String>>,
    /// The autocast that modules were last called under with gradients: id of the context, and the iteration.
    under: Option<(u32, u32)>,
    /// How many results of a module there were.
    ordinals: FxHashMap<SubjectId, u32>,
    contents: Contents,
}

impl Observer for Output {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame)
                if frame.context != 0 && is_asked(frame) && self.autocast(frame.context, cx).is_some() =>
            {
                self.under = Some((frame.context, frame.iteration));
            }
            TraceEvent::Gave(frame, results) => {
                if is_asked(frame) {
                    self.gave(frame, results, cx);
                }
                self.contents.gave(frame, results, cx);
            }
            _ => {}
        }
    }
}

/// Whether it is the call of a module with gradients.
fn is_asked(frame: &Frame) -> bool {
    frame.target.role == Role::ModuleCall
        && frame.flags & flags::GRAD != 0
        && frame.flags & flags::IN_INIT == 0
}

impl Output {
    fn autocast(&mut self, context: u32, cx: &Context<'_>) -> Option<&str> {
        let known = self.contexts.entry(context).or_insert_with(|| {
            let text = &cx.source.entry(context)?.text;
            let begin = text.find("autocast(")?;
            let end = text.rfind(')')?;
            // Several lie one behind the other.
            text.get(begin..=end).map(str::to_owned)
        });
        known.as_deref()
    }

    fn gave(&mut self, frame: &Frame, results: &[Argument], cx: &mut Context<'_>) {
        let outermost = frame.flags & flags::OUTERMOST != 0;
        // What was on in the iteration before is meant to be on: the call may come before the first that is under it.
        let recent = self.under.filter(|(_, iteration)| iteration.saturating_add(1) >= frame.iteration);
        let under = recent.and_then(|(context, _)| self.autocast(context, cx).map(str::to_owned));
        if under.is_none() && !outermost {
            return;
        }
        let Some(module) = cx.scene.object(frame.object).map(|object| object.name.clone()) else { return };
        for result in results.iter().take(MOST_RESULTS) {
            let Some(described) = Described::of(result, cx.source).filter(Described::is_float) else {
                continue;
            };
            let (module, place) = (module.clone(), place(result, cx.source));
            let subject = Subject::Result { module, place, under: under.clone() };
            let mut outcomes = Vec::new();
            // What a module inside computes in is only of interest where it is that of autocast.
            if outermost || under.as_ref().is_some_and(|under| is_of(under, described.dtype)) {
                outcomes.push(Outcome::Dtype { dtype: described.dtype.to_owned() });
            }
            if outermost {
                outcomes.push(Outcome::Device { device: described.device.to_owned() });
                if described.requires_grad {
                    outcomes.push(Outcome::RequiresGrad);
                }
            }
            let subject = cx.numbers.subject(subject);
            let held: Vec<_> = outcomes.into_iter().map(|outcome| cx.numbers.outcome(outcome)).collect();
            let ordinal = self.ordinals.entry(subject).or_default();
            *ordinal = ordinal.saturating_add(1);
            // Of several that are wrong the first result is where it began.
            let at = Frame { time: result.time, ..*frame };
            let mut window = Window::new(subject, NOTHING, &at, cx.scene.depth(frame));
            window.held = &held;
            window.cut = Scene::too_early(frame.iteration, *ordinal);
            cx.window(&window);
        }
    }
}
