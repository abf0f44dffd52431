//! What a process that was killed or stopped left in its rings.

use std::collections::HashSet;
use std::io;

use super::Process;
use super::process::{Batch, Progress};
use crate::dictionary::Dictionary;
use crate::record::{Argument, Collective, Event, State};
use crate::ring::{self, RecoveredRing, RingError, RingRecord};
use crate::segment::{DropReason, Dropped, ReadError};

/// What was found.
#[derive(Default)]
pub(super) struct Recovered {
    /// Records that are in no segment.
    pub(super) batch: Batch,
    /// Rings, or ends of rings, that could not be read.
    pub(super) errors: Vec<ReadError>,
    /// Rings that are in the memory of another machine, or went with that of this one.
    pub(super) elsewhere: u64,
}

/// Reads the rings of `process` from where `progress` says that segments end. `cut_off` is a block of which
/// some frames were written, and not the last, which says how far the rings were: its records are in the
/// rings, too, and are not given twice.
pub(super) fn recover(
    process: &Process,
    progress: &Progress,
    cut_off: &Batch,
    dictionary: &mut Dictionary,
) -> Recovered {
    let mut found = Recovered::default();
    found.batch.recovered = true;
    let known_events: HashSet<_> = cut_off.events.iter().map(event_key).collect();
    let known_states: HashSet<_> = cut_off.states.iter().map(state_key).collect();
    let known_arguments: HashSet<_> = cut_off.arguments.iter().map(argument_key).collect();
    let known_collectives: HashSet<_> = cut_off.collectives.iter().map(collective_key).collect();

    for path in &process.rings {
        ring::rescue(path);
        let mut failed = |source| found.errors.push(ReadError::Ring { path: path.clone(), source });
        let ring = match read(path, process, progress) {
            Ok(ring) => ring,
            // Listed while the process still had it. It was removed once all of it was in a segment.
            Err(RingError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            // The segment ends where it ends for all threads, as if the process had been killed earlier.
            Err(RingError::Elsewhere) => {
                found.elsewhere += 1;
                continue;
            }
            Err(error) => {
                failed(error);
                continue;
            }
        };
        if let Some(damage) = ring.damage {
            failed(damage);
        }
        let reported = progress.dropped.get(&ring.info.index).copied().unwrap_or(0);
        let count = ring.dropped.saturating_sub(reported);
        if count > 0 {
            let dropped = Dropped { ring: ring.info.index, count, reason: DropReason::RingFull };
            found.batch.dropped.push(dropped);
        }
        for record in ring.records {
            match record {
                RingRecord::Event(event) if known_events.contains(&event_key(&event)) => {}
                RingRecord::State(state) if known_states.contains(&state_key(&state)) => {}
                RingRecord::Argument(argument) if known_arguments.contains(&argument_key(&argument)) => {}
                RingRecord::Collective(collective)
                    if known_collectives.contains(&collective_key(&collective)) => {}
                RingRecord::Event(event) => found.batch.events.push(event),
                RingRecord::State(state) => found.batch.states.push(state),
                RingRecord::Argument(argument) => found.batch.arguments.push(argument),
                RingRecord::Collective(collective) => found.batch.collectives.push(collective),
                // An entry that cannot be taken names nothing that could be looked up.
                RingRecord::Dict(entry) => _ = dictionary.insert(entry),
            }
        }
    }
    found.batch = found.batch.sorted();
    found
}

fn read(path: &std::path::Path, process: &Process, progress: &Progress) -> Result<RecoveredRing, RingError> {
    let ring = ring::recover(path, |info| progress.positions.get(&info.index).copied().unwrap_or(0))?;
    if ring.info.pid != process.pid {
        return Err(RingError::NotARing("it is that of another process"));
    }
    Ok(ring)
}

/// What tells events apart: no two of one thread have all this in common.
fn event_key(event: &Event) -> (u64, u64, u16, u8, u32) {
    (event.time, event.call, event.thread, event.kind, event.name)
}

fn state_key(state: &State) -> (u64, u64, u16, u8, u32) {
    (state.time, state.call, state.thread, state.attribute, state.variable)
}

fn argument_key(argument: &Argument) -> (u64, u64, u16, u8, u8, u32) {
    (argument.time, argument.call, argument.thread, argument.direction, argument.value_kind, argument.name)
}

fn collective_key(collective: &Collective) -> (u64, u64, u16, u8) {
    (collective.time, collective.number, collective.thread, collective.event)
}
