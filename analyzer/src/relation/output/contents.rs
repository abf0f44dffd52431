//! Whether there is anything but zeros in what a module gives back.
//!
//! Asked of layers with weights and of outermost modules of the program's own: neither comes to nothing but zeros by chance. What
//! drops, cuts off or selects may (an expert that no token is sent to), and so may the program's own modules inside others,
//! which may do that last. Before the first step of an optimizer what is initialised with zeros gives zeros.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Argument, flags};

use super::claim::{Outcome, Subject};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::results::{Looked, looked_at, place};
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
    /// By the module and the name of the result (dictionary ids); `None`: not asked.
    seen: FxHashMap<(u32, u32), Option<Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    subject: SubjectId,
    /// It is a layer with weights, which is asked wherever it is called.
    layer: bool,
    windows: u32,
}

impl Contents {
    /// The call `frame` gave back `results`.
    pub fn gave(&mut self, frame: &Frame, results: &[Argument], cx: &mut Context<'_>) {
        let outermost = frame.flags & flags::OUTERMOST != 0;
        for Looked { result, described, largest } in looked_at(frame, results, cx.source) {
            if described.elements().is_none_or(|elements| elements < FEWEST_ELEMENTS) {
                continue;
            }
            let new = || Seen::new(frame, result, cx);
            let seen = self.seen.entry((frame.object, result.name)).or_insert_with(new);
            let Some(seen) = seen.as_mut().filter(|seen| seen.layer || outermost) else { continue };
            seen.windows = seen.windows.saturating_add(1);
            let nonzero = [cx.numbers.outcome(Outcome::Nonzero)];
            let at = Frame { time: result.time, ..*frame };
            let mut window = Window::new(seen.subject, NOTHING, &at, cx.scene.depth(frame));
            window.held = if largest == 0.0 { &[] } else { &nonzero };
            let untrained = cx.scene.stepped.is_empty().then_some(Cut::First);
            window.cut = Scene::too_early(frame.iteration, seen.windows).or(untrained);
            cx.window(&window);
        }
    }
}

impl Seen {
    /// `None`: a module of PyTorch's that may well give nothing but zeros.
    fn new(frame: &Frame, result: &Argument, cx: &mut Context<'_>) -> Option<Seen> {
        let object = cx.scene.object(frame.object)?;
        let layer = LAYERS.iter().any(|package| object.class.starts_with(package));
        if !layer && object.class.starts_with("torch.nn.modules.") {
            return None;
        }
        let (module, place) = (object.name.clone(), place(result, cx.source));
        let subject = cx.numbers.subject(Subject::Contents { module, place });
        Some(Seen { subject, layer, windows: 0 })
    }
}
