//! A trace with no more in it than a relation declares that it reads, as if nothing else had been recorded.

use std::collections::HashMap;
use std::sync::Arc;

use traincheck_analyzer::relation::needs::{EVERY_RELATION, Needs, Point};
use traincheck_analyzer::situation::Feature;
use traincheck_analyzer::source::{Batch, End, Source};
use traincheck_schema::record::{
    Argument, Attribute, DictEntry, DictKind, Direction, Event, EventKind, Role, Stage, State, VariableKind,
    flags, look,
};

/// A call that was entered.
#[derive(Clone, Copy)]
struct Known {
    role: Role,
    /// The innermost call that is kept, of itself and those around it.
    kept: u64,
}

/// What a relation reads, with what every one does.
pub fn complete(needs: &Needs) -> Needs {
    Needs {
        calls: needs.calls.and(EVERY_RELATION.calls),
        contexts: needs.contexts.and(EVERY_RELATION.contexts),
        ..*needs
    }
}

/// See the module.
pub struct Narrow<'a> {
    inner: &'a mut dyn Source,
    /// Complete.
    needs: &'a Needs,
    calls: HashMap<u64, Known>,
    /// Contexts with no more in them than is read, by their ids.
    contexts: HashMap<u32, DictEntry>,
    /// The last observation of each thread: its call, its time, and where it was.
    points: HashMap<u16, (u64, u64, Point)>,
}

impl<'a> Narrow<'a> {
    /// What `needs`, which are [`complete`], say of the records of `inner`.
    pub fn new(inner: &'a mut dyn Source, needs: &'a Needs) -> Narrow<'a> {
        Narrow { inner, needs, calls: HashMap::new(), contexts: HashMap::new(), points: HashMap::new() }
    }

    fn role(&self, function: u32) -> Role {
        let entry = self.inner.entry(function).filter(|entry| entry.kind == DictKind::Function as u8);
        entry.and_then(|entry| Role::try_from(entry.detail).ok()).unwrap_or_default()
    }

    fn wants_calls(&self, role: Role) -> bool {
        self.needs.calls.has(role)
    }

    fn kept(&self, call: u64) -> u64 {
        self.calls.get(&call).map_or(call, |known| known.kept)
    }

    fn event(&mut self, event: &Event) -> Option<Event> {
        let mut event = *event;
        self.blank(&mut event);
        let parent = self.kept(event.parent);
        match EventKind::try_from(event.kind).ok()? {
            EventKind::Enter => {
                let role = self.role(event.name);
                let wanted = self.wants_calls(role);
                let kept = if wanted { event.call } else { parent };
                self.calls.insert(event.call, Known { role, kept });
                wanted.then_some(Event { parent, ..event })
            }
            EventKind::Exit | EventKind::Suspend | EventKind::Resume => {
                (self.kept(event.call) == event.call).then_some(Event { parent, ..event })
            }
            EventKind::Look => {
                let role = self.role(event.name);
                let at_entry = event.value & look::AT_ENTRY != 0;
                let point = if at_entry { Point::Entry(role) } else { Point::Return(role) };
                self.points.insert(event.thread, (event.call, event.time, point));
                let wanted = self.needs.variables.iter().any(|states| states.at.contains(&point));
                wanted.then_some(Event { parent, ..event })
            }
            EventKind::Created => self.needs.constructions.then_some(event),
            EventKind::Filled => self.needs.fills.then_some(event),
            EventKind::OpEnter | EventKind::OpExit => self.needs.ops.then_some(Event { parent, ..event }),
            EventKind::Thinned => self.wants_calls(self.role(event.name)).then_some(event),
            _ => Some(Event { parent, ..event }),
        }
    }

    /// Takes out what the call happened under.
    fn blank(&mut self, event: &mut Event) {
        let needs = self.needs;
        let has = |feature| needs.contexts.has(feature);
        for (feature, of_it) in [
            (Feature::Grad, flags::GRAD),
            (Feature::Mode, flags::MODULE_TRAIN | flags::MODULE_EVAL),
            (Feature::Outermost, flags::OUTERMOST),
            (Feature::Inference, flags::INFERENCE),
            (Feature::Autocast, flags::AUTOCAST),
        ] {
            event.flags &= if has(feature) { !0 } else { !of_it };
        }
        if !has(Feature::Stage) {
            event.stage = Stage::Init as u8;
        }
        if let Some(entry) = self.inner.entry(event.context) {
            let text: Vec<&str> = parts(&entry.text).filter(|part| feature(part).is_some_and(has)).collect();
            match text.join(" ") {
                text if text.is_empty() => event.context = 0,
                text => drop(self.contexts.insert(entry.id, DictEntry { text, ..entry.clone() })),
            }
        }
    }

    fn state(&self, state: &State, point: Option<Point>) -> bool {
        let attribute = Attribute::try_from(state.attribute).ok();
        let entry = self.inner.entry(state.variable);
        let kind = entry.and_then(|entry| VariableKind::try_from(entry.detail).ok());
        self.needs.variables.iter().any(|states| {
            attribute == Some(states.attribute)
                && kind.is_some_and(|kind| states.of.contains(&kind))
                && (states.at.is_empty() || point.is_some_and(|point| states.at.contains(&point)))
        })
    }

    fn argument(&self, argument: &Argument) -> bool {
        let Some(known) = self.calls.get(&argument.call) else { return false };
        match Direction::try_from(argument.direction) {
            Ok(Direction::Argument) => self.needs.arguments.has(known.role),
            Ok(Direction::Result) => self.needs.results.has(known.role),
            _ => false,
        }
    }

    fn batch(&mut self, batch: &Batch) -> Batch {
        let mut events = Vec::new();
        // A state may come in a later batch than the observation that it is of.
        let mut points: HashMap<(u64, u64), Point> =
            self.points.values().map(|(call, time, point)| ((*call, *time), *point)).collect();
        for event in &batch.events {
            events.extend(self.event(event));
            if let Some((call, time, point)) = self.points.get(&event.thread) {
                points.insert((*call, *time), *point);
            }
        }
        let point = |state: &State| points.get(&(state.call, state.time)).copied();
        let states = batch.states.iter().filter(|state| self.state(state, point(state))).copied().collect();
        let arguments = batch.arguments.iter().filter(|argument| self.argument(argument)).copied().collect();
        let collectives = if self.needs.collectives { batch.collectives.clone() } else { Vec::new() };
        Batch { events, states, arguments, collectives, lost: batch.lost, before: batch.before }
    }
}

impl Source for Narrow<'_> {
    fn next_batch(&mut self) -> Option<Result<Arc<Batch>, String>> {
        let batch = self.inner.next_batch()?;
        Some(batch.map(|batch| Arc::new(self.batch(&batch))))
    }

    fn entry(&self, id: u32) -> Option<&DictEntry> {
        self.contexts.get(&id).or_else(|| self.inner.entry(id))
    }

    fn end(&self) -> End {
        self.inner.end()
    }

    fn world_size(&self) -> u32 {
        self.inner.world_size()
    }
}

/// The parts of a context. Within brackets there are blanks as well.
fn parts(context: &str) -> impl Iterator<Item = &str> {
    let mut open = false;
    context.split(move |letter| {
        open = match letter {
            '(' => true,
            ')' => false,
            _ => open,
        };
        letter == ' ' && !open
    })
}

/// The feature that a part of a context is of; none is known of other devices.
fn feature(part: &str) -> Option<Feature> {
    let known = [
        ("autocast(cpu", Feature::AutocastCpu),
        ("autocast(cuda", Feature::AutocastCuda),
        ("deterministic", Feature::Deterministic),
        ("matmul", Feature::Matmul),
        ("default_dtype", Feature::DefaultDtype),
        ("no_sync", Feature::NoSync),
    ];
    known.into_iter().find(|(start, _)| part.starts_with(start)).map(|(_, feature)| feature)
}
