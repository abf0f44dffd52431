//! What the agent knows of itself: hooks that are off, what it cost, what went wrong.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use traincheck_schema::run::HookInfo;

struct Account {
    hooks_off: Vec<HookInfo>,
    figures: Vec<(String, u64)>,
}

static ACCOUNT: Mutex<Account> = Mutex::new(Account { hooks_off: Vec::new(), figures: Vec::new() });
static TROUBLE: OnceLock<String> = OnceLock::new();

fn lock() -> MutexGuard<'static, Account> {
    ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that `hook` is off. False: that was known.
pub fn hook_off(hook: &str, why: &str) -> bool {
    let hooks = &mut lock().hooks_off;
    let new = hooks.iter().all(|known| known.name != hook);
    if new {
        hooks.push(HookInfo { name: hook.into(), on: false, why: why.into() });
    }
    new
}

/// `hooks` as they are said to be, corrected by what was noted since.
pub fn hooks(mut hooks: Vec<HookInfo>) -> Vec<HookInfo> {
    for off in &lock().hooks_off {
        match hooks.iter_mut().find(|hook| hook.name == off.name) {
            Some(hook) => hook.clone_from(off),
            None => hooks.push(off.clone()),
        }
    }
    hooks
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
