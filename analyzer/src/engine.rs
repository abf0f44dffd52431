//! One pass over the records of one process: moves the scene on and lets the relations observe what happens.

mod course;

use traincheck_schema::record::{
    Argument, ArgumentKind, Collective, CollectiveEvent, Direction, Event, EventKind, ObjectKind, Role,
    State, flags, look,
};

pub use course::Course;
use course::Next;

use crate::damage::Damage;
use crate::relation::listener::Listeners;
use crate::relation::numbers::Numbers;
use crate::relation::observer::Context;
use crate::relation::sink::Sink;
use crate::relation::{self, Part};
use crate::scene::came::Came;
use crate::scene::dictionary::Target;
use crate::scene::{Cut, Frame, Iteration, Look, TraceEvent};
use crate::source::{Batch, End, Source};

/// Suspended calls that are remembered. A generator that is dropped before its end stays suspended for ever.
const MAX_SUSPENDED: usize = 4096;

/// Values of one end of a call that are told; the agent records fewer.
const MAX_VALUES: usize = 1024;

/// What the hook is called that sees what fills parameters.
const INITIALISATION: &str = "initialisation";

/// What a pass read.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// Events and states.
    pub records: u64,
    /// Records that the agent says it lost, after the recording had begun.
    pub lost: u64,
    /// The last iteration.
    pub iterations: u32,
    /// The last step.
    pub steps: u32,
    /// Whether there was a backward pass, in an iteration or without any.
    pub backward: bool,
    /// Where the trace is damaged, and where it ends before the job does.
    pub damage: Vec<Damage>,
    /// Hooks that were off, and why.
    pub hooks_off: Vec<String>,
    /// How it ended.
    pub end: End,
}

/// The number of iterations in a trace. Reads it to the end.
pub fn count_iterations(source: &mut dyn Source) -> u32 {
    let mut iterations = 0;
    while let Some(batch) = source.next_batch() {
        // Iterations only ever grow, so the last event of a batch will do; threads may lag by one.
        for event in batch.iter().flat_map(|batch| batch.events.iter().rev().take(64)) {
            iterations = iterations.max(event.iteration);
        }
    }
    iterations
}

/// Runs the relations of a part over the records of `source`.
pub fn pass(source: &mut dyn Source, part: Part, numbers: &mut Numbers, sink: &mut dyn Sink) -> Passed {
    tell(source, relation::observers(part), numbers, sink)
}

/// Tells observers of the records of `source`.
pub fn tell(
    source: &mut dyn Source,
    observers: Listeners,
    numbers: &mut Numbers,
    sink: &mut dyn Sink,
) -> Passed {
    let mut course = Course::new(observers);
    while course.advance(source, numbers, sink).is_some() {}
    course.passed
}

/// What seeds PyTorch's random numbers.
const TORCH_SEED: &str = "torch.random.manual_seed";

/// A course that goes on, and what it needs for that.
struct Engine<'a> {
    course: &'a mut Course,
    numbers: &'a mut Numbers,
    sink: &'a mut dyn Sink,
}

/// Records that name what damage has taken from the dictionary.
#[derive(Default)]
struct Unnamed {
    count: u64,
    /// The iterations of the first and the last one.
    first: u32,
    last: u32,
}

impl Unnamed {
    fn damage(&self) -> Option<Damage> {
        let what = || format!("{} records whose names were lost with the damaged part", self.count);
        (self.count > 0).then(|| Damage { what: what(), after: self.first, until: Some(self.last) })
    }
}

impl Engine<'_> {
    /// A record that names what is not in the dictionary, although names were lost, may be anything: it is as if it was
    /// lost itself.
    fn check_named(&mut self, ids: &[u32], iteration: u32, source: &dyn Source) {
        if self.course.passed.damage.is_empty() || ids.iter().all(|&id| id == 0 || source.entry(id).is_some())
        {
            return;
        }
        if self.course.unnamed.count == 0 {
            self.course.unnamed.first = iteration;
        }
        self.course.unnamed.count += 1;
        self.course.unnamed.last = iteration;
        self.course.scene.losses += 1;
    }

    fn observe(&mut self, event: &TraceEvent<'_>, source: &dyn Source) {
        let mut cx = Context { scene: &self.course.scene, numbers: self.numbers, sink: self.sink, source };
        self.course.observers.tell(event, &mut cx);
    }

    /// Merges the streams of a batch, up to the end of a look, which is given back. The states of a look come after its
    /// event and before anything that happened later in its thread; so do the arguments of a call after its entry, and its
    /// results after its return.
    fn batch(&mut self, source: &dyn Source) -> Option<Look> {
        let batch = self.course.batch.clone();
        let Batch { events, states, arguments, collectives, .. } = &*batch;
        let Next { event: first, state: mut next_state, argument: mut next_argument, collective } =
            self.course.next?;
        let follows = self.course.collectives.is_some() || self.course.observers.hear_of_collectives();
        let mut next_collective = if follows { collective } else { collectives.len() };
        for (number, event) in events.iter().enumerate().skip(first) {
            while let Some(argument) = arguments.get(next_argument)
                && (argument.time < event.time || argument.time == event.time && argument.call != event.call)
            {
                self.argument(argument, source);
                next_argument += 1;
            }
            while let Some(state) = states.get(next_state)
                && (state.time < event.time || state.time == event.time && self.belongs(state))
            {
                self.state(state, source);
                next_state += 1;
            }
            while let Some(collective) = collectives.get(next_collective)
                && collective.time <= event.time
            {
                self.collective(collective, source);
                next_collective += 1;
            }
            if let Some(look) = self.looked(event, source) {
                self.course.next = Some(Next {
                    event: number,
                    state: next_state,
                    argument: next_argument,
                    collective: next_collective,
                });
                return Some(look);
            }
            self.event(event, source);
        }
        for argument in &arguments[next_argument..] {
            self.argument(argument, source);
        }
        for state in &states[next_state..] {
            self.state(state, source);
        }
        collectives[next_collective..].iter().for_each(|collective| self.collective(collective, source));
        None
    }

    /// Tells what became of a collective, with the calls around it where it is issued, and keeps it for whoever asks.
    fn collective(&mut self, record: &Collective, source: &dyn Source) {
        let scene = &self.course.scene;
        let issued = record.event == CollectiveEvent::Issued as u8;
        let stack = scene.stack(record.thread, usize::MAX);
        let around = stack.iter().rposition(|frame| frame.call == record.call).filter(|_| issued);
        let stack = around.map_or_else(Vec::new, |innermost| stack[..=innermost].to_vec());
        let (steps, before_step) = (scene.steps_of(0), scene.before_step);
        let came = Came { record: *record, stack, steps, before_step };
        self.observe(&TraceEvent::Collective(&came), source);
        if let Some(kept) = &mut self.course.collectives {
            kept.push(came);
        }
    }

    /// Ends the look that was going on in the thread of an event that comes.
    fn looked(&mut self, event: &Event, source: &dyn Source) -> Option<Look> {
        let thread = self.course.scene.thread(event.thread);
        thread.look?;
        if !thread.values.is_empty() {
            self.values(event.thread, source);
        }
        let look = self.course.scene.thread(event.thread).look.take()?;
        self.course.scene.now = (event.iteration, event.step);
        self.observe(&TraceEvent::Looked(&look), source);
        Some(look)
    }

    /// Whether the look that a state is of has begun.
    fn belongs(&self, state: &State) -> bool {
        self.course
            .scene
            .threads
            .get(usize::from(state.thread))
            .and_then(|thread| thread.look.as_ref())
            .is_some_and(|look| look.call == state.call && look.time == state.time)
    }

    /// Values of one end of a call come one after the other: they are told together, before anything else happens.
    fn argument(&mut self, argument: &Argument, source: &dyn Source) {
        self.check_named(&[argument.name, argument.text, argument.object], argument.iteration, source);
        let values = &self.course.scene.thread(argument.thread).values;
        if values
            .last()
            .is_some_and(|last| (last.call, last.direction) != (argument.call, argument.direction))
        {
            self.values(argument.thread, source);
        }
        let values = &mut self.course.scene.thread(argument.thread).values;
        if values.len() < MAX_VALUES {
            values.push(*argument);
        }
    }

    fn values(&mut self, thread: u16, source: &dyn Source) {
        let mut values = std::mem::take(&mut self.course.scene.thread(thread).values);
        if let Some(first) = values.first()
            && let Some(frame) = self.course.scene.thread(thread).find(first.call).copied()
        {
            for value in values.iter().filter(|value| value.object != 0) {
                self.course.scene.resolved.object(value.object, source);
            }
            if frame.target.role == Role::Seed
                && self.numbers.calls.get(frame.target.plain).function == TORCH_SEED
                && let Some(seed) = values.iter().find(|value| value.value_kind == ArgumentKind::Int as u8)
            {
                self.course.scene.seed = Some(seed.value);
            }
            match Direction::try_from(first.direction) {
                Ok(Direction::Argument) => self.observe(&TraceEvent::Given(&frame, &values), source),
                Ok(Direction::Result) => self.observe(&TraceEvent::Gave(&frame, &values), source),
                _ => {}
            }
        }
        values.clear();
        self.course.scene.thread(thread).values = values;
    }

    fn state(&mut self, state: &State, source: &dyn Source) {
        self.check_named(&[state.variable, state.text], state.iteration, source);
        let scene = &mut self.course.scene;
        let change = scene.variables.take(state, source, &mut scene.resolved);
        let look = scene.thread(state.thread).look.filter(|look| look.call == state.call);
        let Some(change) = change else {
            if look.is_some_and(|look| look.frame.target.role == Role::LoadState) {
                scene.variables.loaded(state, source);
            }
            return;
        };
        self.observe(&TraceEvent::State(&change, look.as_ref()), source);
    }

    fn event(&mut self, event: &Event, source: &dyn Source) {
        let Ok(kind) = EventKind::try_from(event.kind) else { return };
        self.course.passed.iterations = self.course.passed.iterations.max(event.iteration);
        self.course.passed.steps = self.course.passed.steps.max(event.step);
        self.course.scene.now = (event.iteration, event.step);
        self.check_named(&[event.name, event.object, event.site, event.context], event.iteration, source);
        if !self.course.scene.thread(event.thread).values.is_empty() {
            self.values(event.thread, source);
        }
        match kind {
            EventKind::Enter => self.enter(event, source),
            EventKind::Exit => self.exit(event, source),
            EventKind::Iteration => self.iteration(event, source),
            EventKind::Look => self.look(event, source),
            EventKind::Created => {
                self.course.scene.resolved.object(event.object, source);
                self.observe(&TraceEvent::Created(event.object, event.value as u32, event.time), source);
            }
            EventKind::Thinned => {
                let target = self.target(event, source);
                self.sink.thinned(&self.numbers.calls.get(target.plain).function);
                if target.role == Role::User {
                    // Its callees now appear one level higher: what is open there mixes both.
                    self.course.scene.losses += 1;
                }
            }
            EventKind::HookOff => {
                let why = source.entry(event.name).map_or("a hook is off", |entry| entry.text.as_str());
                self.course.passed.hooks_off.push(why.to_owned());
                self.course.scene.fills_lost |= why.starts_with(INITIALISATION);
                if event.value != 0 {
                    self.gap(source);
                    self.course.scene.gaps += 1;
                }
            }
            EventKind::Suspend => self.suspend(event, source),
            EventKind::Resume => self.resume(event, source),
            EventKind::Paused => {
                self.gap(source);
                self.course.scene.gaps += 1;
            }
            EventKind::Resumed => {
                self.gap(source);
                self.course.scene.gaps = self.course.scene.gaps.saturating_sub(1);
            }
            EventKind::LooksSpaced => self.gap(source),
            EventKind::OpEnter => {
                let scaling = self.course.scene.inside(event.thread, Role::ScalerScale);
                self.course.scene.roots.op(event, scaling, source);
            }
            EventKind::Filled => self.observe(&TraceEvent::Filled(event), source),
            EventKind::Stage | EventKind::OpExit => {}
        }
    }

    /// Something begins or ends to go unseen: windows that are open are cut, as by a loss.
    fn gap(&mut self, source: &dyn Source) {
        self.end_iteration(Some(Cut::Loss), source);
        self.course.scene.losses += 1;
    }

    fn target(&mut self, event: &Event, source: &dyn Source) -> Target {
        self.course.scene.resolved.target(event.name, event.object, source, &mut self.numbers.calls)
    }

    fn enter(&mut self, event: &Event, source: &dyn Source) {
        self.unwind_to_parent(event, source);
        let target = self.target(event, source);
        let frame = self.course.scene.frame(event, target);
        let mut frame = self.course.scene.thread(event.thread).push(frame);
        if frame.counts
            && frame.target.role == Role::SchedulerStep
            && self.course.scene.goes_on_for_ranks(frame.object)
        {
            frame.counts = false;
            if let Some(top) = self.course.scene.thread(event.thread).stack.last_mut() {
                top.counts = false;
            }
        }
        self.note(&frame, source);
        self.observe(&TraceEvent::Enter(&frame), source);
    }

    fn unwind_to_parent(&mut self, event: &Event, source: &dyn Source) {
        let top = self.course.scene.thread(event.thread).stack.last().map_or(0, |frame| frame.call);
        if top == event.parent {
            return;
        }
        let has_lost = self.course.has_lost || !self.course.passed.damage.is_empty();
        if has_lost && event.parent != 0 && !self.course.scene.thread(event.thread).is_open(event.parent) {
            // Its entry was lost, and maybe the returns of calls that now seem to be open: what lies at which level is not
            // known, and no window that reaches over here is whole.
            self.course.scene.losses += 1;
        }
        self.unwind_to(event.thread, event.parent, source);
    }

    /// A generator's call leaves the stack, but is not over.
    fn suspend(&mut self, event: &Event, source: &dyn Source) {
        if !self.course.scene.thread(event.thread).is_open(event.call) {
            return;
        }
        self.unwind_to(event.thread, event.call, source);
        let Some(frame) = self.course.scene.thread(event.thread).stack.last().copied() else { return };
        self.observe(&TraceEvent::Suspend(&frame), source);
        self.course.scene.thread(event.thread).pop();
        let depth = self.course.scene.thread(event.thread).stack.len();
        if let Some(iteration) = &mut self.course.scene.iteration
            && iteration.frame.thread == event.thread
        {
            // What the generator began may be gone on with outside of it.
            iteration.depth = iteration.depth.min(depth);
        }
        self.course.scene.suspended.insert(frame.call, frame);
        if self.course.scene.suspended.len() > MAX_SUSPENDED
            && let Some((_, oldest)) = self.course.scene.suspended.pop_first()
        {
            self.abandon(oldest, Cut::Unclear, source);
        }
    }

    fn resume(&mut self, event: &Event, source: &dyn Source) {
        self.unwind_to_parent(event, source);
        if let Some(frame) = self.course.scene.suspended.remove(&event.call) {
            self.put_back(Frame { thread: event.thread, ..frame }, source);
        }
    }

    fn put_back(&mut self, frame: Frame, source: &dyn Source) {
        self.course.scene.thread(frame.thread).push_again(frame);
        self.observe(&TraceEvent::Resume(&frame), source);
    }

    /// Leaves a call that was suspended and will not be resumed. It is none of the calls that run.
    fn abandon(&mut self, frame: Frame, cut: Cut, source: &dyn Source) {
        let iteration = self.course.scene.iteration.take();
        self.put_back(frame, source);
        self.leave(frame.thread, Some(cut), source);
        self.course.scene.iteration = iteration;
    }

    /// Keeps track of what ran and stepped.
    fn note(&mut self, frame: &Frame, source: &dyn Source) {
        let scene = &mut self.course.scene;
        if frame.flags & flags::IN_INIT != 0 {
            return;
        }
        let iteration = scene.iteration.as_mut().filter(|iteration| iteration.frame.thread == frame.thread);
        match frame.target.role {
            Role::ModuleCall => {
                let root = scene.resolved.object(frame.object, source);
                let root = root.filter(|o| o.kind == ObjectKind::Module).map(|o| o.root);
                scene.ran.extend(root);
                if frame.counts {
                    scene.outermost.insert(frame.target.plain);
                }
                if let Some(iteration) = iteration
                    && frame.counts
                    && frame.flags & flags::GRAD != 0
                {
                    iteration.begun_by = iteration.begun_by.or(root);
                    let training = frame.flags & flags::MODULE_TRAIN != 0;
                    let evaluation = frame.flags & flags::MODULE_EVAL != 0;
                    iteration.evaluation_mode |= evaluation;
                    if training || evaluation {
                        iteration.training_mode.get_or_insert(training);
                    }
                }
            }
            Role::Backward => {
                if frame.counts {
                    scene.roots.backward(frame);
                    scene.passes.trained(frame);
                    scene.backwards = scene.backwards.saturating_add(1);
                    scene.before_step = true;
                    let around = &scene.threads[usize::from(frame.thread)].stack;
                    let steps = around.iter().filter(|frame| frame.target.role == Role::OptimizerStep);
                    scene.closures.extend(steps.map(|step| step.object));
                }
                self.course.passed.backward = true;
                if let Some(iteration) = iteration {
                    iteration.backward = true;
                }
            }
            Role::ScalerStep => {
                if let Some(iteration) = iteration {
                    iteration.scaler = true;
                }
            }
            Role::LoaderIter if frame.counts => scene.passes.iterated(frame),
            Role::OptimizerStep => {
                scene.stepped.insert(frame.object);
                if frame.counts {
                    scene.before_step = false;
                    for optimizer in [0, frame.object] {
                        let steps = scene.steps.entry(optimizer).or_default();
                        *steps = steps.saturating_add(1);
                    }
                }
                if let Some(iteration) = iteration
                    && !iteration.stepped.contains(&frame.object)
                {
                    iteration.stepped.push(frame.object);
                }
            }
            _ => {}
        }
    }

    fn exit(&mut self, event: &Event, source: &dyn Source) {
        if let Some(frame) = self.course.scene.suspended.remove(&event.call) {
            // That it was resumed has been lost.
            return self.abandon(frame, Cut::Loss, source);
        }
        if !self.course.scene.thread(event.thread).is_open(event.call) {
            return;
        }
        self.unwind_to(event.thread, event.call, source);
        let raised = (event.flags & flags::RAISED != 0).then_some(Cut::Raised);
        self.leave(event.thread, raised, source);
    }

    /// Leaves calls whose return was not recorded, until `call` is the top. If it is not there, only 0 unwinds.
    fn unwind_to(&mut self, thread: u16, call: u64, source: &dyn Source) {
        let stack = &self.course.scene.thread(thread).stack;
        let depth = match stack.iter().rposition(|frame| frame.call == call) {
            Some(at) => at + 1,
            None if call == 0 => 0,
            None => return,
        };
        while self.course.scene.thread(thread).stack.len() > depth {
            self.leave(thread, Some(Cut::Loss), source);
        }
    }

    fn leave(&mut self, thread: u16, cut: Option<Cut>, source: &dyn Source) {
        let Some(frame) = self.course.scene.thread(thread).stack.last().copied() else { return };
        let depth = self.course.scene.threads[usize::from(thread)].stack.len();
        if let Some(iteration) = &mut self.course.scene.iteration
            && iteration.frame.thread == thread
            && iteration.depth >= depth
        {
            // The calls of an iteration need not share one parent: where the loss is computed in a function of its
            // own, backward and step come after its return.
            let complete = iteration.backward && (iteration.scaler || !iteration.stepped.is_empty());
            iteration.depth = depth - 1;
            if complete || cut.is_some() {
                self.end_iteration(cut, source);
            }
        }
        if frame.target.role == Role::LoaderNext {
            self.course.scene.passes.gave(&frame, cut == Some(Cut::Raised));
        }
        let cut = cut.or_else(|| self.course.scene.lost_since(frame.losses));
        self.observe(&TraceEvent::Leave(&frame, cut), source);
        self.course.scene.thread(thread).pop();
    }

    fn iteration(&mut self, event: &Event, source: &dyn Source) {
        self.end_iteration(None, source);
        let target = Target { role: Role::Other, plain: 0, specific: None };
        let mut frame = self.course.scene.frame(event, target);
        frame.call = event.parent;
        let depth = self.course.scene.thread(event.thread).stack.len();
        let iteration = Iteration {
            number: event.iteration,
            frame,
            depth,
            begun_by: None,
            backward: false,
            scaler: false,
            training_mode: None,
            evaluation_mode: false,
            stepped: Vec::new(),
        };
        self.course.scene.iteration = Some(iteration.clone());
        self.observe(&TraceEvent::IterationBegan(&iteration), source);
    }

    fn end_iteration(&mut self, cut: Option<Cut>, source: &dyn Source) {
        let Some(iteration) = self.course.scene.iteration.take() else { return };
        let cut = cut.or_else(|| self.course.scene.lost_since(iteration.frame.losses));
        self.observe(&TraceEvent::IterationEnded(&iteration, cut), source);
    }

    fn look(&mut self, event: &Event, source: &dyn Source) {
        let frame = match self.course.scene.thread(event.thread).find(event.call) {
            Some(frame) => *frame,
            None => {
                let target = self.target(event, source);
                self.course.scene.frame(event, target)
            }
        };
        self.course.scene.thread(event.thread).look = Some(Look {
            frame,
            time: event.time,
            call: event.call,
            at_entry: event.value & look::AT_ENTRY != 0,
            iteration: event.iteration,
            step: event.step,
        });
    }

    fn finish(&mut self, source: &dyn Source) {
        let threads = self.course.scene.threads.iter();
        self.course.left_open = threads.map(|thread| (thread.stack.clone(), thread.last_left())).collect();
        for thread in 0..self.course.scene.threads.len() {
            self.values(thread as u16, source);
            if let Some(look) = self.course.scene.threads[thread].look.take() {
                self.observe(&TraceEvent::Looked(&look), source);
            }
        }
        self.end_iteration(Some(Cut::End), source);
        while let Some((_, frame)) = self.course.scene.suspended.pop_first() {
            self.abandon(frame, Cut::End, source);
        }
        for thread in 0..self.course.scene.threads.len() {
            while !self.course.scene.threads[thread].stack.is_empty() {
                self.leave(thread as u16, Some(Cut::End), source);
            }
        }
        self.observe(&TraceEvent::End, source);
        self.sink.end(&self.course.scene, self.numbers);
    }
}
