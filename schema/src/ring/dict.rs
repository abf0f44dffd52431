//! A dictionary entry as a record in a ring.
//!
//! | offset | what |
//! |---|---|
//! | 0 | size of the record, a multiple of 64 (u16) |
//! | 2 | [`DICT_KIND`] (u8) |
//! | 3 | kind of the entry (u8) |
//! | 4 | detail (u16) |
//! | 8 | id, line, owner (u32 each) |
//! | 20 | lengths of text, file and type name in bytes (u16 each) |
//! | 32 | the three texts, UTF-8, without separators |

use crate::record::{DICT_KIND, DictEntry};

use super::GRAIN;

/// Longer texts of a dictionary entry are cut, in bytes.
pub const MAX_TEXT: usize = 4096;
const FIXED: usize = 32;

/// The longest beginning of `text` of at most [`MAX_TEXT`] bytes that is whole characters.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Bytes that the entry takes in a ring.
pub(super) fn encoded_size(entry: &DictEntry) -> usize {
    let texts = cut(&entry.text).len() + cut(&entry.file).len() + cut(&entry.type_name).len();
    (FIXED + texts).next_multiple_of(GRAIN)
}

/// Writes the entry to `bytes`, which are as many as [`encoded_size`] said.
pub(super) fn encode(entry: &DictEntry, bytes: &mut [u8]) {
    let texts = [cut(&entry.text), cut(&entry.file), cut(&entry.type_name)];
    let size = bytes.len() as u16;
    bytes[..FIXED].fill(0);
    bytes[0..2].copy_from_slice(&size.to_ne_bytes());
    bytes[2] = DICT_KIND;
    bytes[3] = entry.kind;
    bytes[4..6].copy_from_slice(&entry.detail.to_ne_bytes());
    bytes[8..12].copy_from_slice(&entry.id.to_ne_bytes());
    bytes[12..16].copy_from_slice(&entry.line.to_ne_bytes());
    bytes[16..20].copy_from_slice(&entry.owner.to_ne_bytes());
    let mut at = FIXED;
    for (i, text) in texts.into_iter().enumerate() {
        bytes[20 + 2 * i..22 + 2 * i].copy_from_slice(&(text.len() as u16).to_ne_bytes());
        bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
        at += text.len();
    }
}

/// Reads an entry back. `bytes` is the whole record, at least one grain.
pub(super) fn decode(bytes: &[u8]) -> Result<DictEntry, &'static str> {
    let short = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let long = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if bytes.len() < GRAIN {
        return Err("a dictionary entry is too short");
    }
    let mut rest = &bytes[FIXED..];
    let mut text = |length: u16| -> Result<String, &'static str> {
        let length = usize::from(length);
        if length > MAX_TEXT || length > rest.len() {
            return Err("a text of a dictionary entry is longer than its record");
        }
        let (text, behind) = rest.split_at(length);
        rest = behind;
        Ok(String::from_utf8_lossy(text).into_owned())
    };
    let (name, file, type_name) = (text(short(20))?, text(short(22))?, text(short(24))?);
    Ok(DictEntry {
        id: long(8),
        kind: bytes[3],
        detail: short(4),
        line: long(12),
        owner: long(16),
        text: name,
        file,
        type_name,
    })
}
