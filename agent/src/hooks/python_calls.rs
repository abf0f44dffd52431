//! What the two ways to see Python calls have in common: they are one hook, of which every interpreter has one.

use super::capture::{self, guard};
use super::hook::{Hook, State};
use super::source::{BodyLeft, Job, Need, Source};
use crate::interpreter::api::{Object, Python};
use std::sync::OnceLock;

/// A way to see them. All is called as the methods of [`Source`] with these names are.
pub trait Way: Sync {
    /// The interpreters that have it.
    const NEEDS: &'static [Need];
    /// The interface.
    const HOW: &'static str;

    /// See [`Source::await_body`]; [`body_left`] is to be called.
    ///
    /// # Safety
    /// See there.
    unsafe fn await_body(python: &'static Python, code: Object) -> Result<(), String>;

    /// See [`Source::install`].
    ///
    /// # Safety
    /// See there.
    unsafe fn install(python: &Python) -> Result<(), String>;

    /// See [`Source::suspend`].
    ///
    /// # Safety
    /// See there.
    unsafe fn suspend(python: &Python);

    /// See [`Source::resume`].
    ///
    /// # Safety
    /// See there.
    unsafe fn resume(python: &Python) -> bool;

    /// See [`Source::step_begins`].
    fn step_begins() {}

    /// See [`Source::remove`].
    ///
    /// # Safety
    /// See there.
    unsafe fn remove(python: &Python);

    /// See [`Source::leave_child`].
    fn leave_child();
}

/// The hook, in one of these ways.
pub struct PythonCalls<W>(pub W);

/// What is called when torch's body has been left.
static LEFT: OnceLock<BodyLeft> = OnceLock::new();

/// The body that was waited for has been left; `ran`: not by an exception.
///
/// # Safety
/// The GIL is held and no exception is set if `ran`.
pub unsafe fn body_left(python: &'static Python, ran: bool) {
    if let Some(left) = LEFT.get() {
        // SAFETY: the caller's word.
        unsafe { left(python, ran) };
    }
}

impl<W: Way> Source for PythonCalls<W> {
    fn hook(&self) -> Hook {
        Hook::PythonCalls
    }

    fn needs(&self) -> &'static [Need] {
        W::NEEDS
    }

    unsafe fn prove(&self, job: &Job) -> Result<(), String> {
        // SAFETY: the caller's word.
        unsafe { capture::prove(job.python) }
    }

    unsafe fn install(&self, job: &Job) -> Result<&'static str, String> {
        guard::removed_by(W::remove);
        // SAFETY: the caller's word.
        unsafe { W::install(job.python)? };
        Ok(W::HOW)
    }

    fn parts(&self) -> Vec<(Hook, State)> {
        capture::parts()
    }

    unsafe fn await_body(
        &self,
        python: &'static Python,
        code: Object,
        left: BodyLeft,
    ) -> Option<Result<(), String>> {
        let _ = LEFT.set(left);
        // SAFETY: the caller's word.
        Some(unsafe { W::await_body(python, code) })
    }

    unsafe fn suspend(&self, python: &Python) {
        // SAFETY: the caller's word.
        unsafe { W::suspend(python) };
    }

    unsafe fn resume(&self, python: &Python) -> bool {
        // SAFETY: the caller's word.
        unsafe { W::resume(python) }
    }

    fn step_begins(&self) {
        W::step_begins();
    }

    unsafe fn remove(&self, python: &Python) {
        // SAFETY: the caller's word.
        unsafe { W::remove(python) };
    }

    fn leave_child(&self) {
        W::leave_child();
    }
}
