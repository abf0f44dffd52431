//! Where the functions are whose place was taken.
//!
//! They are looked for in the libraries that are loaded, and never in the global scope, in which this library comes first.
//! Once torch is imported all of those of its libtorch are known; a program without Python finds each at its first call.

use super::table::{Function, INTERPOSED};
use crate::libtorch::library::Libtorch;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Their addresses, by number; 0: not known yet.
static ORIGINALS: [AtomicUsize; INTERPOSED.len()] = [const { AtomicUsize::new(0) }; INTERPOSED.len()];

/// The code of those that are collectives: what is called from there is a part of one.
static METHODS: OnceLock<Vec<Range<usize>>> = OnceLock::new();
/// The code of libtorch.
static LIBRARY: OnceLock<Range<usize>> = OnceLock::new();

/// The original of function `number`, which is called from `caller`.
pub fn original(number: usize, caller: usize) -> usize {
    match ORIGINALS.get(number).map(|known| known.load(Ordering::Relaxed)) {
        Some(0) => search(number, caller),
        Some(known) => known,
        // No stub has another number.
        None => std::process::abort(),
    }
}

/// Whether libtorch has one of this kind.
pub fn has(function: Function) -> bool {
    let mut all = INTERPOSED.iter().zip(&ORIGINALS);
    all.any(|(one, known)| one.function == function && known.load(Ordering::Relaxed) != 0)
}

/// Whether `address` is in a collective.
pub fn is_in_method(address: usize) -> bool {
    METHODS.get().is_some_and(|methods| methods.iter().any(|code| code.contains(&address)))
}

/// Whether `address` is in libtorch.
pub fn is_in_library(address: usize) -> bool {
    LIBRARY.get().is_some_and(|code| code.contains(&address))
}

/// Takes the originals from `library`, all that it has. Gives their places and code, by number.
pub fn know(library: &Libtorch) -> Vec<Option<Range<usize>>> {
    let found = library.find_in_cpu(INTERPOSED.iter().map(|one| one.symbol));
    for (known, code) in ORIGINALS.iter().zip(&found) {
        if let Some(code) = code {
            known.store(code.start, Ordering::Relaxed);
        }
    }
    let methods = INTERPOSED
        .iter()
        .zip(&found)
        .filter_map(|(one, code)| matches!(one.function, Function::Method(_)).then_some(code.clone()?));
    let _ = METHODS.set(methods.collect());
    if let Some(first) = found.iter().flatten().next() {
        let _ = LIBRARY.set(mapped_around(first.start));
    }
    found
}

/// The executable mapping around `address`.
fn mapped_around(address: usize) -> Range<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let range = |line: &str| {
        let (begin, end) = line.split_whitespace().next()?.split_once('-')?;
        Some(usize::from_str_radix(begin, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    };
    maps.lines().filter_map(range).find(|range| range.contains(&address)).unwrap_or(0..0)
}

/// Looks through all libraries. Where several have the function (two copies of libtorch in one process) it is that of the
/// library that calls it, each time anew.
#[cold]
fn search(number: usize, caller: usize) -> usize {
    let Some(one) = INTERPOSED.get(number) else { std::process::abort() };
    let found = super::keeping_errno(|| {
        let mut found: Vec<usize> =
            libraries().iter().filter_map(|name| in_library(name, one.symbol)).collect();
        found.retain(|address| *address != one.stub as usize);
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [only] => {
                if let Some(known) = ORIGINALS.get(number) {
                    known.store(*only, Ordering::Relaxed);
                }
                Some(*only)
            }
            [] => None,
            _ => of_caller(caller, one.symbol)
                .filter(|address| found.contains(address))
                .or(found.first().copied()),
        }
    });
    // Somebody calls what no library defines: the linker would not have loaded it without this library's name.
    found.unwrap_or_else(|| std::process::abort())
}

/// The names of the libraries that are loaded.
fn libraries() -> Vec<CString> {
    unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, names: *mut c_void) -> c_int {
        // SAFETY: the linker gives a description with a name or null, and what `libraries` gave it.
        unsafe {
            let (name, names) = ((*info).dlpi_name, &mut *names.cast::<Vec<CString>>());
            // The program itself has none. What it defines comes before what this library exports.
            if !name.is_null() && *name != 0 {
                names.push(CStr::from_ptr(name).to_owned());
            }
        }
        0
    }
    let mut names: Vec<CString> = Vec::new();
    // SAFETY: the callback is given what it takes, and the linker's list does not change meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut names).cast()) };
    names
}

/// What `symbol` is to the library of this name: its own, or that of a library that it needs.
fn in_library(name: &CStr, symbol: &CStr) -> Option<usize> {
    // SAFETY: C strings; nothing is loaded, and the library was loaded before, so closing this handle unloads nothing.
    unsafe {
        let handle = libc::dlopen(name.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY);
        if handle.is_null() {
            return None;
        }
        let address = libc::dlsym(handle, symbol.as_ptr()) as usize;
        libc::dlclose(handle);
        (address != 0).then_some(address)
    }
}

/// What `symbol` is to the library that has the code at `caller`.
fn of_caller(caller: usize, symbol: &CStr) -> Option<usize> {
    // SAFETY: an all-zero `Dl_info` is one; the name lives as long as the library, which is running.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(caller as *const c_void, &raw mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        in_library(CStr::from_ptr(info.dli_fname), symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_with_what_they_have() {
        let names = libraries();
        let c = names.iter().find(|name| name.to_string_lossy().contains("libc.so")).expect("the C library");
        let found = in_library(c, c"getpid").expect("a function");
        assert_eq!(of_caller(found, c"getpid"), Some(found));
        assert!(mapped_around(found).contains(&found));
        assert_eq!(in_library(c, c"no_such_symbol"), None);
        assert_eq!(in_library(c"no/such/library.so", c"getpid"), None);
    }
}
