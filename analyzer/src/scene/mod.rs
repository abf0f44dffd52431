//! What is going on in a process at one moment of its trace: open calls, the iteration, the variables.
//!
//! The scene turns records into [`TraceEvent`]s, which is all that relations see. Which calls count (only the outermost
//! of several nested ones with the same role, none inside a constructor), where an iteration ends and which look
//! belongs to which call are decided here, once for all relations.
pub mod came;
pub mod dictionary;
pub mod passes;
pub mod root;
pub mod variables;

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::{Argument, Event, Role, flags};

use crate::call::CallId;
use crate::situation::EventFeatures;
use came::Came;
use dictionary::{Object, Resolved, Target};
use passes::Passes;
use root::Roots;
use variables::{Change, Variables};

/// Why a window gives no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cut {
    /// It is the first of its kind, or lies in the first iteration or before it.
    First,
    /// The recording ended before it did.
    End,
    /// It was left by an exception.
    Raised,
    /// Records were lost in it.
    Loss,
    /// A function that it needs is no longer recorded.
    Thinned,
    /// What is to be compared was not recorded, or says nothing either way.
    Unclear,
}

impl Cut {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Cut::First => "only the first iteration, which gives no verdict, had anything to check",
            Cut::End => "the run ended before it could be decided",
            Cut::Raised => "the calls concerned were left by an exception",
            Cut::Loss => "records were lost in all windows concerned",
            Cut::Thinned => "a function it needs was called too often and is no longer recorded",
            Cut::Unclear => "what was recorded says nothing either way",
        }
    }
}

/// A call that was entered.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Number of the call in its process.
    pub call: u64,
    /// The function and what it is called on.
    pub target: Target,
    /// Dictionary id of the function; 0 for an iteration.
    pub name: u32,
    /// Dictionary id of the object, or 0.
    pub object: u32,
    /// Dictionary id of the place in the user's code, or 0.
    pub site: u32,
    /// Flags of its `Enter`.
    pub flags: u16,
    /// Stage at its `Enter`.
    pub stage: u8,
    /// Dictionary id of its context, or 0.
    pub context: u32,
    /// Thread.
    pub thread: u16,
    /// Iteration at its `Enter`.
    pub iteration: u32,
    /// Step at its `Enter`.
    pub step: u32,
    /// Nanoseconds.
    pub time: u64,
    /// Whether relations take it for one: see the module's documentation.
    pub counts: bool,
    /// How many losses there had been.
    pub losses: u32,
}

impl Frame {
    /// What its `Enter` says of the situation.
    pub fn features(&self) -> EventFeatures {
        EventFeatures { stage: self.stage, flags: self.flags, context: self.context }
    }
}

/// An iteration that has begun.
#[derive(Clone, Debug)]
pub struct Iteration {
    /// From 1.
    pub number: u32,
    /// Where it began; no call of its own.
    pub frame: Frame,
    /// How many calls of its thread were open around it.
    pub depth: usize,
    /// The root module (dictionary id) whose call began it.
    pub begun_by: Option<u32>,
    /// Whether a backward came: it is a training iteration.
    pub backward: bool,
    /// Whether a gradient scaler's step came, which may leave out the optimizer's.
    pub scaler: bool,
    /// Whether the module call that began it was in training mode; `None`: not known.
    pub training_mode: Option<bool>,
    /// Whether a root module was called in evaluation mode with gradients.
    pub evaluation_mode: bool,
    /// The optimizers that stepped (dictionary ids), in order.
    pub stepped: Vec<u32>,
}

/// A look at the variables that is going on, or has just ended.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The call at whose entry or return it is.
    pub frame: Frame,
    /// Nanoseconds.
    pub time: u64,
    /// Number of that call.
    pub call: u64,
    /// Whether at the entry.
    pub at_entry: bool,
    /// Iteration.
    pub iteration: u32,
    /// Step.
    pub step: u32,
}

/// What relations observe.
#[derive(Debug)]
pub enum TraceEvent<'a> {
    /// A call was entered; it is the top of its thread.
    Enter(&'a Frame),
    /// A call is left; it still is the top of its thread. With the reason if that gives no verdict.
    Leave(&'a Frame, Option<Cut>),
    /// A call is suspended; it still is the top of its thread.
    Suspend(&'a Frame),
    /// A suspended call goes on; it is the top of its thread, which need not be the one that it was entered in.
    Resume(&'a Frame),
    /// What a call was given: it is the top of its thread.
    Given(&'a Frame, &'a [Argument]),
    /// What a call gave back that was just left.
    Gave(&'a Frame, &'a [Argument]),
    /// An iteration began.
    IterationBegan(&'a Iteration),
    /// An iteration ended.
    IterationEnded(&'a Iteration, Option<Cut>),
    /// An object was constructed: its dictionary id, that of the optimizer it works on or 0, and when.
    Created(u32, u32, u64),
    /// Something filled a parameter before the first iteration: the record of it.
    Filled(&'a Event),
    /// A look found something.
    State(&'a Change, Option<&'a Look>),
    /// Everything that a look found has been told.
    Looked(&'a Look),
    /// Something happened to a collective.
    Collective(&'a Came),
    /// No more records.
    End,
}

/// One thread of the process.
#[derive(Debug, Default)]
pub struct Thread {
    /// The open calls, outermost first.
    pub stack: Vec<Frame>,
    pub(crate) look: Option<Look>,
    /// What came last of the arguments or results of a call.
    pub(crate) values: Vec<Argument>,
    last_left: Option<Frame>,
    role_depth: [u16; Role::ALL.len()],
    open: FxHashMap<CallId, u16>,
}

impl Thread {
    pub(crate) fn push(&mut self, mut frame: Frame) -> Frame {
        let role = frame.target.role;
        let depth = &mut self.role_depth[role as usize];
        let outermost = match role {
            Role::Other => false,
            Role::ModuleCall => frame.flags & flags::OUTERMOST != 0,
            Role::User => {
                let open = self.open.entry(frame.target.plain).or_default();
                *open = open.saturating_add(1);
                *open == 1
            }
            _ => *depth == 0,
        };
        *depth = depth.saturating_add(1);
        frame.counts = outermost && frame.flags & flags::IN_INIT == 0;
        self.stack.push(frame);
        frame
    }

    /// Puts a suspended call back. Whether it counts was decided when it was entered.
    pub(crate) fn push_again(&mut self, frame: Frame) {
        self.push(frame);
        if let Some(top) = self.stack.last_mut() {
            top.counts = frame.counts;
        }
    }

    pub(crate) fn pop(&mut self) {
        if let Some(frame) = self.stack.pop() {
            let depth = &mut self.role_depth[frame.target.role as usize];
            *depth = depth.saturating_sub(1);
            if frame.target.role == Role::User
                && let Some(open) = self.open.get_mut(&frame.target.plain)
            {
                *open = open.saturating_sub(1);
            }
            self.last_left = Some(frame);
        }
    }

    /// The call that was left last.
    pub(crate) fn last_left(&self) -> Option<Frame> {
        self.last_left
    }

    /// Whether the call with this number is open.
    pub(crate) fn is_open(&self, call: u64) -> bool {
        self.stack.iter().rev().any(|frame| frame.call == call)
    }

    /// The call with this number, open or just left.
    pub(crate) fn find(&self, call: u64) -> Option<&Frame> {
        let recent = self.stack.iter().rev().chain(self.last_left.as_ref());
        recent.into_iter().find(|frame| frame.call == call)
    }
}

/// The state of a process.
#[derive(Debug, Default)]
pub struct Scene {
    /// By number.
    pub threads: Vec<Thread>,
    /// Suspended calls, on no thread's stack, by number.
    pub(crate) suspended: BTreeMap<u64, Frame>,
    /// Iteration and step of the last event.
    pub now: (u32, u32),
    /// The iteration that is going on.
    pub iteration: Option<Iteration>,
    /// The variables.
    pub variables: Variables,
    /// Root modules (dictionary ids) of which a call was seen.
    pub ran: FxHashSet<u32>,
    /// The functions by which modules were called that no other module call was around.
    pub outermost: FxHashSet<CallId>,
    /// Optimizers (dictionary ids) that have stepped.
    pub stepped: FxHashSet<u32>,
    /// Optimizers (dictionary ids) in a step of which a backward has run: that of a closure.
    pub closures: FxHashSet<u32>,
    /// How often each optimizer has stepped, and under 0 all of them; of nested steps the outermost.
    pub(crate) steps: FxHashMap<u32, u32>,
    /// How many ranks its job has; 1: it is none.
    pub world_size: u32,
    /// What PyTorch's random numbers were seeded with last.
    pub seed: Option<u64>,
    /// By scheduler (dictionary id): how many steps of optimizers there were at its last step, and how often it has stepped since.
    pub(crate) scheduled: FxHashMap<u32, (u32, u32)>,
    /// How many backwards there were.
    pub backwards: u32,
    /// A backward has begun since the last step of an optimizer.
    pub before_step: bool,
    /// Passes over the training data.
    pub passes: Passes,
    /// Where backward passes began.
    pub roots: Roots,
    /// Not all that fills parameters was seen.
    pub fills_lost: bool,
    pub(crate) resolved: Resolved,
    pub(crate) losses: u32,
    pub(crate) lossy: bool,
    /// Stretches in which calls go unseen, that have begun and not ended.
    pub(crate) gaps: u32,
}

impl Scene {
    #[inline]
    pub(crate) fn thread(&mut self, number: u16) -> &mut Thread {
        let number = usize::from(number);
        if number >= self.threads.len() {
            self.threads.resize_with(number + 1, Thread::default);
        }
        &mut self.threads[number]
    }

    /// The object with this dictionary id.
    pub fn object(&self, id: u32) -> Option<&Object> {
        self.resolved.known_object(id)
    }

    /// Whether anything was lost since there had been `losses` losses.
    pub fn lost_since(&self, losses: u32) -> Option<Cut> {
        (self.is_lossy() || losses != self.losses).then_some(Cut::Loss)
    }

    /// Whether something that happens now may go unseen.
    pub fn is_lossy(&self) -> bool {
        self.lossy || self.gaps > 0
    }

    /// Whether something in `iteration` that is the `ordinal`-th of its kind comes too early for a verdict.
    ///
    /// A run whose iterations are not told apart (no backward ever ends one) stays in the first: what happens there
    /// for the third time is no beginning any more.
    pub fn too_early(iteration: u32, ordinal: u32) -> Option<Cut> {
        (iteration == 0 || iteration == 1 && ordinal < 3).then_some(Cut::First)
    }

    /// The calls around and including a frame that is, or was, at `depth`.
    pub fn stack(&self, thread: u16, depth: usize) -> &[Frame] {
        let stack = self.threads.get(usize::from(thread)).map_or(&[][..], |thread| &thread.stack);
        &stack[..depth.min(stack.len())]
    }

    /// How often the optimizer with this dictionary id has stepped; 0: all of them together.
    pub fn steps_of(&self, optimizer: u32) -> u32 {
        self.steps.get(&optimizer).copied().unwrap_or_default()
    }

    /// Whether this step of a scheduler belongs to the one before it: a schedule in samples goes on, after each step of an
    /// optimizer, once for each rank, as those that accelerate prepares do.
    pub(crate) fn goes_on_for_ranks(&mut self, scheduler: u32) -> bool {
        let steps = self.steps_of(0);
        let (at, times) = self.scheduled.entry(scheduler).or_default();
        if *at != steps {
            (*at, *times) = (steps, 0);
        }
        *times = times.saturating_add(1);
        (2..=self.world_size).contains(times)
    }

    /// The call with this number, if it is open or was the last to be left in its thread.
    pub fn call(&self, call: u64) -> Option<&Frame> {
        self.threads.iter().find_map(|thread| thread.find(call))
    }

    /// Whether a call with this role is open in the thread.
    pub fn inside(&self, thread: u16, role: Role) -> bool {
        self.threads.get(usize::from(thread)).is_some_and(|thread| thread.role_depth[role as usize] > 0)
    }

    /// Whether the call with this number is open, or suspended.
    pub fn is_open(&self, call: u64) -> bool {
        self.threads.iter().any(|thread| thread.is_open(call)) || self.suspended.contains_key(&call)
    }

    /// How many calls are around `frame`, which is open or was just left.
    pub fn depth(&self, frame: &Frame) -> usize {
        let stack = self.stack(frame.thread, usize::MAX);
        stack.iter().rposition(|open| open.call == frame.call).unwrap_or(stack.len())
    }

    pub(crate) fn frame(&self, event: &Event, target: Target) -> Frame {
        Frame {
            call: event.call,
            target,
            name: event.name,
            object: event.object,
            site: event.site,
            flags: event.flags,
            stage: event.stage,
            context: event.context,
            thread: event.thread,
            iteration: event.iteration,
            step: event.step,
            time: event.time,
            counts: false,
            losses: self.losses,
        }
    }
}
