//! The dictionary of the process: every name, place and object is defined once and is a number from then on.
//!
//! A definition is held in memory until the writer takes it. From the start of the run on it also goes to the
//! ring of the dictionary, so that the records that use it can be read even if the process is killed before the
//! writer came round.

use super::{threads, writer};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use traincheck_schema::record::{DictEntry, DictKind};
use traincheck_schema::ring::Ring;

/// How many entries a process may define. Beyond, names are id 0 and the loss is counted.
const MOST_ENTRIES: u32 = 1 << 18;
/// How many bytes of text they may have together.
const MOST_BYTES: usize = 64 << 20;
/// How many ops may have a name of their own: user scopes can have any number of names (`step 1`, `step 2`).
const MOST_OPS: usize = 1 << 14;
/// The name of all further ones.
const OTHER_OP: &[u8] = b"(other)";
/// The longest text that is kept, in bytes.
const LONGEST_TEXT: usize = 4096;

/// Definitions and what is needed to give them out.
struct Names {
    last_id: u32,
    bytes: usize,
    /// Defined and not yet taken by the writer.
    fresh: Vec<DictEntry>,
    texts: HashMap<Box<str>, u32, ContentHash>,
    /// By scope; the names are never freed.
    ops: BTreeMap<u8, HashMap<&'static [u8], u32, ContentHash>>,
    ops_count: usize,
    /// The ring of the dictionary, once the run was started.
    ring: Option<&'static Ring>,
    lost: u64,
}

type ContentHash = BuildHasherDefault<ContentHasher>;

static NAMES: Mutex<Names> = Mutex::new(Names {
    last_id: 0,
    bytes: 0,
    fresh: Vec::new(),
    texts: HashMap::with_hasher(ContentHash::new()),
    ops: BTreeMap::new(),
    ops_count: 0,
    ring: None,
    lost: 0,
});

fn names() -> MutexGuard<'static, Names> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Names {
    fn define(&mut self, mut entry: DictEntry) -> u32 {
        for text in [&mut entry.text, &mut entry.file, &mut entry.type_name] {
            cut(text);
        }
        let bytes = entry.text.len() + entry.file.len() + entry.type_name.len();
        if self.last_id >= MOST_ENTRIES || self.bytes + bytes > MOST_BYTES {
            self.lost += 1;
            return 0;
        }
        self.last_id += 1;
        self.bytes += bytes;
        entry.id = self.last_id;
        if let Some(ring) = self.ring {
            // Where the ring is full the entry only waits for the writer: it is lost if the process is killed
            // before, and the ring counts that.
            if !ring.push_dict(&entry) {
                writer::wake();
            }
        }
        self.fresh.push(entry);
        self.last_id
    }
}

/// Stores `entry` under the next id, which it returns; 0 where the dictionary is full.
pub fn define(entry: DictEntry) -> u32 {
    names().define(entry)
}

/// The id of `text` as [`DictKind::Text`]; the same text has the same id. 0 where the dictionary is full.
pub fn text(text: &str) -> u32 {
    let mut names = names();
    if let Some(id) = names.texts.get(text) {
        return *id;
    }
    let id =
        names.define(DictEntry { kind: DictKind::Text as u8, text: text.into(), ..DictEntry::default() });
    if id != 0 {
        names.texts.insert(text.into(), id);
    }
    id
}

/// The id of the op `name` of `scope` as [`DictKind::Op`]. By content: libtorch uses addresses of names again.
pub fn op(name: &[u8], scope: u8) -> u32 {
    threads::cached_op(name, scope, || define_op(name, scope))
}

/// As [`op`], past the cache. Also gives back a copy of the name that lives as long as the process.
fn define_op(name: &[u8], scope: u8) -> (u32, &'static [u8]) {
    let mut names = names();
    if let Some((kept, id)) = names.ops.get(&scope).and_then(|ops| ops.get_key_value(name)) {
        return (*id, kept);
    }
    if names.ops_count >= MOST_OPS && name != OTHER_OP {
        drop(names);
        return define_op(OTHER_OP, scope);
    }
    let text = String::from_utf8_lossy(name).into_owned();
    let detail = u16::from(scope);
    let id = names.define(DictEntry { kind: DictKind::Op as u8, detail, text, ..DictEntry::default() });
    if id == 0 {
        return (0, &[]);
    }
    let kept: &'static [u8] = Box::leak(name.into());
    names.ops.entry(scope).or_default().insert(kept, id);
    names.ops_count += 1;
    (id, kept)
}

/// Everything defined since the last time, for the writer, and up to where the ring of the dictionary holds
/// nothing that is not among it or was taken earlier.
pub fn take() -> (Vec<DictEntry>, u64) {
    let mut names = names();
    let position = names.ring.map_or(0, Ring::head);
    (std::mem::take(&mut names.fresh), position)
}

/// How many definitions were refused so far because the dictionary is full.
pub fn lost() -> u64 {
    names().lost
}

/// From now on definitions also go to `ring`. Those made before are given back: they are to be written first.
pub fn use_ring(ring: &'static Ring) -> Vec<DictEntry> {
    let mut names = names();
    names.ring = Some(ring);
    std::mem::take(&mut names.fresh)
}

/// Cuts `text` to [`LONGEST_TEXT`] bytes, between characters.
fn cut(text: &mut String) {
    if text.len() > LONGEST_TEXT {
        let mut end = LONGEST_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}

/// A fast hash of short byte strings. Not safe against chosen collisions; names come from the program itself.
#[derive(Default)]
pub struct ContentHasher(u64);

/// Folded multiplication: each bit of both factors reaches each bit of the result.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hash of `bytes`.
#[inline]
pub fn content_hash(seed: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(word), FACTOR);
    }
    let mut word = [0; 8];
    let rest = chunks.remainder();
    word[..rest.len()].copy_from_slice(rest);
    mix(hash ^ u64::from_le_bytes(word), FACTOR ^ 0x5bd1_e995)
}

impl Hasher for ContentHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = content_hash(self.0, bytes);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_id_and_different_texts_have_different_ones() {
        let first = text("one text");
        assert_ne!(first, 0);
        assert_eq!(text("one text"), first);
        assert_ne!(text("another text"), first);
    }

    #[test]
    fn an_op_is_known_by_its_content_and_scope_not_by_its_address() {
        let mut buffer = *b"aten::add";
        let add = op(&buffer, 0);
        buffer.copy_from_slice(b"aten::mul");
        let multiply = op(&buffer, 0);
        assert_ne!(add, multiply);
        assert_eq!(op(Vec::from(b"aten::add").as_slice(), 0), add);
        assert_ne!(op(b"aten::add", 7), add);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut text = "é".repeat(LONGEST_TEXT);
        cut(&mut text);
        assert_eq!(text.len(), LONGEST_TEXT);
        let mut text = format!("a{}", "é".repeat(LONGEST_TEXT));
        cut(&mut text);
        assert_eq!(text.len(), LONGEST_TEXT - 1);
    }
}
