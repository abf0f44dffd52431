//! States that are loaded into a model are not those of the model itself.
//!
//! A `state_dict` refers to the tensors of its model. One that was kept without a copy goes on with the training, and to
//! load it changes nothing.

use std::collections::BTreeSet;

use traincheck_schema::record::{Argument, ArgumentKind, Role};

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::{Frame, TraceEvent};
use crate::situation::NOTHING;

pub(super) fn observe(event: &TraceEvent<'_>, cx: &mut Context<'_>) {
    if let TraceEvent::Given(frame, arguments) = event
        && frame.target.role == Role::LoadState
    {
        given(frame, arguments, cx);
    }
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
