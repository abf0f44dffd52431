//! Whether there is anything but zeros in what a module gives back.
//!
//! Asked of layers with weights and of outermost modules of the program's own: neither comes to nothing but zeros by chance. What
//! drops, cuts off or selects may (an expert that no token is sent to), and so may the program's own modules inside others,
//! which may do that last. Before the first step of an optimizer what is initialised with zeros gives zeros.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Argument, Role, flags};

use super::MOST_RESULTS;
use super::claim::{Outcome, Subject};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::tensor::Described;
use crate::scene::{Cut, Frame, Scene};
use crate::situation::NOTHING;

/// Of fewer elements all may be zero by chance.
const FEWEST_ELEMENTS: u64 = 16;

/// Layers with weights: what they give is zero where their weights are, or what they are given is. An embedding is not among
/// them: a row of padding is zero.
const LAYERS: [&str; 8] = [
    "torch.nn.modules.linear.",
    "torch.nn.modules.conv.",
    "torch.nn.modules.batchnorm.",
    "torch.nn.modules.instancenorm.",
    "torch.nn.modules.normalization.",
    "torch.nn.modules.rnn.",
    "torch.nn.modules.transformer.",
    "torch.nn.modules.activation.MultiheadAttention",
];

/// What modules gave back.
#[derive(Default)]
pub struct Contents {
    /// By the module and the name of the result (dictionary ids).
    seen: FxHashMap<(u32, u32), Seen>,
}

struct Seen {
    subject: SubjectId,
    /// It is a layer with weights.
    layer: bool,
    /// Its class is the program's own, or a library's.
    own: bool,
    windows: u32,
}

impl Contents {
    /// The call `frame` of a module gave back `results`.
    pub fn gave(&mut self, frame: &Frame, results: &[Argument], cx: &mut Context<'_>) {
        if frame.target.role != Role::ModuleCall || frame.flags & flags::IN_INIT != 0 {
            return;
        }
        for result in results.iter().take(MOST_RESULTS) {
            let described = Described::of(result, cx.source).filter(Described::is_float);
            let Some((described, largest)) = described.and_then(|it| Some((it, it.largest?))) else {
                continue;
            };
            if described.elements().is_none_or(|elements| elements < FEWEST_ELEMENTS) {
                continue;
            }
            let known = self.seen.get_mut(&(frame.object, result.name));
            let seen = match known {
                Some(seen) => seen,
                None => {
                    let Some(new) = Seen::new(frame, result, cx) else { return };
                    self.seen.entry((frame.object, result.name)).or_insert(new)
                }
            };
            seen.window(largest == 0.0, frame, result, cx);
        }
    }
}

impl Seen {
    fn new(frame: &Frame, result: &Argument, cx: &mut Context<'_>) -> Option<Seen> {
        let object = cx.scene.object(frame.object)?;
        let own = !object.class.starts_with("torch.nn.modules.");
        let layer = LAYERS.iter().any(|package| object.class.starts_with(package));
        let place = cx.source.entry(result.name).map(|entry| entry.text.clone()).unwrap_or_default();
        let subject = cx.numbers.subject(Subject::Contents { module: object.name.clone(), place });
        Some(Seen { subject, layer, own, windows: 0 })
    }

    fn window(&mut self, zero: bool, frame: &Frame, result: &Argument, cx: &mut Context<'_>) {
        let outermost = frame.flags & flags::OUTERMOST != 0;
        if !(self.layer || self.own && outermost) {
            return;
        }
        self.windows = self.windows.saturating_add(1);
        let nonzero = [cx.numbers.outcome(Outcome::Nonzero)];
        let at = Frame { time: result.time, ..*frame };
        let mut window = Window::new(self.subject, NOTHING, &at, cx.scene.depth(frame));
        window.held = if zero { &[] } else { &nonzero };
        let untrained = cx.scene.stepped.is_empty().then_some(Cut::First);
        window.cut = Scene::too_early(frame.iteration, self.windows).or(untrained);
        cx.window(&window);
    }
}
