//! Places in the user's code that calls come from, as dictionary ids.

use super::code::{self, CodeInfo};
use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use crate::interpreter::api::Python;
use crate::interpreter::frame::Frame;
use crate::sink;
use traincheck_schema::record::{DictEntry, DictKind};

/// More places than any script has; what lies beyond has no place.
const MAX_SITES: usize = 1 << 16;
/// How far up the user's code is looked for.
const MAX_LIBRARY_FRAMES: usize = 64;

/// By code info and instruction.
static SITES: Gil<Option<FastMap<(usize, i32), u32>>> = Gil::new(None);

/// The place in the user's code that a call comes from, and whether the user's code made it directly.
/// `(0, false)` where no frame of the user's is found.
///
/// # Safety
/// `caller` is the innermost frame of the thread that runs, or null; the GIL is held.
pub unsafe fn site(python: &Python, caller: *const Frame) -> (u32, bool) {
    // SAFETY: `previous` links live frames up to null; the interpreter holds their code objects and globals.
    unsafe {
        let mut caller = caller;
        let mut is_direct = true;
        for _ in 0..MAX_LIBRARY_FRAMES {
            if caller.is_null() {
                break;
            }
            let info = code::info(python, (*caller).code(), (*caller).globals());
            if let Some(info) = info
                && info.user
            {
                return (site_id(python, &*caller, info), is_direct);
            }
            is_direct = is_direct && code::passes_on(python, (*caller).code(), info);
            caller = (*caller).previous();
        }
        (0, false)
    }
}

unsafe fn site_id(python: &Python, frame: &Frame, info: &'static CodeInfo) -> u32 {
    // SAFETY: `site`'s contract.
    unsafe {
        let instruction = frame.instruction();
        let key = (std::ptr::from_ref(info) as usize, instruction);
        let known = SITES.with(|sites| {
            let sites = sites.get_or_insert_default();
            Some((sites.get(&key).copied(), sites.len()))
        });
        match known {
            Some((Some(site), _)) => return site,
            Some((None, count)) if count < MAX_SITES => {}
            _ => return 0,
        }
        let line = (python.code_address_to_line)(frame.code(), instruction);
        let site = sink::define(DictEntry {
            kind: DictKind::Site as u8,
            line: u32::try_from(line).unwrap_or(0),
            text: format!("{}.{}", info.module, without_comprehensions(&info.qualname)),
            file: info.file.clone(),
            ..DictEntry::default()
        });
        SITES.with(|sites| sites.get_or_insert_default().insert(key, site));
        site
    }
}

/// The qualified name of the function that code was written in. Comprehensions are code of their own up to CPython
/// 3.11, and part of the code around them after that.
fn without_comprehensions(qualname: &str) -> String {
    let mut name = qualname.to_owned();
    for kind in ["<listcomp>", "<setcomp>", "<dictcomp>"] {
        name = name.replace(&format!(".<locals>.{kind}"), "").replace(&format!(".{kind}"), "");
        name = name.replace(&format!("{kind}.<locals>."), "");
    }
    if matches!(name.as_str(), "<listcomp>" | "<setcomp>" | "<dictcomp>") {
        "<module>".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::without_comprehensions;

    #[test]
    fn a_comprehension_is_part_of_the_code_around_it() {
        for (qualname, expected) in [
            ("main", "main"),
            ("main.<locals>.<listcomp>", "main"),
            ("main.<locals>.<dictcomp>.<locals>.<listcomp>", "main"),
            ("main.<locals>.<setcomp>.<locals>.<lambda>", "main.<locals>.<lambda>"),
            ("main.<locals>.<genexpr>", "main.<locals>.<genexpr>"),
            ("Net.<listcomp>", "Net"),
            ("<listcomp>", "<module>"),
            ("<listcomp>.<locals>.<lambda>", "<lambda>"),
        ] {
            assert_eq!(without_comprehensions(qualname), expected);
        }
    }
}
