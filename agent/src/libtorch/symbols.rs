//! What a loaded library exports, with its size. The dynamic linker tells sizes only by going through all symbols of the
//! library, of which libtorch has 200,000; its table of hashes leads to one at once.

use std::ffi::{CStr, c_void};
use std::ops::Range;

/// Entries of the dynamic section.
const STRINGS: i64 = 5;
const SYMBOLS: i64 = 6;
const HASHES: i64 = 0x6fff_fef5;
/// `RTLD_DI_LINKMAP`.
const LINK_MAP: libc::c_int = 2;

/// `struct link_map` of glibc, as far as it is public.
#[repr(C)]
struct LinkMap {
    base: usize,
    _name: usize,
    dynamic: *const [i64; 2],
}

/// The tables of a loaded library.
#[derive(Clone, Copy)]
pub struct Symbols {
    base: usize,
    strings: usize,
    symbols: *const libc::Elf64_Sym,
    hashes: *const u32,
}

impl Symbols {
    /// Those of the library that `handle` is of; `None` where it has no table of hashes of the GNU kind.
    ///
    /// # Safety
    /// A handle of `dlopen`, whose library stays loaded as long as this is used.
    pub unsafe fn of(handle: *mut c_void) -> Option<Symbols> {
        let mut map: *const LinkMap = std::ptr::null();
        // SAFETY: the linker fills in the pointer; its description and the dynamic section, which ends with a zero, live
        // as long as the library.
        unsafe {
            if libc::dlinfo(handle, LINK_MAP, (&raw mut map).cast()) != 0 || map.is_null() {
                return None;
            }
            let LinkMap { base, dynamic, .. } = *map;
            let find = |wanted: i64| {
                let mut entry = dynamic;
                while (*entry)[0] != 0 {
                    let [kind, value] = *entry;
                    if kind == wanted {
                        let value = value as usize;
                        // The linker has put addresses in the place of offsets where it may write.
                        return Some(if value < base { base + value } else { value });
                    }
                    entry = entry.add(1);
                }
                None
            };
            if dynamic.is_null() {
                return None;
            }
            Some(Symbols {
                base,
                strings: find(STRINGS)?,
                symbols: find(SYMBOLS)? as *const libc::Elf64_Sym,
                hashes: find(HASHES)? as *const u32,
            })
        }
    }

    /// Where `name` is and how long; `None` where the library does not have it.
    pub fn find(&self, name: &CStr) -> Option<Range<usize>> {
        let hash = name
            .to_bytes()
            .iter()
            .fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)));
        // SAFETY: `of`'s word; the tables are as the linker uses them: four numbers, so many words of a filter, so many
        // buckets, and for each symbol from the first one on its hash, with the lowest bit set in the last of a bucket.
        unsafe {
            let table = self.hashes;
            let [buckets, first, words, _] = *table.cast::<[u32; 4]>();
            if buckets == 0 {
                return None;
            }
            let bucket = table.add(4 + words as usize * 2);
            let chain = bucket.add(buckets as usize);
            let mut number = *bucket.add((hash % buckets) as usize);
            while number >= first {
                let of_symbol = *chain.add((number - first) as usize);
                let symbol = self.symbols.add(number as usize).read();
                let is_defined = symbol.st_shndx != 0;
                if of_symbol | 1 == hash | 1
                    && is_defined
                    && CStr::from_ptr((self.strings + symbol.st_name as usize) as *const _) == name
                {
                    let begin = self.base + symbol.st_value as usize;
                    return Some(begin..begin + symbol.st_size as usize);
                }
                if of_symbol & 1 != 0 {
                    return None;
                }
                number += 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_what_the_linker_finds() {
        // SAFETY: the C library is loaded and stays so; the names are C strings.
        unsafe {
            let handle = libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY);
            let symbols = Symbols::of(handle).expect("tables");
            for name in [c"getpid", c"qsort", c"environ"] {
                let found = symbols.find(name).expect("a symbol");
                assert_eq!(found.start, libc::dlsym(handle, name.as_ptr()) as usize, "{name:?}");
                assert!(!found.is_empty() && found.len() < 4096, "{name:?}");
            }
            assert_eq!(symbols.find(c"no_such_symbol"), None);
        }
    }
}
