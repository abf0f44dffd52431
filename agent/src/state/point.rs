//! A place in the run at which something is looked at, and what all records of such a look have in common.

use super::fills::Fill;
use super::fingerprint::Fingerprint;
use super::position;
use super::value::Value;
use crate::sink;
use traincheck_schema::record::{Attribute, Event, EventKind, State, ValueKind};

/// Where and when.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// What records take over.
    event: Event,
}

impl Point {
    /// Now, at the entry or the return of the recorded call `call`.
    pub fn now(call: &Event) -> Point {
        Point { event: Event { call: call.call, name: call.name, ..position::event(EventKind::Look) } }
    }

    /// That of a look that has been said.
    pub fn of(look: &Event) -> Point {
        Point { event: *look }
    }

    /// When it is, ns.
    pub fn time(&self) -> u64 {
        self.event.time
    }

    /// Records the contents of a tensor; `None`: they cannot be read.
    pub fn contents(&self, variable: u32, attribute: Attribute, last: &mut u64, found: Option<Fingerprint>) {
        let kind = if found.is_some() { ValueKind::Tensor } else { ValueKind::Unreadable };
        let mut state = self.state(variable, attribute, kind);
        state.since = std::mem::replace(last, self.event.time);
        if let Some(found) = found {
            state.hash_low = found.hash_low;
            state.hash_high = found.hash_high;
            state.nan = found.nan;
            state.inf = found.inf;
            state.zeros = found.zeros;
            state.elements = found.elements;
            state.min = found.min;
            state.max = found.max;
            state.l2 = found.l2;
        }
        sink::emit_state(&state);
    }

    /// Records a value that was looked at at `since` before; 0: never.
    pub fn value(&self, variable: u32, attribute: Attribute, value: Value<'_>, since: u64) {
        let state = self.state(variable, attribute, value.kind());
        sink::emit_state(&match value {
            Value::None | Value::Unreadable => State { since, ..state },
            Value::Bool(flag) => State { since, int: i64::from(flag), ..state },
            Value::Int(int) => State { since, int, ..state },
            Value::Float(float) => State { since, float, ..state },
            Value::Text(text) => State { since, text: sink::text(text), ..state },
        });
    }

    /// Records a text that has an id already.
    pub fn text(&self, variable: u32, attribute: Attribute, text: u32) {
        sink::emit_state(&State { text, ..self.state(variable, attribute, ValueKind::Text) });
    }

    /// Records that there is no tensor.
    pub fn nothing(&self, variable: u32, attribute: Attribute, last: &mut u64) {
        let since = std::mem::replace(last, self.event.time);
        sink::emit_state(&State { since, ..self.state(variable, attribute, ValueKind::None) });
    }

    /// Records that a parameter was filled, before it was known.
    pub fn filled(&self, variable: u32, fill: &Fill) {
        sink::emit(&Event {
            kind: EventKind::Filled as u8,
            call: fill.call,
            parent: fill.call,
            name: fill.by,
            site: fill.site,
            object: 0,
            value: u64::from(variable),
            ..self.event
        });
    }

    fn state(&self, variable: u32, attribute: Attribute, kind: ValueKind) -> State {
        State {
            stage: self.event.stage,
            attribute: attribute as u8,
            value_kind: kind as u8,
            time: self.event.time,
            iteration: self.event.iteration,
            step: self.event.step,
            call: self.event.call,
            variable,
            point: self.event.name,
            ..State::EMPTY
        }
    }
}
