//! Where the job stands, as all threads see it: what happens is put to the state machine ([`super::machine`]), and what
//! comes of it is said in the trace.

use super::calls::Calls;
use super::capture;
use super::machine::{self, Follows, State};
use crate::base::gil::Gil;
use crate::base::settings;
use crate::sink;
use crate::state::position;
pub use crate::state::position::{event, is_sampled, iteration, stage};
use crate::state::variables;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use traincheck_schema::record::{Event, EventKind, Stage};
use traincheck_settings::Counter;

/// What is remembered to answer what the state machine asks: which places repeat, which modules are trained.
#[derive(Default)]
struct Memory {
    state: State,
    /// Places from which outermost modules were called since the iteration began.
    sites: Vec<u32>,
    /// How many of these were there when the last backward of the iteration returned.
    closed: usize,
    /// Places that have begun an iteration because they repeated.
    repeated: Vec<u32>,
    /// Calls that were open where the iteration began, outermost first.
    around: Vec<u64>,
    /// Object ids of the outermost modules called with gradients since it began.
    modules: Vec<u32>,
}

/// Of each kind of thing that is remembered of one iteration, no more than this many.
const MAX_REMEMBERED: usize = 64;

static MEMORY: Gil<Option<Memory>> = Gil::new(None);

/// The innermost call in which the last two iterations began: the loop. 0: there is none.
static LOOP: AtomicU64 = AtomicU64::new(0);
/// In place of its id: the loop has returned.
const RETURNED: u64 = u64::MAX;

/// Backward calls that are open, in all threads.
static BACKWARDS: AtomicU32 = AtomicU32::new(0);

unsafe fn with<R: Default>(use_it: impl FnOnce(&mut Memory) -> R) -> R {
    // SAFETY: the callers hold the GIL, and what they do in here runs no Python code.
    unsafe { MEMORY.with(|memory| use_it(memory.get_or_insert_with(Memory::default))) }
}

/// Decides whether `iteration`, which begins, is sampled: the first ones are, then one of so many.
fn sample(iteration: u32) {
    let settings = settings::get();
    let sampled = iteration <= settings.sample_first
        || (settings.sample_every != 0 && iteration.is_multiple_of(settings.sample_every));
    position::sample(sampled, sampled && capture::records_ops());
}

/// Puts `event` to the state machine. The new state is seen by everybody from here on; a stage that changed is said.
unsafe fn happened(event: machine::Event, calls: &Calls) -> Follows {
    // SAFETY: the callers hold the GIL; nothing in here runs Python code.
    let found = unsafe {
        with(|memory| {
            let (state, follows) = memory.state.after(event);
            memory.state = state;
            match follows {
                Follows::IterationBegins => memory.begin(calls),
                Follows::GradientsComputed => memory.closed = memory.sites.len(),
                Follows::Nothing => {}
            }
            Some((state, follows))
        })
    };
    let Some((state, follows)) = found else { return Follows::Nothing };
    let moved = position::stand_at(state.iteration, state.step, state.stage);
    if moved.iteration && follows == Follows::IterationBegins {
        sample(state.iteration);
    }
    if moved.stage {
        let enclosing = calls.innermost().call;
        sink::emit(&Event { call: enclosing, parent: enclosing, ..self::event(EventKind::Stage) });
    }
    follows
}

/// An outermost module is about to be called with gradients enabled, from `site`; it is in training mode or not. True
/// if that begins an iteration, which is then the current one.
///
/// Places tell more than functions: a loop may call helpers, and a helper may call several models. A first call that
/// no backward follows (a dry run) begins the first iteration and no other. Inside one optimizer step at most one
/// iteration begins; inside a backward (activations computed again), none.
///
/// # Safety
/// The GIL is held.
pub unsafe fn module_called(site: u32, module: u32, training: bool, calls: &Calls) -> bool {
    // Where there is a device, backward runs in threads of its own, in which nothing of the script's is open.
    if calls.open_calls(Counter::Backwards) > 0 || calls.depth() == 0 && BACKWARDS.load(Ordering::Relaxed) > 0
    {
        return false;
    }
    let in_step = calls.open_calls(Counter::OptimizerSteps) > 0;
    // SAFETY: the caller's word; nothing in here runs Python code.
    unsafe {
        let repeats = with(|memory| memory.repeats(site));
        let called = machine::Event::ModuleCalled {
            repeats,
            loop_returned: LOOP.load(Ordering::Relaxed) == RETURNED,
            training,
            may_begin: !in_step || !calls.iteration_in_step.get(),
        };
        let begins = happened(called, calls) == Follows::IterationBegins;
        let micro_step = with(|memory| {
            if begins && repeats {
                remember(&mut memory.repeated, site);
            }
            remember(&mut memory.sites, site);
            remember(&mut memory.modules, module);
            memory.state.micro_step
        });
        if begins {
            calls.iteration_in_step.set(in_step);
            let call = calls.innermost().call;
            let value = u64::from(micro_step);
            sink::emit(&Event { call, parent: call, site, value, ..event(EventKind::Iteration) });
            sink::go_on_writing();
        }
        begins
    }
}

fn remember<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < MAX_REMEMBERED && !list.contains(&item) {
        list.push(item);
    }
}

impl Memory {
    /// Whether `site` repeats: it was called from before the last backward, or has repeated in an earlier iteration.
    fn repeats(&self, site: u32) -> bool {
        self.sites.iter().take(self.closed).any(|seen| *seen == site) || self.repeated.contains(&site)
    }

    /// An iteration begins in these calls.
    fn begin(&mut self, calls: &Calls) {
        let shared = self.around.iter().zip(calls.open()).take_while(|(id, open)| **id == open.call).count();
        LOOP.store(shared.checked_sub(1).map_or(0, |last| self.around[last]), Ordering::Relaxed);
        self.around.clear();
        self.around.extend(calls.open().map(|open| open.call));
        self.sites.clear();
        self.modules.clear();
        self.closed = 0;
    }
}

/// An outermost module is about to be called without gradients.
///
/// # Safety
/// The GIL is held.
pub unsafe fn module_called_without_gradients(module: u32, calls: &Calls) {
    if stage() == Stage::Evaluation {
        return;
    }
    // SAFETY: the caller's word; nothing in here runs Python code.
    unsafe {
        let trained = with(|memory| {
            memory.state.phase.has_gradients()
                && (memory.modules.contains(&module) || variables::share_root(&memory.modules, module))
        });
        happened(machine::Event::ModuleCalledWithoutGradients { trained }, calls);
    }
}

/// A recorded call has returned.
#[inline]
pub fn call_returned(call: u64) {
    if LOOP.load(Ordering::Relaxed) == call {
        LOOP.store(RETURNED, Ordering::Relaxed);
    }
}

/// A backward has been entered, or left in whatever way.
pub fn backward_open(enters: bool) {
    if enters {
        BACKWARDS.fetch_add(1, Ordering::Relaxed);
    } else {
        BACKWARDS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The recording pauses: what yet comes of the iteration is no sample of anything.
pub fn paused() {
    position::sample(false, false);
}

/// The recording goes on after a pause in which `unseen` iterations began, somewhere in an iteration.
///
/// # Safety
/// The GIL is held.
pub unsafe fn resumed(unseen: u32, calls: &Calls) {
    // SAFETY: the caller's word.
    unsafe { happened(machine::Event::Resumed { unseen }, calls) };
}

/// An outermost backward has returned.
///
/// # Safety
/// The GIL is held.
pub unsafe fn backward_returned(calls: &Calls) {
    // SAFETY: the caller's word.
    unsafe { happened(machine::Event::BackwardReturned, calls) };
}

/// `torch.autograd.grad` has returned. True if that was the backward of the iteration.
///
/// # Safety
/// The GIL is held.
pub unsafe fn gradients_returned(calls: &Calls) -> bool {
    // SAFETY: the caller's word.
    unsafe { happened(machine::Event::GradientsReturned, calls) == Follows::GradientsComputed }
}

/// An outermost optimizer step has returned.
///
/// # Safety
/// The GIL is held.
pub unsafe fn optimizer_stepped(calls: &Calls) {
    // SAFETY: the caller's word.
    unsafe { happened(machine::Event::Stepped, calls) };
}

/// A root was switched to training or evaluation.
///
/// # Safety
/// The GIL is held.
pub unsafe fn mode_changed(training: bool, calls: &Calls) {
    // SAFETY: the caller's word.
    unsafe { happened(machine::Event::ModeChanged { training }, calls) };
}

/// A checkpoint is about to be written.
///
/// # Safety
/// The GIL is held.
pub unsafe fn save_begins(calls: &Calls) {
    // SAFETY: the caller's word.
    unsafe { happened(machine::Event::SaveBegins, calls) };
}

/// It is written, or will never be; it began in the stage `before`.
///
/// # Safety
/// The GIL is held.
pub unsafe fn save_ends(before: Stage, calls: &Calls) {
    // SAFETY: the caller's word.
    unsafe { happened(machine::Event::SaveEnds { before }, calls) };
}
