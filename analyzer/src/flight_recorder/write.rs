//! Writes dumps as PyTorch does: as JSON, and as the pickle that its own analysis reads (`torch.distributed.flight_recorder`).

use serde_json::{Map, Value, json};

use super::{Dump, Entry, Frame, Tensors};

/// The oldest protocol of pickles that has all that is needed; it is PyTorch's, too.
const PROTOCOL: [u8; 2] = [0x80, 2];

/// As JSON.
pub fn json(dump: &Dump) -> Vec<u8> {
    value(dump).to_string().into_bytes()
}

/// As a pickle.
pub fn pickle(dump: &Dump) -> Vec<u8> {
    let mut bytes = PROTOCOL.to_vec();
    put(&value(dump), &mut bytes);
    bytes.push(b'.');
    bytes
}

fn value(dump: &Dump) -> Value {
    let description = |name: &str| {
        let of_it = dump.entries.iter().find(|entry| entry.group == name);
        of_it.map_or("undefined", |entry| entry.description.as_str()).to_owned()
    };
    let group = |(name, ranks): (&String, &Vec<u32>)| {
        let ranks: Vec<String> = ranks.iter().map(u32::to_string).collect();
        let ranks = format!("[{}]", ranks.join(", "));
        (name.clone(), json!({"name": name, "desc": description(name), "ranks": ranks}))
    };
    let config: Map<String, Value> = dump.members.iter().map(group).collect();
    let entries: Vec<Value> = dump.entries.iter().map(entry).collect();
    json!({
        "version": dump.version,
        "comm_lib_version": "",
        "pg_config": config,
        "pg_status": {},
        "entries": entries,
    })
}

fn entry(entry: &Entry) -> Value {
    let [put_in, got_out] = &entry.tensors;
    let frame =
        |Frame { function, file, line }: &Frame| json!({"name": function, "filename": file, "line": line});
    json!({
        "record_id": entry.record,
        "pg_id": entry.group_number.unwrap_or(0),
        "process_group": [entry.group, entry.description],
        "collective_seq_id": if entry.is_message { 0 } else { entry.sequence },
        "p2p_seq_id": if entry.is_message { entry.sequence } else { 0 },
        "op_id": entry.record,
        "profiling_name": name(entry),
        "time_created_ns": entry.created_ns,
        "input_sizes": sizes(put_in),
        "input_dtypes": types(put_in),
        "output_sizes": sizes(got_out),
        "output_dtypes": types(got_out),
        "state": entry.state.word(),
        "time_discovered_started_ns": null,
        "time_discovered_completed_ns": null,
        "retired": entry.has_ended,
        "timeout_ms": 0,
        "is_p2p": entry.is_message,
        "frames": entry.frames.iter().map(frame).collect::<Vec<_>>(),
    })
}

/// `gloo:send 0->1`.
fn name(entry: &Entry) -> String {
    let rank = |rank: Option<u32>| rank.map_or_else(|| "?".to_owned(), |rank| rank.to_string());
    let [from, to] = entry.between;
    let between = match entry.operation.as_str() {
        "send" => format!(" {}->{}", rank(from), rank(to)),
        "recv" => format!(" {}<-{}", rank(to), rank(from)),
        _ => String::new(),
    };
    format!("{}:{}{between}", entry.backend, entry.operation)
}

/// Of all tensors the elements, as of one: what shape they have is not known.
fn sizes(tensors: &Tensors) -> Value {
    if tensors.count > 0 { json!([[tensors.elements]]) } else { json!([]) }
}

fn types(tensors: &Tensors) -> Value {
    tensors.element_type.iter().map(String::as_str).collect()
}

/// The operations that build a value.
fn put(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(b'N'),
        Value::Bool(is) => bytes.push(if *is { 0x88 } else { 0x89 }),
        Value::Number(number) => match number.as_i64() {
            Some(number) => {
                bytes.extend([0x8a, 8]);
                bytes.extend(number.to_le_bytes());
            }
            // Beyond what has a sign there are only numbers without one and fractions.
            None => {
                bytes.push(b'G');
                bytes.extend(number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
            }
        },
        Value::String(text) => {
            bytes.push(b'X');
            bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        Value::Array(values) => {
            bytes.extend(b"](");
            values.iter().for_each(|value| put(value, bytes));
            bytes.push(b'e');
        }
        Value::Object(map) => {
            bytes.extend(b"}(");
            for (key, value) in map {
                put(&Value::String(key.clone()), bytes);
                put(value, bytes);
            }
            bytes.push(b'u');
        }
    }
}
