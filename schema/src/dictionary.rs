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
        self.insert_within(entry, MAX_DICTIONARY_TEXT)
    }

    fn insert_within(&mut self, entry: DictEntry, max_text: usize) -> bool {
        let text_size = self.text_size + entry.text.len() + entry.file.len() + entry.type_name.len();
        if entry.id == 0 || entry.id > MAX_DICTIONARY_ID || text_size > max_text {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u32, text: &str) -> DictEntry {
        DictEntry { id, text: text.to_owned(), ..DictEntry::default() }
    }

    #[test]
    fn entries_are_found_by_id() {
        let mut names = Dictionary::default();
        assert!(names.is_empty());
        assert!(names.insert(entry(7, "seven")) && names.insert(entry(2, "two")));
        assert_eq!([0, 1, 2, 7, 8, u32::MAX].map(|id| names.text(id)), ["", "", "two", "seven", "", ""]);
        assert_eq!(names.get(7), Some(&entry(7, "seven")));
        assert_eq!(names.iter().map(|entry| entry.id).collect::<Vec<_>>(), [7, 2]);
    }

    #[test]
    fn the_first_entry_of_an_id_stays() {
        let mut names = Dictionary::default();
        assert!(names.insert(entry(1, "first")) && names.insert(entry(1, "second")));
        assert_eq!((names.text(1), names.len()), ("first", 1));
    }

    #[test]
    fn what_exceeds_the_limits_is_not_taken() {
        let mut names = Dictionary::default();
        assert!(!names.insert(entry(0, "none")) && !names.insert(entry(MAX_DICTIONARY_ID + 1, "far")));
        assert!(names.insert(entry(MAX_DICTIONARY_ID, "last")));
        assert!(names.insert_within(entry(1, "12345"), 9));
        assert!(!names.insert_within(entry(2, "6"), 9));
        assert_eq!(names.len(), 2);
    }
}
