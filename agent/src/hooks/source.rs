//! What every hook can do: prove what it relies on, be put in, step aside for a while, and be taken out.

use super::hook::{Hook, State};
use crate::base::settings;
use crate::interpreter::api::{Object, Python};
use crate::libtorch::library::Libtorch;
use std::ffi::CStr;
use traincheck_settings::Profile;

/// A process in which torch has been imported.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Its interpreter.
    pub python: &'static Python,
    /// A namespace with what proofs compare with.
    pub known: Object,
    /// libtorch, if it was found.
    pub libtorch: Option<&'a Libtorch>,
}

impl<'a> Job<'a> {
    /// libtorch.
    ///
    /// # Errors
    /// Says that it was not found.
    pub fn library(&self) -> Result<&'a Libtorch, String> {
        self.libtorch.ok_or_else(|| "libtorch was not found".to_owned())
    }

    /// An object of the namespace; borrowed.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn get(&self, name: &CStr) -> Object {
        // SAFETY: the caller's word; the namespace is a live dict.
        unsafe { (self.python.dict_get_string)(self.known, name.as_ptr()) }
    }

    /// Calls a function of the agent's own without arguments.
    ///
    /// # Safety
    /// A live object; the GIL is held and no exception is set.
    pub unsafe fn call(&self, function: Object) {
        // SAFETY: the caller's word; the result is given back.
        unsafe {
            let result = (self.python.call_no_args)(function);
            if result.is_null() {
                (self.python.error_clear)();
            } else {
                (self.python.dec_ref)(result);
            }
        }
    }
}

/// What a hook cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// An interpreter without `sys.monitoring`: CPython up to 3.11.
    FrameEvaluator,
    /// `sys.monitoring`: CPython from 3.12 on.
    Monitoring,
    /// libtorch.
    Libtorch,
    /// A profile in which ops are recorded.
    Ops,
}

impl Need {
    /// Whether this interpreter has it, or it is not the interpreter's to have.
    pub fn is_met_by(self, python: &Python) -> bool {
        match self {
            Need::FrameEvaluator => python.minor_version < 12,
            Need::Monitoring => python.minor_version >= 12,
            Need::Libtorch | Need::Ops => true,
        }
    }

    /// Whether it is there. `Some(None)`: it is not, and nothing is to be said of that; else the reason.
    fn missing(self, job: &Job) -> Option<Option<&'static str>> {
        match self {
            // Calls are seen in another way.
            Need::FrameEvaluator | Need::Monitoring => (!self.is_met_by(job.python)).then_some(None),
            // That is said once for all that need it.
            Need::Libtorch => job.libtorch.is_none().then_some(None),
            Need::Ops => {
                (settings::get().profile == Profile::Minimal).then_some(Some("the profile is minimal"))
            }
        }
    }
}

/// What is called when the body of a module has been left: with false, by an exception.
pub type BodyLeft = unsafe fn(&'static Python, bool);

/// A source of trace events. One line of the table ([`super::table`]); nothing else names it.
///
/// All of it is called with the GIL held and no exception set, and only in the main interpreter.
pub trait Source: Sync {
    /// What it is.
    fn hook(&self) -> Hook;

    /// What it cannot do without.
    fn needs(&self) -> &'static [Need];

    /// Proves what it relies on, and leaves nothing behind.
    ///
    /// # Errors
    /// Says what is not as expected.
    ///
    /// # Safety
    /// See the trait; what it needs is there.
    unsafe fn prove(&self, job: &Job) -> Result<(), String>;

    /// Puts it in. Gives the name of the interface that it uses.
    ///
    /// # Errors
    /// Says why it cannot.
    ///
    /// # Safety
    /// See the trait; [`Source::prove`] has succeeded.
    unsafe fn install(&self, job: &Job) -> Result<&'static str, String>;

    /// What else is on or off with it, once it is in.
    fn parts(&self) -> Vec<(Hook, State)> {
        Vec::new()
    }

    /// Where it sees Python calls: calls `left` when the frame that is about to run `code` has been left. `None`: it
    /// sees none.
    ///
    /// # Safety
    /// See the trait; a live code object.
    unsafe fn await_body(
        &self,
        _python: &'static Python,
        _code: Object,
        _left: BodyLeft,
    ) -> Option<Result<(), String>> {
        None
    }

    /// Steps aside for a while, at as little cost as can be.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn suspend(&self, _python: &Python) {}

    /// Ends that. False: something else is in its place.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn resume(&self, _python: &Python) -> bool {
        true
    }

    /// libtorch has announced the step of an optimizer, on any thread, with or without the GIL.
    fn step_begins(&self) {}

    /// The first iteration has begun.
    fn init_has_ended(&self) {}

    /// Takes it out for good.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn remove(&self, _python: &Python) {}

    /// Takes it out in a forked child, as far as stores into its own memory do: whoever held the GIL at the fork, there
    /// is no other thread.
    fn leave_child(&self) {}
}

/// What a proof has to say of a hook.
pub enum Proof {
    /// It can be put in.
    Proven,
    /// It cannot.
    Failed(String),
    /// It is not for this process, and nothing is to be said of it.
    NotHere,
}

/// Proves a hook, if what it needs is there.
///
/// # Safety
/// As for [`Source::prove`].
pub unsafe fn prove(source: &dyn Source, job: &Job) -> Proof {
    match source.needs().iter().find_map(|need| need.missing(job)) {
        Some(None) => Proof::NotHere,
        Some(Some(why)) => Proof::Failed(why.to_owned()),
        // SAFETY: the caller's word.
        None => match unsafe { source.prove(job) } {
            Ok(()) => Proof::Proven,
            Err(why) => Proof::Failed(why),
        },
    }
}
