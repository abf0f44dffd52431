//! What the agent knows of itself: its hooks, what it cost, what went wrong.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use traincheck_schema::run::HookInfo;

struct Account {
    hooks: Vec<HookInfo>,
    figures: Vec<(String, u64)>,
}

static ACCOUNT: Mutex<Account> = Mutex::new(Account { hooks: Vec::new(), figures: Vec::new() });
static TROUBLE: OnceLock<String> = OnceLock::new();

fn lock() -> MutexGuard<'static, Account> {
    ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that `hook` is on. One that is known to be off stays so.
pub fn hook_on(hook: &str, how: &str) {
    let hooks = &mut lock().hooks;
    if hooks.iter().all(|known| known.name != hook) {
        hooks.push(HookInfo { name: hook.into(), on: true, how: how.into(), why: String::new() });
    }
}

/// Notes that `hook` is off; the first reason counts. False: that was known.
pub fn hook_off(hook: &str, why: &str) -> bool {
    let hooks = &mut lock().hooks;
    let off = HookInfo { name: hook.into(), on: false, how: String::new(), why: why.into() };
    match hooks.iter_mut().find(|known| known.name == hook) {
        Some(known) if !known.on => return false,
        Some(known) => *known = off,
        None => hooks.push(off),
    }
    true
}

/// The hooks, on and off, in the order in which they were noted first.
pub fn hooks() -> Vec<HookInfo> {
    lock().hooks.clone()
}

/// Sets a figure of the account in the footer.
pub fn set(name: &str, value: u64) {
    let figures = &mut lock().figures;
    match figures.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => figures.push((name.into(), value)),
    }
}

/// All figures, for the footer.
pub fn figures() -> Vec<(String, u64)> {
    lock().figures.clone()
}

/// Remembers why capture stopped; the first reason counts.
pub fn trouble(what: String) {
    let _ = TROUBLE.set(what);
}

/// Why capture stopped, if it did.
pub fn what_went_wrong() -> Option<&'static str> {
    TROUBLE.get().map(String::as_str)
}
