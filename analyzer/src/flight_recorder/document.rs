//! What the values of a dump say.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Damage, Dump, Entry, Frame, ReadDumpsError, State, Tensors};

/// The major version of the format that is read.
const VERSION: &str = "2";

/// A dictionary, and of what it is a part.
struct Part<'a> {
    of: String,
    map: &'a Map<String, Value>,
}

/// Reads the dump of a rank.
///
/// # Errors
/// If it is not what the flight recorder writes, or is of a version that is not known.
pub(super) fn dump(value: &Value, rank: u32, file: &Path) -> Result<Dump, ReadDumpsError> {
    let damaged = |source| ReadDumpsError::Damaged { path: file.to_owned(), source };
    let of = "the dump".to_owned();
    let Value::Object(map) = value else {
        return Err(damaged(Damage::Field { of, name: "version", expected: "a text" }));
    };
    let whole = Part { of, map };
    let version = whole.text("version").map_err(damaged)?.to_owned();
    if version.split('.').next() != Some(VERSION) {
        return Err(ReadDumpsError::Version { path: file.to_owned(), version });
    }
    // A dump of a process that has entered nothing has none.
    let listed = match map.get("entries") {
        None => &[][..],
        Some(_) => whole.list("entries").map_err(damaged)?,
    };
    let mut entries: Vec<Entry> = Vec::new();
    for (at, value) in listed.iter().enumerate() {
        entries.push(entry(value, at).map_err(damaged)?);
    }
    entries.sort_by_key(|entry| entry.record);
    Ok(Dump { rank, file: file.to_owned(), version, entries, members: members(map), used: used(map) })
}

fn entry(value: &Value, at: usize) -> Result<Entry, Damage> {
    let of = format!("entry {at}");
    let Value::Object(map) = value else {
        return Err(Damage::Field { of, name: "record_id", expected: "a whole number" });
    };
    let part = Part { of, map };
    let [group, description] = part.list("process_group")? else {
        return Err(part.wrong("process_group", "a name and a description"));
    };
    let (Some(group), Some(description)) = (group.as_str(), description.as_str()) else {
        return Err(part.wrong("process_group", "a name and a description"));
    };
    let name = part.text("profiling_name")?;
    let (backend, operation) = name.rsplit_once(':').unwrap_or(("", name));
    let (operation, between) = operation.trim().split_once(' ').unwrap_or((operation.trim(), ""));
    let is_message = map.get("is_p2p") == Some(&Value::Bool(true)) || matches!(operation, "send" | "recv");
    let sequence = part.number(if is_message { "p2p_seq_id" } else { "collective_seq_id" })?;
    let state = match part.text("state")? {
        "scheduled" => State::Scheduled,
        "started" => State::Started,
        "completed" => State::Completed,
        _ => return Err(part.wrong("state", "scheduled, started or completed")),
    };
    Ok(Entry {
        record: part.number("record_id")?,
        group_number: map.get("pg_id").and_then(Value::as_u64),
        group: group.to_owned(),
        description: description.to_owned(),
        backend: backend.to_owned(),
        operation: operation.to_owned(),
        between: ends(between),
        sequence,
        is_message,
        created_ns: map.get("time_created_ns").and_then(Value::as_u64).unwrap_or(0),
        tensors: [
            tensors(&part, "input_sizes", "input_dtypes")?,
            tensors(&part, "output_sizes", "output_dtypes")?,
        ],
        state,
        has_ended: state == State::Completed || map.get("retired") == Some(&Value::Bool(true)),
        frames: frames(map),
    })
}

/// Of `1->2` and `2<-1` the sender and the receiver. A receiver that takes a message of any sender has `?`.
fn ends(between: &str) -> [Option<u32>; 2] {
    match (between.split_once("->"), between.split_once("<-")) {
        (Some((from, to)), _) | (_, Some((to, from))) => [from.parse().ok(), to.parse().ok()],
        (None, None) => [None, None],
    }
}

fn tensors(part: &Part<'_>, sizes: &'static str, types: &'static str) -> Result<Tensors, Damage> {
    let wrong = || part.wrong(sizes, "lists of sizes");
    let sizes = part.list(sizes)?;
    let mut elements = 0_u64;
    for shape in sizes {
        let shape = shape.as_array().ok_or_else(wrong)?;
        let product = shape.iter().try_fold(1_u64, |product, size| product.checked_mul(size.as_u64()?));
        elements = product.and_then(|product| elements.checked_add(product)).ok_or_else(wrong)?;
    }
    // Versions before 2.4 of the format have no types.
    let first = part.map.get(types).and_then(Value::as_array).and_then(|types| types.first());
    let element_type = first.and_then(Value::as_str).map(str::to_owned);
    Ok(Tensors { count: u32::try_from(sizes.len()).unwrap_or(u32::MAX), elements, element_type })
}

/// The lines that entered it, as far as they are there: they explain, and nothing depends on them.
fn frames(map: &Map<String, Value>) -> Vec<Frame> {
    let frames = map.get("frames").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let frame = |frame: &Value| {
        Some(Frame {
            function: frame.get("name")?.as_str()?.to_owned(),
            file: frame.get("filename")?.as_str()?.to_owned(),
            line: u32::try_from(frame.get("line")?.as_u64()?).ok()?,
        })
    };
    frames.iter().filter_map(frame).collect()
}

/// The ranks of groups. Backends that do not tell, as gloo, leave the name empty.
fn members(map: &Map<String, Value>) -> BTreeMap<String, Vec<u32>> {
    let configured = map.get("pg_config").and_then(Value::as_object).into_iter().flatten();
    let ranks = |(name, group): (&String, &Value)| {
        let ranks: Vec<u32> = serde_json::from_str(group.get("ranks")?.as_str()?).ok()?;
        (!name.is_empty() && !ranks.is_empty()).then(|| (name.clone(), ranks))
    };
    configured.filter_map(ranks).collect()
}

/// The numbers of the groups in which something was entered. JSON has numbers there as texts.
fn used(map: &Map<String, Value>) -> Vec<u64> {
    let all = map.get("pg_status").and_then(Value::as_object).into_iter().flatten();
    let is_used = |status: &Value| {
        let last = status.get("last_enqueued_collective");
        let last = last.and_then(|last| last.as_i64().or_else(|| last.as_str()?.parse().ok()));
        last.is_some_and(|last| last > 0)
    };
    all.filter(|(_, status)| is_used(status)).filter_map(|(number, _)| number.parse().ok()).collect()
}

impl<'a> Part<'a> {
    fn wrong(&self, name: &'static str, expected: &'static str) -> Damage {
        Damage::Field { of: self.of.clone(), name, expected }
    }

    fn text(&self, name: &'static str) -> Result<&'a str, Damage> {
        self.map.get(name).and_then(Value::as_str).ok_or_else(|| self.wrong(name, "a text"))
    }

    fn number(&self, name: &'static str) -> Result<u64, Damage> {
        self.map.get(name).and_then(Value::as_u64).ok_or_else(|| self.wrong(name, "a whole number from 0 on"))
    }

    fn list(&self, name: &'static str) -> Result<&'a [Value], Damage> {
        let list = self.map.get(name).and_then(Value::as_array);
        list.map(Vec::as_slice).ok_or_else(|| self.wrong(name, "a list"))
    }
}
