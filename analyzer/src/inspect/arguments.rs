//! What calls were given and gave back, as text.

use std::collections::HashMap;

use serde::Serialize;
use traincheck_schema::dictionary::Dictionary;
use traincheck_schema::record::{Argument, ArgumentKind, Direction, tensor};

/// One value that a call was given or gave back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Value {
    /// The parameter, or `result`, or `exception`, and the place in it: `batch['x'][0]`.
    pub name: String,
    /// As text.
    pub value: String,
}

/// What was recorded of the last call of each function that has something.
#[derive(Default)]
pub struct LastCalls {
    by_function: HashMap<u32, Last>,
    count: u64,
}

/// Records of one call.
#[derive(Default)]
struct Last {
    call: u64,
    records: Vec<Argument>,
}

impl LastCalls {
    /// Takes one in.
    pub fn add(&mut self, argument: &Argument) {
        self.count += 1;
        let last = self.by_function.entry(argument.function).or_default();
        let begins = argument.direction == Direction::Argument as u8;
        // Of calls in calls the outer one ends last: what it gives back is not mixed with what the inner one was given.
        // Nor does a call of which only the result was looked at take the place of one with more.
        let says_more = || last.records.iter().any(|record| record.direction == Direction::Argument as u8);
        let is_new = || argument.call > last.call && !says_more();
        if last.call != argument.call && (begins || last.records.is_empty() || is_new()) {
            *last = Last { call: argument.call, records: Vec::new() };
        }
        if last.call == argument.call {
            last.records.push(*argument);
        }
    }

    /// How many records there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What the last call of `function` was given, and what it gave back or was left by.
    pub fn of(&self, function: u32, dictionary: &Dictionary) -> (Vec<Value>, Vec<Value>) {
        let records = self.by_function.get(&function).map_or(&[][..], |last| &last.records);
        let shown = |given: bool| {
            records
                .iter()
                .filter(|record| (record.direction == Direction::Argument as u8) == given)
                .map(|record| Value {
                    name: dictionary.text(record.name).to_owned(),
                    value: show(record, dictionary),
                })
                .collect()
        };
        (shown(true), shown(false))
    }
}

/// A value as text.
pub fn show(argument: &Argument, dictionary: &Dictionary) -> String {
    let text = dictionary.text(argument.text);
    match ArgumentKind::try_from(argument.value_kind) {
        Ok(ArgumentKind::None) => "None".to_owned(),
        Ok(ArgumentKind::Bool) => if argument.value == 0 { "False" } else { "True" }.to_owned(),
        Ok(ArgumentKind::Int) => (argument.value as i64).to_string(),
        Ok(ArgumentKind::Float) => format!("{:?}", f64::from_bits(argument.value)),
        Ok(ArgumentKind::Text) => {
            let cut = (text.chars().count() as u64) < argument.value;
            format!("{text:?}{}", if cut { "..." } else { "" })
        }
        Ok(ArgumentKind::Tensor) => {
            let mut shown = format!("tensor {text}");
            let bit = |bit: u16| argument.flags & bit != 0;
            for (is, word) in [
                (bit(tensor::REQUIRES_GRAD), " requires_grad"),
                (bit(tensor::REQUIRES_GRAD) && bit(tensor::LEAF), " leaf"),
                (bit(tensor::NON_CONTIGUOUS), " not contiguous"),
            ] {
                shown += if is { word } else { "" };
            }
            if bit(tensor::LARGEST_KNOWN) {
                shown += &format!(" up to {:?}", argument.largest);
                shown += if bit(tensor::NOT_FINITE) { " and not finite" } else { "" };
            }
            shown
        }
        Ok(ArgumentKind::Object) => match dictionary.text(argument.object) {
            "" => text.to_owned(),
            object => format!("{object} ({text})"),
        },
        Ok(ArgumentKind::Container) => format!("{text} of {}", argument.value),
        Ok(ArgumentKind::Truncated) => format!("and {} more", argument.value),
        Ok(ArgumentKind::Redacted) => "<redacted>".to_owned(),
        Ok(ArgumentKind::BigInt) => if argument.value == 0 {
            "an integer beyond 64 bits"
        } else {
            "a negative integer beyond 64 bits"
        }
        .to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}
