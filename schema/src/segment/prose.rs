//! The frames that are not columns: process header, dictionary, footer.

use super::column::{PayloadError, at_most};
use super::types::{Ending, ProcessHeader};
use crate::dictionary::MAX_DICTIONARY_ID;
use crate::record::DictEntry;
use crate::ring::cut;
use crate::trace_capnp::{dictionary, footer, process_header};

/// Longer texts are cut when they are written, in bytes.
pub const MAX_TEXT: usize = crate::ring::MAX_TEXT;
/// So many frames at most are listed in a footer.
pub const MAX_INDEXED_FRAMES: usize = 65_536;
/// So many costs at most are written.
const MAX_COSTS: usize = 1024;
/// So many entries at most are in one frame.
pub(super) const MAX_ENTRIES: usize = 16_384;

/// One frame in the index of a footer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameEntry {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Number of its [`FrameKind`](super::FrameKind).
    pub kind: u8,
    /// Events, states, arguments, collectives or entries in it.
    pub rows: u32,
    /// Least time in it, nanoseconds; 0 where it has none.
    pub first_time: u64,
    /// Greatest time in it, nanoseconds.
    pub last_time: u64,
    /// Least iteration in it.
    pub first_iteration: u32,
    /// Greatest iteration in it.
    pub last_iteration: u32,
}

/// How much a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events.
    pub events: u64,
    /// States.
    pub states: u64,
    /// Arguments and results.
    pub arguments: u64,
    /// What became of collectives.
    pub collectives: u64,
    /// Dictionary entries.
    pub entries: u64,
    /// Records that were dropped.
    pub dropped: u64,
    /// Frames before the footer.
    pub frames: u64,
}

/// The last frame of a sealed segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footer {
    /// How and why it was closed.
    pub ending: Ending,
    /// The frames before, in order; at most [`MAX_INDEXED_FRAMES`].
    pub frames: Vec<FrameEntry>,
    /// What they hold together.
    pub totals: Totals,
}

fn text(reader: capnp::Result<capnp::text::Reader<'_>>) -> Result<String, PayloadError> {
    let text = reader?.to_str()?;
    if text.len() > MAX_TEXT { Err(PayloadError::TextTooLong) } else { Ok(text.to_owned()) }
}

pub(super) fn put_process_header(mut to: process_header::Builder<'_>, header: &ProcessHeader) {
    to.set_host(cut(&header.host));
    to.set_pid(header.pid);
    to.set_parent_pid(header.parent_pid);
    to.set_segment_index(header.segment_index);
    to.set_monotonic_ns(header.monotonic_ns);
    to.set_wall_ns(header.wall_ns);
    to.set_agent_version(cut(&header.agent_version));
    to.set_python_version(cut(&header.python_version));
    to.set_torch_version(cut(&header.torch_version));
    to.set_profile(cut(&header.profile));
    to.set_executable(cut(&header.executable));
    to.set_script(cut(&header.script));
    to.set_rank(header.rank.map_or(-1, i64::from));
    to.set_world_size(header.world_size.map_or(-1, i64::from));
    to.set_launcher(cut(&header.launcher));
    to.set_local_rank(header.local_rank.map_or(-1, i64::from));
    to.set_node(header.node.map_or(-1, i64::from));
    to.set_attempt(header.attempt.map_or(-1, i64::from));
    to.set_job(cut(&header.job));
}

pub(super) fn read_process_header(from: process_header::Reader<'_>) -> Result<ProcessHeader, PayloadError> {
    Ok(ProcessHeader {
        host: text(from.get_host())?,
        pid: from.get_pid(),
        parent_pid: from.get_parent_pid(),
        segment_index: from.get_segment_index(),
        monotonic_ns: from.get_monotonic_ns(),
        wall_ns: from.get_wall_ns(),
        agent_version: text(from.get_agent_version())?,
        python_version: text(from.get_python_version())?,
        torch_version: text(from.get_torch_version())?,
        profile: text(from.get_profile())?,
        executable: text(from.get_executable())?,
        script: text(from.get_script())?,
        rank: u32::try_from(from.get_rank()).ok(),
        world_size: u32::try_from(from.get_world_size()).ok(),
        launcher: text(from.get_launcher())?,
        local_rank: u32::try_from(from.get_local_rank()).ok(),
        node: u32::try_from(from.get_node()).ok(),
        attempt: u32::try_from(from.get_attempt()).ok(),
        job: text(from.get_job())?,
    })
}

pub(super) fn put_dictionary(to: dictionary::Builder<'_>, entries: &[DictEntry]) {
    let mut list = to.init_entries(entries.len() as u32);
    for (i, entry) in (0..).zip(entries) {
        let mut one = list.reborrow().get(i);
        one.set_id(entry.id);
        one.set_kind(entry.kind);
        one.set_detail(entry.detail);
        one.set_line(entry.line);
        one.set_owner(entry.owner);
        one.set_text(cut(&entry.text));
        one.set_file(cut(&entry.file));
        one.set_type_name(cut(&entry.type_name));
    }
}

pub(super) fn read_dictionary(from: dictionary::Reader<'_>) -> Result<Vec<DictEntry>, PayloadError> {
    let entry = |one: dictionary::entry::Reader<'_>| {
        if one.get_id() == 0 || one.get_id() > MAX_DICTIONARY_ID {
            return Err(PayloadError::DictionaryId);
        }
        Ok(DictEntry {
            id: one.get_id(),
            kind: one.get_kind(),
            detail: one.get_detail(),
            line: one.get_line(),
            owner: one.get_owner(),
            text: text(one.get_text())?,
            file: text(one.get_file())?,
            type_name: text(one.get_type_name())?,
        })
    };
    let entries = from.get_entries()?;
    at_most(entries.len(), MAX_ENTRIES)?;
    entries.iter().map(entry).collect()
}

pub(super) fn put_footer(mut to: footer::Builder<'_>, footer: &Footer) {
    to.set_reason(cut(&footer.ending.reason));
    to.set_monotonic_ns(footer.ending.monotonic_ns);
    let account = &footer.ending.account[..footer.ending.account.len().min(MAX_COSTS)];
    let mut list = to.reborrow().init_account(account.len() as u32);
    for (i, (name, value)) in (0..).zip(account) {
        let mut one = list.reborrow().get(i);
        one.set_name(cut(name));
        one.set_value(*value);
    }
    let mut list = to.reborrow().init_frames(footer.frames.len() as u32);
    for (i, frame) in (0..).zip(&footer.frames) {
        let mut one = list.reborrow().get(i);
        one.set_offset(frame.offset);
        one.set_kind(frame.kind);
        one.set_rows(frame.rows);
        one.set_first_time(frame.first_time);
        one.set_last_time(frame.last_time);
        one.set_first_iteration(frame.first_iteration);
        one.set_last_iteration(frame.last_iteration);
    }
    to.set_events(footer.totals.events);
    to.set_states(footer.totals.states);
    to.set_entries(footer.totals.entries);
    to.set_dropped(footer.totals.dropped);
    to.set_frame_count(footer.totals.frames);
    to.set_arguments(footer.totals.arguments);
    to.set_collectives(footer.totals.collectives);
}

pub(super) fn read_footer(from: footer::Reader<'_>) -> Result<Footer, PayloadError> {
    let (account, frames) = (from.get_account()?, from.get_frames()?);
    at_most(account.len(), MAX_COSTS)?;
    at_most(frames.len(), MAX_INDEXED_FRAMES)?;
    let account = account.iter().map(|one| Ok((text(one.get_name())?, one.get_value())));
    let frames = frames.iter().map(|one| FrameEntry {
        offset: one.get_offset(),
        kind: one.get_kind(),
        rows: one.get_rows(),
        first_time: one.get_first_time(),
        last_time: one.get_last_time(),
        first_iteration: one.get_first_iteration(),
        last_iteration: one.get_last_iteration(),
    });
    let ending = Ending {
        reason: text(from.get_reason())?,
        monotonic_ns: from.get_monotonic_ns(),
        account: account.collect::<Result<_, PayloadError>>()?,
    };
    let totals = Totals {
        events: from.get_events(),
        states: from.get_states(),
        arguments: from.get_arguments(),
        collectives: from.get_collectives(),
        entries: from.get_entries(),
        dropped: from.get_dropped(),
        frames: from.get_frame_count(),
    };
    Ok(Footer { ending, frames: frames.collect(), totals })
}
