//! What calls are given and what they give back.
//!
//! At its entry a frame's first locals are its parameters, in the order of the code's variable names, and everything is
//! bound already: positional and keyword arguments, defaults, `*args` and `**kwargs`.

use super::code::CodeInfo;
use super::values::{self, Name, Values};
use crate::interpreter::api::{Object, Python};
use crate::interpreter::frame::{Frame, Signature};
use crate::sink;
use crate::training::call::Function;
use crate::training::functions::{Recorded, Signal};
use crate::training::{budget, iterations};
use std::cell::Cell;
use std::sync::OnceLock;
use traincheck_schema::record::{Argument, ArgumentKind, Direction, Event};

/// What is known of the parameters of a function: those of code with this signature. Code of other names at the same place
/// is told by it.
#[derive(Debug, Default)]
pub struct Parameters(Cell<(Signature, &'static [Parameter])>);

/// One parameter.
#[derive(Debug)]
struct Parameter {
    name: Name,
    /// Where it is in the frame.
    index: usize,
    /// It is `*args` or `**kwargs`.
    rest: bool,
}

/// The name of all results.
static RESULT: OnceLock<Name> = OnceLock::new();

/// `CO_VARARGS` and `CO_VARKEYWORDS`.
const REST: [i64; 2] = [4, 8];

/// Which of the arguments and results of the call about to be recorded are, with gradients or without.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn are_wanted(function: &Function, outermost: bool, has_gradients: bool) -> Recorded {
    let recorded = function.arguments[usize::from(outermost)];
    if recorded == Recorded::NOTHING || recorded.always {
        return recorded;
    }
    let is_sample = function.samples.take(iterations::iteration(), has_gradients);
    if is_sample || iterations::is_sampled() { recorded } else { Recorded::NOTHING }
}

/// Whether the result is looked at of an outermost call about to be recorded that is no sample.
#[inline]
pub fn is_result_looked_at(function: &Function, iteration: u32) -> bool {
    function.looks_at_results && budget::looks_now() && function.samples.take_result(iteration)
}

/// Records the arguments of the call `event`.
///
/// # Safety
/// `frame` is live and at its entry; the GIL is held, no exception is set, the thread's calls are marked busy.
pub unsafe fn given(python: &Python, frame: &Frame, info: &CodeInfo, event: &Event) {
    // SAFETY: the caller's word. A parameter that a closure shares may lie in a cell already.
    unsafe {
        let parameters = parameters(python, frame, info);
        if parameters.is_empty() {
            return;
        }
        let Some(mut values) = Values::new(python, template(event, Direction::Argument)) else { return };
        for parameter in parameters {
            let value = frame.local(python, parameter.index);
            if parameter.rest {
                values.rest(parameter.name, value);
            } else {
                values.value(parameter.name, value);
            }
        }
    }
}

/// Records what the call of `function` returned that ended with the event `exit`; `looked_at`: only what can be looked at.
///
/// # Safety
/// `result` lives; else as for [`given`].
pub unsafe fn returned(python: &Python, function: &Function, result: Object, exit: &Event, looked_at: bool) {
    // SAFETY: the caller's word.
    unsafe {
        let Some(values) = Values::new(python, template(exit, Direction::Result)) else { return };
        let is_module = function.means.signal == Some(Signal::ModuleCall);
        let mut values = if is_module { values.looking(looked_at) } else { values };
        values.value(*RESULT.get_or_init(|| Name::new("result")), result);
    }
}

/// Records the exception that left the call that ended with the event `exit`. No function of the C API is called.
///
/// # Safety
/// `class` is the live type of the exception, or null; the GIL is held.
pub unsafe fn raised(class: Object, exit: &Event) {
    if class.is_null() {
        return;
    }
    // SAFETY: the caller's word.
    let class = unsafe { values::own_name(class) };
    sink::emit_argument(&Argument {
        name: sink::text("exception"),
        value_kind: ArgumentKind::Object as u8,
        text: sink::text(&class),
        ..template(exit, Direction::Exception)
    });
}

fn template(event: &Event, direction: Direction) -> Argument {
    Argument {
        direction: direction as u8,
        time: event.time,
        call: event.call,
        iteration: event.iteration,
        function: event.name,
        ..Argument::EMPTY
    }
}

/// The parameters of the code that `frame` runs, but for `self`.
unsafe fn parameters(python: &Python, frame: &Frame, info: &CodeInfo) -> &'static [Parameter] {
    // SAFETY: `given`'s contract.
    unsafe {
        // Code objects that share an entry could differ, if only in theory; no more is read than each has.
        let signature = frame.signature();
        let (of, known) = info.parameters.0.get();
        if of == signature {
            return known;
        }
        let found: &'static [Parameter] = find(python, frame.code(), signature).leak();
        info.parameters.0.set((signature, found));
        found
    }
}

#[cold]
unsafe fn find(python: &Python, code: Object, signature: Signature) -> Vec<Parameter> {
    // SAFETY: `parameters`' contract: a live code object, whose attributes run no Python code.
    unsafe {
        let number = |name| super::code::attribute_number(python, code, name);
        let (plain, flags) = (number(c"co_argcount") + number(c"co_kwonlyargcount"), number(c"co_flags"));
        // The fields that the signature was read from are not those of this version.
        if signature != Signature::new(number(c"co_argcount"), number(c"co_kwonlyargcount"), flags) {
            return Vec::new();
        }
        let rest = REST.into_iter().filter(|flag| flags & flag != 0).count() as i64;
        let names = (python.get_attr)(code, c"co_varnames".as_ptr());
        if names.is_null() {
            (python.error_clear)();
            return Vec::new();
        }
        let mut found = Vec::new();
        if python.is_tuple(names) {
            for index in 0..(plain + rest).min((python.tuple_size)(names) as i64) {
                let text = python.text((python.tuple_get)(names, index as isize));
                // A method's own object is no argument.
                if index == 0 && matches!(text, "self" | "cls") {
                    continue;
                }
                found.push(Parameter { name: Name::new(text), index: index as usize, rest: index >= plain });
            }
        }
        (python.dec_ref)(names);
        found
    }
}
