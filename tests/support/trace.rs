//! A run in memory: tests are short, so are their traces.

use std::path::Path;

use traincheck_schema::dictionary::Dictionary;
use traincheck_schema::record::{
    Argument, Attribute, Collective, DictEntry, DictKind, Event, EventKind, Role, State, VariableKind,
};
use traincheck_schema::run::{Run, Torn};
use traincheck_schema::segment::{Dropped, Ending, ProcessHeader};

/// All that one process recorded.
#[derive(Debug)]
pub struct ProcessTrace {
    /// Who it was.
    pub header: ProcessHeader,
    /// Its names.
    pub dictionary: Dictionary,
    /// Its events, block by block in the order of time.
    pub events: Vec<Event>,
    /// Its states, likewise.
    pub states: Vec<State>,
    /// What calls were given and gave back, likewise.
    pub arguments: Vec<Argument>,
    /// What became of collectives, likewise.
    pub collectives: Vec<Collective>,
    /// What was lost.
    pub dropped: Vec<Dropped>,
    /// How it ended, if its trace was sealed.
    pub ending: Option<Ending>,
    /// What is known of its end, if not.
    pub torn: Option<Torn>,
}

/// A run, read as a whole.
#[derive(Debug)]
pub struct Trace {
    /// Its processes.
    pub processes: Vec<ProcessTrace>,
}

impl Trace {
    /// Reads the run in `folder`.
    ///
    /// # Panics
    /// If it is none, or if any part of it is damaged.
    #[track_caller]
    pub fn read(folder: &Path) -> Trace {
        let run = Run::open(folder).unwrap_or_else(|error| panic!("no run: {error}"));
        let processes = run
            .processes
            .iter()
            .map(|process| {
                let mut reader = process.reader();
                let (mut events, mut states, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
                let (mut arguments, mut collectives) = (Vec::new(), Vec::new());
                while let Some(batch) = reader.next_batch() {
                    let batch = batch.unwrap_or_else(|error| panic!("a damaged trace: {error}"));
                    events.extend(batch.events);
                    states.extend(batch.states);
                    arguments.extend(batch.arguments);
                    collectives.extend(batch.collectives);
                    dropped.extend(batch.dropped);
                }
                ProcessTrace {
                    header: reader.header().cloned().expect("a header"),
                    dictionary: reader.dictionary().clone(),
                    events,
                    states,
                    arguments,
                    collectives,
                    dropped,
                    ending: reader.ending().cloned(),
                    torn: reader.torn().cloned(),
                }
            })
            .collect();
        Trace { processes }
    }

    /// The process, where there is exactly one.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[track_caller]
    pub fn only(mut self) -> ProcessTrace {
        assert_eq!(self.processes.len(), 1, "processes: {:?}", self.pids());
        self.processes.remove(0)
    }

    fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.header.pid).collect()
    }
}

impl ProcessTrace {
    /// Fails unless nothing was lost and the agent closed the trace.
    #[track_caller]
    pub fn assert_whole(&self) {
        assert!(self.dropped.is_empty(), "lost: {:?}", self.dropped);
        assert!(self.ending.is_some(), "not sealed: {:?}", self.torn);
    }

    /// The events of one kind.
    pub fn of_kind(&self, kind: EventKind) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.kind == kind as u8)
    }

    /// Entries into functions with this role.
    pub fn entered(&self, role: Role) -> impl Iterator<Item = &Event> {
        self.of_kind(EventKind::Enter).filter(move |event| self.role(event.name) == Some(role))
    }

    /// The role of a function.
    pub fn role(&self, function: u32) -> Option<Role> {
        self.dictionary.get(function).and_then(|entry| Role::try_from(entry.detail).ok())
    }

    /// The name of `id`.
    pub fn name(&self, id: u32) -> &str {
        self.dictionary.text(id)
    }

    /// What was found of the variable with this name, in the order of time; of one attribute.
    pub fn states_of(&self, name: &str, attribute: Attribute) -> Vec<&State> {
        self.states
            .iter()
            .filter(|state| state.attribute == attribute as u8 && self.name(state.variable) == name)
            .collect()
    }

    /// The names of the variables of a kind, in the order in which they were found.
    pub fn variables(&self, kind: VariableKind) -> Vec<&str> {
        let mut names = Vec::new();
        for state in &self.states {
            let Some(entry) = self.dictionary.get(state.variable) else { continue };
            if entry.detail == kind as u16 && !names.contains(&entry.text.as_str()) {
                names.push(entry.text.as_str());
            }
        }
        names
    }

    /// The groups of processes that it belongs to, in the order in which they were made.
    pub fn groups(&self) -> Vec<&DictEntry> {
        self.dictionary.iter().filter(|entry| entry.kind == DictKind::ProcessGroup as u8).collect()
    }

    /// Whether a function of this name was entered.
    pub fn called(&self, name: &str) -> bool {
        self.of_kind(EventKind::Enter).any(|event| self.name(event.name) == name)
    }

    /// How many iterations began.
    pub fn iterations(&self) -> u32 {
        self.events.iter().map(|event| event.iteration).max().unwrap_or(0)
    }

    /// In how many an optimizer stepped.
    pub fn steps(&self) -> u32 {
        self.events.iter().map(|event| event.step).max().unwrap_or(0)
    }
}
