//! What the process did together with others, counted.

use std::collections::BTreeMap;

use serde::Serialize;
use traincheck_schema::dictionary::Dictionary;
use traincheck_schema::record::{
    Collective, CollectiveEvent, CollectiveKind, DictEntry, DictKind, NO_ELEMENT_TYPE, ReduceKind,
    element_type_name,
};

use super::tally::Spread;

/// A group of processes that this one belongs to.
#[derive(Debug, Serialize)]
pub struct Group {
    /// The name that `torch.distributed` gives it, equal in all of its processes.
    pub name: String,
    /// What whoever made it says that it is for, as `mesh_tp` for the dimension of a device mesh; empty: nothing.
    pub description: String,
    /// `gloo`, ...
    pub backend: String,
    /// Rank of this process in it.
    pub rank: u32,
    /// How many processes it has; 0: not known.
    pub size: u32,
}

/// The collectives of one group that are of one kind.
#[derive(Debug, Serialize)]
pub struct Collectives {
    /// The group.
    pub group: String,
    /// `all_reduce`, ...
    pub kind: String,
    /// `sum`, ...; empty: they do not reduce.
    pub reduce: String,
    /// `float32`, ...; empty: they have no tensors, or not known.
    pub element_type: String,
    /// How many.
    pub count: u64,
    /// How many of them have ended well.
    pub completed: u64,
    /// How many have failed.
    pub failed: u64,
    /// How many were waited for by their handles.
    pub waited: u64,
    /// Elements that this process put in, all together, or got where it put in none.
    pub elements: u64,
    /// From the issue of one to its end; none where none has an end.
    pub time_ns: Option<Spread>,
}

/// What PyTorch writes where nobody has described a group.
fn says_nothing(description: &str) -> bool {
    matches!(description, "undefined" | "default_pg")
}

/// What makes collectives of one kind. In the order in which they are listed.
type Key = (u32, u8, u8, u8);

#[derive(Default)]
struct Count {
    count: u64,
    failed: u64,
    waited: u64,
    elements: u64,
    /// Of those that have ended well.
    times: Vec<u64>,
}

/// A collective of which more may be said.
struct Open {
    key: Key,
    issued: u64,
    /// Of several ends the last counts.
    ended: Option<u64>,
    waited: bool,
}

/// So many are waited for more to be said of.
const MOST_OPEN: usize = 4096;

/// Counts records of collectives.
#[derive(Default)]
pub struct Together {
    records: u64,
    by_kind: BTreeMap<Key, Count>,
    /// By number.
    open: BTreeMap<u64, Open>,
}

impl Together {
    /// Takes one in.
    pub fn add(&mut self, record: &Collective) {
        self.records += 1;
        let key = (record.group, record.op, record.reduce, record.element_type);
        let count = self.by_kind.entry(key).or_default();
        let open = self.open.get_mut(&record.number);
        match CollectiveEvent::try_from(record.event) {
            Ok(CollectiveEvent::Issued) => {
                count.count += 1;
                let elements = match record.elements_in {
                    0 => record.elements_out,
                    elements => elements,
                };
                count.elements = count.elements.saturating_add(elements);
                let open = Open { key, issued: record.time, ended: None, waited: false };
                self.open.insert(record.number, open);
                if self.open.len() > MOST_OPEN {
                    self.close_first();
                }
            }
            Ok(CollectiveEvent::Completed) => _ = open.map(|open| open.ended = Some(record.time)),
            Ok(CollectiveEvent::Failed) => count.failed += 1,
            Ok(CollectiveEvent::Waited) => _ = open.map(|open| open.waited = true),
            Ok(CollectiveEvent::FutureTaken) | Err(_) => {}
        }
    }

    /// Counts the one that was issued first. Whether there was one.
    fn close_first(&mut self) -> bool {
        let Some((_, open)) = self.open.pop_first() else { return false };
        let count = self.by_kind.entry(open.key).or_default();
        count.waited += u64::from(open.waited);
        count.times.extend(open.ended.map(|ended| ended.saturating_sub(open.issued)));
        true
    }

    /// How many records there were.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The groups, in the order in which they were made.
    pub fn groups(dictionary: &Dictionary) -> Vec<Group> {
        let is_group = |entry: &&DictEntry| entry.kind == DictKind::ProcessGroup as u8;
        let mut groups: Vec<_> = dictionary.iter().filter(is_group).collect();
        groups.sort_by_key(|entry| entry.id);
        groups
            .into_iter()
            .map(|entry| Group {
                name: entry.text.clone(),
                description: Some(&entry.file)
                    .filter(|text| !says_nothing(text))
                    .cloned()
                    .unwrap_or_default(),
                backend: entry.type_name.clone(),
                rank: entry.owner,
                size: entry.line,
            })
            .collect()
    }

    /// The collectives by group and kind.
    pub fn collectives(&mut self, dictionary: &Dictionary) -> Vec<Collectives> {
        while self.close_first() {}
        let row = |(&(group, op, reduce, element_type), count): (&Key, &Count)| Collectives {
            group: dictionary.text(group).to_owned(),
            kind: CollectiveKind::try_from(op).unwrap_or_default().word().to_owned(),
            reduce: match ReduceKind::try_from(reduce) {
                Ok(ReduceKind::None) => String::new(),
                Ok(reduce) => reduce.word().to_owned(),
                Err(_) => ReduceKind::Unknown.word().to_owned(),
            },
            element_type: match element_type {
                NO_ELEMENT_TYPE => String::new(),
                known => element_type_name(known).map_or_else(|| format!("type {known}"), str::to_owned),
            },
            count: count.count,
            completed: count.times.len() as u64,
            failed: count.failed,
            waited: count.waited,
            elements: count.elements,
            time_ns: Spread::of(count.times.clone()),
        };
        self.by_kind.iter().map(row).collect()
    }
}
