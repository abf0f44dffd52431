//! The files that dumps are in: which they are, whose, and in which of the two forms.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Damage, Dump, Entry, ReadDumpsError, document, pickle};

/// No dump is larger: one of 2,000 entries has about a megabyte.
const LARGEST: u64 = 256 << 20;
/// What may come behind the number of the rank in the name of a file.
const ENDINGS: [&str; 3] = [".json", ".pickle", ".pkl"];

/// Reads dumps, each from a file, or all of a folder, in the order of their ranks. Those of one rank that are of different groups,
/// as when each backend has written its own, become one.
///
/// # Errors
/// The first that is wrong with each of them.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Dump>, Vec<ReadDumpsError>> {
    let (mut dumps, mut bad) = (Vec::new(), Vec::new());
    for path in paths {
        match files(path) {
            Ok(files) => files.iter().for_each(|file| match read_one(file) {
                Ok(dump) => dumps.push(dump),
                Err(error) => bad.push(error),
            }),
            Err(error) => bad.push(error),
        }
    }
    if !bad.is_empty() {
        return Err(bad);
    }
    merge(dumps).map_err(|error| vec![error])
}

/// The file itself, or those of a folder that are named as dumps are.
fn files(path: &Path) -> Result<Vec<PathBuf>, ReadDumpsError> {
    let failed = |source| ReadDumpsError::Io { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if rank(&file).is_some() && file.is_file() {
            files.push(file);
        }
    }
    // By name, so that it is the same every time.
    files.sort();
    if files.is_empty() {
        return Err(ReadDumpsError::NoneInFolder { path: path.to_owned() });
    }
    Ok(files)
}

/// The number at the end of the name.
fn rank(file: &Path) -> Option<u32> {
    let name = file.file_name()?.to_str()?;
    let name = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name[name.len() - digits..].parse().ok()
}

fn read_one(file: &Path) -> Result<Dump, ReadDumpsError> {
    let path = || file.to_owned();
    let rank = rank(file).ok_or_else(|| ReadDumpsError::NoRank { path: path() })?;
    let failed = |source| ReadDumpsError::Io { path: path(), source };
    let there = fs::metadata(file).map_err(failed)?;
    // A pipe would be waited for.
    if !there.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
    }
    let size = there.len();
    if size > LARGEST {
        return Err(ReadDumpsError::TooLarge { path: path(), size });
    }
    let bytes = fs::read(file).map_err(failed)?;
    let value = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => {
            serde_json::from_slice::<Value>(&bytes).map_err(|error| Damage::Json(error.to_string()))
        }
        Some(0x80) => pickle::read(&bytes),
        _ => return Err(ReadDumpsError::Unknown { path: path() }),
    };
    let value = value.map_err(|source| ReadDumpsError::Damaged { path: path(), source })?;
    document::dump(&value, rank, file)
}

/// One for each rank.
fn merge(dumps: Vec<Dump>) -> Result<Vec<Dump>, ReadDumpsError> {
    let mut merged: BTreeMap<u32, Dump> = BTreeMap::new();
    for dump in dumps {
        let Some(before) = merged.get_mut(&dump.rank) else {
            merged.insert(dump.rank, dump);
            continue;
        };
        let is_in_both = |entry: &&Entry| before.entries.iter().any(|other| other.group == entry.group);
        if let Some(entry) = dump.entries.iter().find(is_in_both) {
            return Err(ReadDumpsError::Twice {
                rank: dump.rank,
                group: entry.group.clone(),
                one: before.file.clone(),
                other: dump.file,
            });
        }
        before.entries.extend(dump.entries);
        before.members.extend(dump.members);
        before.used.extend(dump.used);
    }
    Ok(merged.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_at_the_end_of_the_name_is_the_rank() {
        let rank = |name: &str| rank(Path::new(name));
        assert_eq!(rank("/tmp/nccl_trace_rank_12"), Some(12));
        assert_eq!(rank("dump0.json"), Some(0));
        assert_eq!(rank("7"), Some(7));
        assert_eq!(rank("rank.json"), None);
        assert_eq!(rank("rank_99999999999"), None);
        assert_eq!(rank("rank_1.txt"), None);
    }
}
