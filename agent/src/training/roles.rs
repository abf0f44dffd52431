//! What a recorded call means by its role: what it moves on, and what is looked at, at its entry and at its return.

use super::calls::Calls;
use super::{budget, iterations};
use crate::interpreter::api::{Object, Python};
use crate::interpreter::names::Function;
use crate::libtorch::native;
use crate::sink;
use crate::state::{batch, look, loss, objects, rng, variables};
use traincheck_schema::record::{Event, ObjectKind, Role, Stage, VariableKind, flags, look as bits};

/// What the role of a call about to be recorded has to say: bits for its flags, its context, and the object it is
/// called on.
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
        let now = native::modes();
        let mut modes = now.flags;
        let mut object = 0;
        match (function.role, function.object) {
            (Role::ModuleCall, _) => {
                let training = variables::is_training(python, this);
                modes |= if training { flags::MODULE_TRAIN } else { flags::MODULE_EVAL };
                if outermost {
                    modes |= flags::OUTERMOST;
                    outermost_module_called(python, this, site, modes, calls);
                }
                object = variables::module_object(this);
            }
            (Role::ModeChange | Role::LoadState | Role::ZeroGrad, Some(ObjectKind::Module)) => {
                if calls.modules.get() == 0 && calls.constructions.get() == 0 && calls.mode_changes.get() == 0
                {
                    variables::add_root(python, this);
                }
                object = variables::module_object(this);
            }
            // An average of a model is seldom called before the training has ended.
            (Role::Other, Some(ObjectKind::Module))
                if calls.modules.get() == 0 && calls.constructions.get() == 0 =>
            {
                variables::add_root(python, this);
                object = variables::module_object(this);
            }
            (_, Some(ObjectKind::Module)) => object = variables::module_object(this),
            (Role::LoaderNext, _) => object = objects::loader_of(this),
            (_, Some(_)) => object = objects::id_of(python, this),
            _ => {}
        }
        if function.role == Role::OptimizerInit {
            sink::start_recording();
        }
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
    outermost: bool,
    calls: &Calls,
) {
    // SAFETY: the caller's word.
    unsafe {
        match function.role {
            Role::Save => iterations::set_stage_after_init(Stage::Checkpointing, calls),
            Role::ModuleCall if outermost => budget::pause_if_due(python, calls),
            Role::OptimizerStep if outermost && look::wants_entry_look() && budget::looks_now() => {
                look::look(python, event, bits::PARAMETERS | bits::AT_ENTRY);
            }
            Role::Backward if outermost && sink::is_started() => loss::look(python, event, this),
            Role::LoaderIter if sink::is_started() => rng::pass_begins(python, event, this),
            Role::LoaderNext if sink::is_started() => batch::expect(python, this),
            _ => {}
        }
    }
}

/// What follows from a call that returned.
///
/// # Safety
/// The GIL is held, no exception is set, `this` is alive where [`wants_self_at_return`].
pub unsafe fn returned(
    python: &Python,
    begun: &Event,
    function: &Function,
    this: Object,
    outermost: bool,
    result: Object,
    calls: &Calls,
) {
    // SAFETY: the caller's word.
    unsafe {
        let mut what = 0;
        let mut then_optimizer_state = false;
        match function.role {
            Role::Backward if outermost => {
                iterations::backward_returned(calls);
                look::backward_returned();
                what = bits::GRADIENTS;
            }
            Role::AutogradGrad if iterations::gradients_returned() => look::backward_returned(),
            Role::OptimizerStep if outermost => {
                iterations::optimizer_stepped();
                what = bits::PARAMETERS | bits::BUFFERS | bits::HYPERPARAMETERS;
                let is_first = look::optimizer_stepped(begun.object);
                then_optimizer_state = is_first || iterations::is_sampled();
            }
            Role::ZeroGrad if calls.optimizer_steps.get() == 0 && iterations::is_sampled() => {
                what = bits::GRADIENTS
            }
            Role::ClipGrad if iterations::is_sampled() => what = bits::GRADIENTS,
            Role::SchedulerStep if calls.constructions.get() == 0 => {
                what = bits::HYPERPARAMETERS;
                look::attributes(python, begun, this, VariableKind::SchedulerState);
            }
            Role::ScalerUpdate => look::attributes(python, begun, this, VariableKind::ScalerState),
            Role::LoaderNext if sink::is_started() => {
                batch::look(python, begun, result);
                batch::came(python, begun, this);
            }
            Role::Seed => rng::seeded(python, begun),
            Role::ModeChange if outermost => {
                if variables::is_root(this) {
                    let stage = if variables::is_training(python, this) {
                        Stage::Training
                    } else {
                        Stage::Evaluation
                    };
                    iterations::set_stage_after_init(stage, calls);
                }
                what = bits::PARAMETERS | bits::BUFFERS;
            }
            Role::LoadState => {
                what = bits::PARAMETERS | bits::BUFFERS;
                match function.object {
                    Some(ObjectKind::Optimizer) => {
                        what |= bits::HYPERPARAMETERS;
                        then_optimizer_state = true;
                    }
                    Some(ObjectKind::Scheduler) => {
                        look::attributes(python, begun, this, VariableKind::SchedulerState);
                    }
                    _ => {}
                }
            }
            Role::OptimizerInit if calls.constructions.get() == 0 => {
                objects::constructed(python, this, ObjectKind::Optimizer, calls);
            }
            Role::SchedulerInit if calls.constructions.get() == 0 => {
                objects::constructed(python, this, ObjectKind::Scheduler, calls);
                let object = objects::id_of(python, this);
                look::attributes(python, &Event { object, ..*begun }, this, VariableKind::SchedulerState);
            }
            Role::LoaderInit => objects::constructed(python, this, ObjectKind::Loader, calls),
            Role::LoaderIter => objects::loader_passes(python, result, begun.object),
            Role::Other if function.object == Some(ObjectKind::Scaler) => {
                objects::constructed(python, this, ObjectKind::Scaler, calls);
            }
            // A function in which several iterations began is the user's loop.
            Role::User if iterations::iteration() >= begun.iteration + 2 => {
                what = bits::PARAMETERS | bits::BUFFERS
            }
            _ => {}
        }
        if !budget::looks_now() {
            what &= bits::HYPERPARAMETERS;
        }
        if what != 0 && sink::is_started() {
            look::look(python, begun, what);
            if then_optimizer_state {
                look::optimizer_state(python, begun);
            }
        }
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
        let object = variables::module_object(module);
        if !with_gradients {
            iterations::module_called_without_gradients(object, calls);
        } else if variables::has_parameters(module) {
            look::iteration_may_begin(python, calls);
            let training = modes & flags::MODULE_TRAIN != 0;
            if iterations::module_called(site, object, training, calls) {
                native::record_all_ops(iterations::is_sampled());
                budget::iteration_began(calls);
                if iterations::is_sampled() && sink::is_started() {
                    let call = calls.innermost().call;
                    rng::look(python, &Event { call, ..Event::EMPTY });
                }
            }
        }
    }
}

/// Whether no call that this role counts is around the one about to be entered.
pub fn is_outermost(role: Role, calls: &Calls) -> bool {
    match role {
        Role::ModuleCall => calls.modules.get() == 0,
        Role::Backward => calls.backwards.get() == 0,
        Role::OptimizerStep => calls.optimizer_steps.get() == 0,
        Role::ModeChange => calls.mode_changes.get() == 0,
        _ => true,
    }
}

/// Keeps count of open calls.
pub fn count(role: Role, calls: &Calls, enters: bool) {
    let counter = match role {
        Role::ModuleCall => &calls.modules,
        Role::Backward => &calls.backwards,
        Role::OptimizerStep => &calls.optimizer_steps,
        Role::ModeChange => &calls.mode_changes,
        Role::OptimizerInit | Role::SchedulerInit | Role::LoaderInit => &calls.constructions,
        _ => return,
    };
    counter.set(if enters { counter.get() + 1 } else { counter.get().saturating_sub(1) });
    if role == Role::Backward {
        iterations::backward_open(enters);
    }
    if role == Role::OptimizerStep && counter.get() == 0 {
        calls.iteration_in_step.set(false);
    }
}

/// Whether the object that a call is made on is needed when it returns.
pub fn wants_self_at_return(function: &Function) -> bool {
    matches!(
        function.role,
        Role::OptimizerInit | Role::SchedulerInit | Role::LoaderInit | Role::LoaderNext | Role::ModeChange
    ) || matches!(function.object, Some(ObjectKind::Scaler | ObjectKind::Scheduler))
}
