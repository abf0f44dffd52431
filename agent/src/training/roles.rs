//! What follows from a recorded call, by what it means: what it moves on, and which objects it makes known.

use super::call::Function;
use super::calls::Calls;
use super::functions::{Recorded, Signal};
use super::{budget, capture, iterations, observation};
use crate::interpreter::api::{Object, Python};
use crate::libtorch::proven;
use crate::sink;
use crate::state::{fills, look, objects, used, variables};
use traincheck_schema::record::{Event, flags};
use traincheck_settings::{Counter, Receiver};

/// What a call about to be recorded has to say: bits for its flags, its context, and the object it is called on.
/// Counters do not include the call yet.
///
/// # Safety
/// `this` is the live first argument or null; the GIL is held; `busy` keeps the hook out of whatever runs.
pub unsafe fn entering(
    python: &Python,
    function: &Function,
    this: Object,
    site: u32,
    outermost: bool,
    calls: &Calls,
) -> (u16, u32, u32) {
    // SAFETY: the caller's word.
    unsafe {
        let now = proven::modes();
        let mut modes = now.flags;
        match function.means.signal {
            Some(Signal::ModuleCall) => {
                let training = variables::is_training(python, this);
                modes |= if training { flags::MODULE_TRAIN } else { flags::MODULE_EVAL };
                if outermost {
                    modes |= flags::OUTERMOST;
                    outermost_module_called(python, this, site, modes, calls);
                }
            }
            Some(Signal::Training) => sink::start_recording(),
            _ => {}
        }
        let object = match function.means.object {
            None => 0,
            Some(Receiver::Module) => {
                if function.means.finds_root
                    && calls.open_calls(Counter::ModuleCalls) == 0
                    && calls.open_calls(Counter::Constructions) == 0
                    && calls.open_calls(Counter::ModeChanges) == 0
                {
                    variables::add_root(python, this);
                }
                variables::module_object(python, this)
            }
            Some(Receiver::LoaderIterator) => objects::loader_of(this),
            Some(_) => objects::id_of(python, this),
        };
        (modes, now.context(), object)
    }
}

/// What follows from the entry of a call, once it is recorded.
///
/// # Safety
/// As for [`entering`].
pub unsafe fn entered(
    python: &Python,
    function: &Function,
    this: Object,
    event: &Event,
    recorded: Recorded,
    outermost: bool,
    calls: &Calls,
) {
    // SAFETY: the caller's word.
    unsafe {
        match function.means.signal {
            Some(Signal::Save) => iterations::save_begins(calls),
            Some(Signal::Clear) => used::clearing(),
            Some(Signal::Step) if outermost => used::step_begins(iterations::is_sampled()),
            Some(Signal::ModuleCall) if outermost => budget::pause_if_due(python, calls),
            _ => {}
        }
        observation::at_entry(python, function, event, this, recorded, outermost, calls);
    }
}

/// What follows from a call that returned.
///
/// # Safety
/// The GIL is held, no exception is set, `this` is alive where [`Function::keeps_self`].
pub unsafe fn returned(
    python: &Python,
    begun: &Event,
    function: &Function,
    (this, result): (Object, Object),
    recorded: Recorded,
    outermost: bool,
    calls: &Calls,
) {
    // SAFETY: the caller's word.
    unsafe {
        match function.means.signal {
            Some(Signal::Backward) if outermost => {
                iterations::backward_returned(calls);
                look::backward_returned();
            }
            Some(Signal::Gradients) if iterations::gradients_returned(calls) => look::backward_returned(),
            Some(Signal::Step) if outermost => {
                iterations::optimizer_stepped(calls);
                used::step_returned();
            }
            Some(Signal::ModeChange) if outermost && variables::is_root(this) => {
                iterations::mode_changed(variables::is_training(python, this), calls);
            }
            Some(Signal::Pass) => objects::loader_passes(python, result, begun.object),
            _ => {}
        }
        let mut point = *begun;
        if function.means.constructs
            && calls.open_calls(Counter::Constructions) == 0
            && let Some(object) = function.means.object
        {
            objects::constructed(python, this, object.kind(), calls.innermost().call);
            point.object = objects::id_of(python, this);
        }
        observation::at_return(python, function, &point, (this, result), recorded, outermost, calls);
    }
}

/// An outermost module call: roots are found here, iterations begin here.
unsafe fn outermost_module_called(python: &Python, module: Object, site: u32, modes: u16, calls: &Calls) {
    // SAFETY: `entering`'s contract.
    unsafe {
        let with_gradients = modes & (flags::GRAD | flags::INFERENCE) == flags::GRAD;
        if with_gradients {
            sink::start_recording();
        }
        variables::add_root(python, module);
        let object = variables::module_object(python, module);
        if !with_gradients {
            iterations::module_called_without_gradients(object, calls);
        } else if variables::has_parameters(module) {
            observation::iteration_ends(python, calls);
            let training = modes & flags::MODULE_TRAIN != 0;
            if iterations::module_called(site, object, training, calls) {
                capture::record_all_ops(iterations::is_sampled());
                match iterations::iteration() {
                    1 => capture::init_has_ended(),
                    // What has no name by now will have none.
                    2 => fills::forget_all(),
                    _ => {}
                }
                budget::iteration_began(calls);
                observation::iteration_begins(python, calls);
            }
        }
    }
}

/// Keeps count of open calls.
#[inline]
pub fn count(function: &Function, calls: &Calls, enters: bool) {
    let Some(counter) = function.means.counted else { return };
    let open = calls.count(counter, enters);
    match counter {
        Counter::Backwards => iterations::backward_open(enters),
        Counter::OptimizerSteps if open == 0 => calls.iteration_in_step.set(false),
        _ => {}
    }
}
