//! Reads pickles of the flight recorder as the values that its JSON has: of the operations of pickles those that build numbers,
//! texts, lists, tuples and dictionaries.
//!
//! Those that name classes or call something are refused: nothing of a file is ever run. A value that is used again is copied, as
//! JSON would have it, and all values together may be no more than [`MOST_FOR_A_BYTE`] says: a few bytes could ask for any number.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::Damage;

/// So deep lists may lie within one another; those of a dump lie five deep.
const DEEPEST: u32 = 64;
/// So many values there may be for each byte. Lines of the program that several entries share are a few bytes and four values.
const MOST_FOR_A_BYTE: u64 = 16;

/// What is on the stack or remembered.
#[derive(Clone)]
struct Item {
    value: Value,
    /// How many values it consists of.
    values: u64,
    /// How deep they lie within one another.
    depth: u32,
    /// Whether it was made empty and nothing was put into it yet.
    is_open: bool,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the operation began that is being done.
    began: usize,
    stack: Vec<Item>,
    /// How much was on the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Item>,
    values: u64,
}

/// Reads one.
///
/// # Errors
/// If it is damaged, or has what no dump has.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Damage> {
    let (stack, marks, memo) = (Vec::new(), Vec::new(), HashMap::new());
    let mut reader = Reader { bytes, at: 0, began: 0, stack, marks, memo, values: 0 };
    while !reader.operation()? {}
    match (reader.stack.pop(), reader.stack.is_empty()) {
        (Some(item), true) => Ok(item.value),
        _ => Err(reader.wrong("it ends with something left over")),
    }
}

impl Reader<'_> {
    fn wrong(&self, what: &'static str) -> Damage {
        Damage::Pickle { at: self.began, what }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Damage> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.wrong("it is cut off"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A number of up to eight bytes, the lowest first, without a sign.
    fn number(&mut self, bytes: usize) -> Result<u64, Damage> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, Damage> {
        let length = self.number(bytes)?;
        usize::try_from(length).map_err(|_| self.wrong("it is cut off"))
    }

    /// Does the next operation; whether it was the last.
    fn operation(&mut self) -> Result<bool, Damage> {
        self.began = self.at;
        let code = self.number(1)? as u8;
        match code {
            // PROTO and FRAME: nothing depends on them.
            0x80 => _ = self.take(1)?,
            0x95 => _ = self.take(8)?,
            b'.' => return Ok(true),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::Null)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'K' => self.whole_number(1)?,
            b'M' => self.whole_number(2)?,
            b'J' => {
                let number = self.number(4)? as u32;
                self.push(i64::from(number.cast_signed()).into())?;
            }
            0x8a => {
                let length = self.length(1)?;
                self.long(length)?;
            }
            b'G' => {
                let bits = self.number(8)?.swap_bytes();
                self.push(f64::from_bits(bits).into())?;
            }
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b']' | b')' => self.push_open(Value::Array(Vec::new()))?,
            b'}' => self.push_open(Value::Object(Map::new()))?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let first = self.stack.len().checked_sub(count).filter(|first| *first >= self.floor());
                let first = first.ok_or_else(|| self.wrong("a tuple has too few values"))?;
                let items = self.stack.split_off(first);
                self.tuple(items)?;
            }
            b't' => {
                let items = self.since_mark()?;
                self.tuple(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(items)?;
            }
            b'q' => {
                let key = self.number(1)? as u32;
                self.remember(key)?;
            }
            b'r' => {
                let key = self.number(4)? as u32;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let key = self.number(1)? as u32;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number(4)? as u32;
                self.recall(key)?;
            }
            _ => return Err(self.wrong("an operation that no dump of the flight recorder has")),
        }
        Ok(false)
    }

    fn whole_number(&mut self, bytes: usize) -> Result<(), Damage> {
        let number = self.number(bytes)?;
        self.push(number.into())
    }

    /// A number with a sign, of any length. What does not fit 64 bits is none that a dump has.
    fn long(&mut self, length: usize) -> Result<(), Damage> {
        if length > 8 {
            return Err(self.wrong("a number that is too large"));
        }
        let unsigned = self.number(length)?;
        let shift = 64 - 8 * length as u32;
        let signed = match shift {
            64 => 0,
            shift => (unsigned << shift).cast_signed() >> shift,
        };
        self.push(signed.into())
    }

    fn text(&mut self, bytes: usize) -> Result<(), Damage> {
        let length = self.length(bytes)?;
        let text = str::from_utf8(self.take(length)?).map(str::to_owned);
        let text = text.map_err(|_| self.wrong("a text that is no UTF-8"))?;
        self.push(text.into())
    }

    fn push(&mut self, value: Value) -> Result<(), Damage> {
        self.push_item(Item { value, values: 1, depth: 0, is_open: false })
    }

    fn push_open(&mut self, value: Value) -> Result<(), Damage> {
        self.push_item(Item { value, values: 1, depth: 0, is_open: true })
    }

    fn push_item(&mut self, item: Item) -> Result<(), Damage> {
        self.values = self.values.saturating_add(item.values);
        if self.values > MOST_FOR_A_BYTE * self.bytes.len() as u64 {
            return Err(self.wrong("more values than any dump of the flight recorder has"));
        }
        self.stack.push(item);
        Ok(())
    }

    /// How much of the stack lies before the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Item, Damage> {
        match self.stack.len() > self.floor() {
            true => self.stack.pop().ok_or_else(|| self.wrong("a value is missing")),
            false => Err(self.wrong("a value is missing")),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Item>, Damage> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        let mark = mark.ok_or_else(|| self.wrong("values without a beginning"))?;
        Ok(self.stack.split_off(mark))
    }

    /// Takes the list or dictionary on the stack to put something into it.
    fn filled(&mut self, with: &[Item]) -> Result<Item, Damage> {
        let mut item = self.pop()?;
        let depth = with.iter().map(|one| one.depth + 1).max().unwrap_or(0);
        item.depth = item.depth.max(depth);
        if item.depth > DEEPEST {
            return Err(self.wrong("lists that lie too deep in one another"));
        }
        item.values = with.iter().fold(item.values, |values, one| values.saturating_add(one.values));
        item.is_open = false;
        Ok(item)
    }

    fn append(&mut self, items: Vec<Item>) -> Result<(), Damage> {
        let mut list = self.filled(&items)?;
        let Value::Array(values) = &mut list.value else {
            return Err(self.wrong("something is put into what is no list"));
        };
        values.extend(items.into_iter().map(|item| item.value));
        self.stack.push(list);
        Ok(())
    }

    fn tuple(&mut self, items: Vec<Item>) -> Result<(), Damage> {
        self.push_open(Value::Array(Vec::new()))?;
        self.append(items)
    }

    fn set(&mut self, items: Vec<Item>) -> Result<(), Damage> {
        let mut dictionary = self.filled(&items)?;
        let Value::Object(map) = &mut dictionary.value else {
            return Err(self.wrong("something is put into what is no dictionary"));
        };
        let mut items = items.into_iter();
        while let (Some(key), value) = (items.next(), items.next()) {
            let (Value::String(key), Some(value)) = (key.value, value) else {
                return Err(self.wrong("a dictionary with a key that is no text, or without a value"));
            };
            map.insert(key, value.value);
        }
        self.stack.push(dictionary);
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<(), Damage> {
        let item = self.stack.last().filter(|_| self.stack.len() > self.floor());
        let item = item.cloned().ok_or_else(|| self.wrong("a value is missing"))?;
        // It is a second copy of the same.
        self.values = self.values.saturating_add(item.values);
        self.memo.insert(key, item);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), Damage> {
        let item = self.memo.get(&key).cloned();
        let item = item.ok_or_else(|| self.wrong("a value is used again that never was"))?;
        // Python remembers a list before it is filled, PyTorch afterwards.
        if item.is_open {
            return Err(self.wrong("a list is used twice, as PyTorch writes none"));
        }
        self.push_item(item)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_texts_and_lists_are_what_python_wrote() {
        // pickle.dumps({"a": [1, 300, -2, 2**40, True, None, 1.5, (1, "x")]}, 2)
        let bytes = b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01]q\x02(K\x01M,\x01J\xfe\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x88NG?\xf8\x00\x00\x00\x00\x00\x00K\x01X\x01\x00\x00\x00xq\x03\x86q\x04es.";
        let expected = json!({"a": [1, 300, -2, 1_i64 << 40, true, null, 1.5, [1, "x"]]});
        assert_eq!(read(bytes), Ok(expected));
    }

    #[test]
    fn nothing_is_run_and_no_number_of_values_is_asked_for_in_vain() {
        let what = |bytes: &[u8]| match read(bytes) {
            Err(Damage::Pickle { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert!(what(b"\x80\x02cos\nsystem\n.").starts_with("an operation"));
        let deep = [b"\x80\x02".as_slice(), &b"]".repeat(100_000), &b"a".repeat(99_999), b"."].concat();
        assert!(what(&deep).contains("too deep"));
        // Each list has the one before twice.
        let mut doubling = b"\x80\x02]K\x01a".to_vec();
        for key in 0..40 {
            doubling.extend([b'q', key, b']', b'(', b'h', key, b'h', key, b'e']);
        }
        assert!(what(&doubling).starts_with("more values"));
        assert!(what(b"\x80\x02\x8a\xff").starts_with("a number"));
        assert!(what(b"\x80\x02X\xff\xff\xff\xff").starts_with("it is cut off"));
        assert!(what(b"\x80\x02(K\x01t0.").starts_with("an operation"));
    }
}
