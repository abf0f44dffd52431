//! The names of a process.

use crate::record::DictEntry;

/// A greater id is damage. Far beyond what a process names; it bounds the memory that a reader needs.
pub const MAX_DICTIONARY_ID: u32 = 1 << 22;

/// No dictionary takes more memory than this for its texts, in bytes.
pub const MAX_DICTIONARY_TEXT: usize = 256 << 20;

/// The dictionary of a process: entries by id.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    entries: Vec<DictEntry>,
    /// By id: 0, or the place in `entries`, from 1.
    places: Vec<u32>,
    /// Bytes of all texts.
    text_size: usize,
}

impl Dictionary {
    /// Adds an entry. False: it was not taken, for its id is 0 or beyond [`MAX_DICTIONARY_ID`], or all texts
    /// together exceed [`MAX_DICTIONARY_TEXT`]. An id that is known keeps its first entry.
    pub fn insert(&mut self, entry: DictEntry) -> bool {
        let text_size = self.text_size + entry.text.len() + entry.file.len() + entry.type_name.len();
        if entry.id == 0 || entry.id > MAX_DICTIONARY_ID || text_size > MAX_DICTIONARY_TEXT {
            return false;
        }
        let id = entry.id as usize;
        if self.places.len() <= id {
            self.places.resize(id + 1, 0);
        }
        if self.places[id] == 0 {
            self.text_size = text_size;
            self.entries.push(entry);
            self.places[id] = self.entries.len() as u32;
        }
        true
    }

    /// The entry `id`, if it is known.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&DictEntry> {
        let place = *self.places.get(id as usize)?;
        self.entries.get((place as usize).checked_sub(1)?)
    }

    /// The name of `id`; empty if it is not known.
    #[inline]
    pub fn text(&self, id: u32) -> &str {
        self.get(id).map_or("", |entry| &entry.text)
    }

    /// All entries, in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = &DictEntry> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
