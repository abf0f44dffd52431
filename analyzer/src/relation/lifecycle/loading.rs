//! States that are loaded into a model are not those of the model itself, and are for it.
//!
//! With `strict=False` what belongs nowhere is left out without a word: where every key has another prefix, that is all. A `state_dict` refers to the tensors of its model. One that was kept without a copy goes on with the training, and to
//! load it changes nothing.

use std::collections::BTreeSet;

use traincheck_schema::record::{Argument, ArgumentKind, Role};

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::{Frame, TraceEvent};
use crate::situation::NOTHING;

/// What the first argument of `load_state_dict` is called, and the second part of what it gives back: the keys that
/// belonged nowhere.
const STATE: &str = "state_dict";
const UNEXPECTED: &str = "result[1]";

#[derive(Default)]
pub(super) struct Loading {
    /// The call that was given a state last, and how many entries that has.
    given: Option<(u64, u64)>,
}

impl Loading {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Given(frame, arguments) if frame.target.role == Role::LoadState => {
                self.given = size_of(STATE, arguments, cx).map(|size| (frame.call, size));
                given(frame, arguments, cx);
            }
            TraceEvent::Gave(frame, results) if frame.target.role == Role::LoadState => {
                let of_this = self.given.take().filter(|(call, _)| *call == frame.call);
                if let Some((_, entries)) = of_this
                    && let Some(unexpected) = size_of(UNEXPECTED, results, cx)
                {
                    loaded(frame, entries, unexpected, cx);
                }
            }
            _ => {}
        }
    }
}

/// How much is in the container of this name; `None`: there is none.
fn size_of(name: &str, values: &[Argument], cx: &Context<'_>) -> Option<u64> {
    let is_it = |value: &&Argument| {
        value.value_kind == ArgumentKind::Container as u8
            && cx.source.entry(value.name).is_some_and(|entry| entry.text == name)
    };
    values.iter().find(is_it).map(|value| value.value)
}

/// A state of so many entries, of which so many belonged nowhere, was loaded.
fn loaded(frame: &Frame, entries: u64, unexpected: u64, cx: &mut Context<'_>) {
    let Some(object) = cx.scene.object(frame.object).filter(|_| entries > 0) else { return };
    let subject = cx.numbers.subject(Subject::Load { class: object.class.clone() });
    let outcome = [cx.numbers.outcome(Outcome::Takes)];
    let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
    window.held = if unexpected < entries { &outcome } else { &[] };
    cx.window(&window);
}

fn given(frame: &Frame, arguments: &[Argument], cx: &mut Context<'_>) {
    let scene = cx.scene;
    let Some(object) = scene.object(frame.object) else { return };
    let own = scene.variables.of_owner(object.root).iter().map(|&id| scene.variables.get(id).storage);
    let own: BTreeSet<i64> = own.filter(|&storage| storage != 0).collect();
    let is_tensor =
        |argument: &&Argument| argument.value_kind == ArgumentKind::Tensor as u8 && argument.storage != 0;
    let mut given = arguments.iter().filter(is_tensor).map(|argument| i64::from(argument.storage)).peekable();
    // Storages of a model that did not run are not known.
    if own.is_empty() || given.peek().is_none() {
        return;
    }
    let another = !given.all(|storage| own.contains(&storage));
    let subject = Subject::Loading { class: object.class.clone() };
    let subject = cx.numbers.subject(subject);
    let outcome = [cx.numbers.outcome(Outcome::GivenAnother)];
    let mut window = Window::new(subject, NOTHING, frame, scene.depth(frame));
    window.held = if another { &outcome } else { &[] };
    cx.window(&window);
}
