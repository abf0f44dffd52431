//! The hooks that there are, one a line, and what is done with all of them.

#[cfg(target_arch = "x86_64")]
use super::c10d;
use super::hook::{Hook, State};
use super::python_calls::PythonCalls;
use super::record_function::sources as record_function;
use super::source::{self, BodyLeft, Job, Proof, Source};
use super::{fills, monitoring, pep523, readers, streams};
use crate::interpreter::api::{Object, Python};
use crate::training::capture::Capture;

/// In the order in which they are put in: those of Python calls last, so that they see nothing of the others.
static HOOKS: &[&dyn Source] = &[
    &streams::TORCH,
    &streams::PYTHON,
    &readers::Variables,
    &readers::Modes,
    &record_function::USER_SCOPES,
    &record_function::OPS,
    &record_function::AUTOGRAD_NODES,
    &fills::Fills,
    #[cfg(target_arch = "x86_64")]
    &c10d::Collectives,
    &PythonCalls(pep523::FrameEvaluator),
    &PythonCalls(monitoring::Monitoring),
];

/// Proves all of them, and then puts in those that can be; each says how it is.
///
/// # Errors
/// Says why Python calls cannot be seen. Without them nothing is put in.
///
/// # Safety
/// The GIL is held and no exception is set; `code::Codes` and `names` are installed.
pub unsafe fn install(job: &Job) -> Result<(), String> {
    let mut proofs = Vec::new();
    for source in HOOKS {
        // SAFETY: the caller's word.
        match unsafe { source::prove(*source, job) } {
            Proof::Failed(why) if source.hook() == Hook::PythonCalls => return Err(why),
            Proof::NotHere => {}
            proof => proofs.push((*source, proof)),
        }
    }
    for (source, proof) in proofs {
        let installed = match proof {
            // SAFETY: the caller's word; it was proven.
            Proof::Proven => unsafe { source.install(job) },
            Proof::Failed(why) => Err(why),
            Proof::NotHere => continue,
        };
        match installed {
            Err(why) if source.hook() == Hook::PythonCalls => return Err(why),
            installed => {
                let state = State::from(installed);
                source.hook().is(&state);
                if matches!(state, State::On { .. }) {
                    source.parts().iter().for_each(|(part, state)| part.is(state));
                }
            }
        }
    }
    Ok(())
}

/// Calls `left` when the frame that is about to run `code` has been left.
///
/// # Errors
/// Says why calls cannot be seen in this interpreter.
///
/// # Safety
/// A live code object; the GIL of the main interpreter is held and no exception is set.
pub unsafe fn await_body(python: &'static Python, code: Object, left: BodyLeft) -> Result<(), String> {
    let here = |source: &&&dyn Source| source.needs().iter().all(|need| need.is_met_by(python));
    // SAFETY: the caller's word.
    let awaited =
        HOOKS.iter().filter(here).find_map(|source| unsafe { source.await_body(python, code, left) });
    awaited.unwrap_or_else(|| Err("calls cannot be seen in this interpreter".to_owned()))
}

/// Takes them out.
///
/// # Safety
/// The GIL is held.
pub unsafe fn remove(python: &Python) {
    // SAFETY: the caller's word.
    HOOKS.iter().for_each(|source| unsafe { source.remove(python) });
}

/// Takes them out in a forked child. Only stores into its own memory.
pub fn leave_child() {
    HOOKS.iter().for_each(|source| source.leave_child());
}

/// All hooks, as what means the calls asks of them.
pub struct Hooks;

impl Capture for Hooks {
    unsafe fn suspend(&self, python: &Python) {
        // SAFETY: the caller's word.
        HOOKS.iter().for_each(|source| unsafe { source.suspend(python) });
    }

    unsafe fn resume(&self, python: &Python) -> bool {
        // SAFETY: the caller's word.
        HOOKS.iter().all(|source| unsafe { source.resume(python) })
    }

    fn record_all_ops(&self, on: bool) {
        record_function::record_all_ops(on);
    }

    fn records_ops(&self) -> bool {
        record_function::records_ops()
    }

    fn step_begins(&self) {
        HOOKS.iter().for_each(|source| source.step_begins());
    }

    fn init_has_ended(&self) {
        HOOKS.iter().for_each(|source| source.init_has_ended());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::source::Need;

    #[test]
    fn no_hook_is_in_the_table_twice_but_for_the_two_ways_to_see_python_calls() {
        let names: Vec<_> = HOOKS.iter().map(|source| source.hook().name()).collect();
        for (index, name) in names.iter().enumerate() {
            let before = names.iter().take(index).filter(|known| *known == name).count();
            assert!(before == 0 || before == 1 && *name == Hook::PythonCalls.name(), "{name}");
        }
        let of_calls = HOOKS.iter().filter(|source| source.hook() == Hook::PythonCalls);
        let needs: Vec<_> = of_calls.map(|source| source.needs()).collect();
        assert_eq!(needs, [[Need::FrameEvaluator], [Need::Monitoring]], "one of them, in any interpreter");
    }

    #[test]
    fn those_of_python_calls_are_put_in_last() {
        let first = HOOKS.iter().position(|source| source.hook() == Hook::PythonCalls).expect("one of them");
        assert!(HOOKS[first..].iter().all(|source| source.hook() == Hook::PythonCalls));
    }
}
