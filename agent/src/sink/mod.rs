//! Where records go: from the threads of the job through rings into the run folder.
//!
//! Until [`start`] nothing touches the disk: definitions and records wait in memory. From then on every thread
//! pushes its records into a ring of its own, in shared memory that outlives the process, and the writer carries
//! them into the segment. Nothing here may harm the job. What fails stops the capture for good, in silence; the
//! job goes on.
//!
//! After `fork` the child is inert: nothing is recorded in it, and it leaves the files of its parent alone. No
//! lock is held across `fork`, because in the child no lock is ever taken.

mod absence;
mod account;
mod command;
pub mod cost;
mod early;
mod folder;
mod hand_over;
mod job;
mod merge;
mod names;
mod own_ring;
mod phase;
mod place;
mod quiet;
pub mod report;
pub mod reserve;
pub mod secrets;
mod threads;
mod writer;

pub use crate::base::clock::now;
use crate::base::fork;
use command::Command;
pub use command::REDACTED;
use early::Early;
pub use job::{StartInfo, describe, described};
use own_ring::OwnRing;
use phase::{PHASE, RECORDING, WAITING, stop};
pub use phase::{goes_on_unrecorded, is_inert, is_started};
use place::{Place, is_ours};
use quiet::quietly;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use threads::NO_THREAD;
use traincheck_schema::record::{Argument, Collective, DictEntry, DictKind, Event, EventKind, State};
use traincheck_schema::ring::RingInfo;
use traincheck_schema::run::{RunInfo, host};
use traincheck_schema::segment::{Ending, FormatVersion, ProcessHeader, SegmentWriter, WriteError};
use traincheck_settings::Placement;
use writer::Writer;

static LAST_CALL: AtomicU64 = AtomicU64::new(0);
static STARTING: Mutex<()> = Mutex::new(());
/// The length of the ring of the dictionary, in bytes.
const NAMES_RING_SIZE: usize = 4 << 20;
/// Why a run could not be started.
#[derive(Debug)]
enum StartError {
    Folder(PathBuf, io::Error),
    Info(io::Error),
    Ring(io::Error),
    Segment(WriteError),
    Thread(io::Error),
    TooLate,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Folder(path, error) => {
                write!(f, "cannot make the run folder {}: {error}", path.display())
            }
            StartError::Info(error) => write!(f, "cannot write run.json: {error}"),
            StartError::Ring(error) => write!(f, "cannot make the ring of the dictionary: {error}"),
            StartError::Segment(error) => error.fmt(f),
            StartError::Thread(error) => write!(f, "no thread for the writer: {error}"),
            StartError::TooLate => f.write_str("the process was ending when the run was to start"),
        }
    }
}

/// What has to be done before other threads exist. Part of the boot of the agent.
pub fn boot() {
    phase::boot();
    threads::boot();
}

/// Has the writer leave its thread before each fork from now on, for processes that count their threads there.
pub fn fork_without_writer() {
    absence::switch_on();
}

/// Runs before a fork. Afterwards no lock of this library is held by the calling thread.
pub fn before_fork() {
    absence::before_fork();
}

/// A place that is passed again and again, and never on the way of a fork: a writer that has left its thread for one
/// gets another.
#[inline]
pub fn go_on_writing() {
    absence::end();
}

/// The id of the next call, from 1, unique in the process.
#[inline]
pub fn next_call() -> u64 {
    LAST_CALL.fetch_add(1, Ordering::Relaxed) + 1
}

/// Records an event. Its `thread` is filled in.
#[inline]
pub fn emit(event: &Event) {
    match PHASE.load(Ordering::Relaxed) {
        RECORDING => threads::push(|ring| ring.push_event(event)),
        WAITING => keep(|early, thread| early.keep_event(event, thread), || emit(event)),
        _ => {}
    }
}

/// Records what a look at a variable found. Its `thread` is filled in.
#[inline]
pub fn emit_state(state: &State) {
    match PHASE.load(Ordering::Relaxed) {
        RECORDING => threads::push(|ring| ring.push_state(state)),
        WAITING => keep(|early, thread| early.keep_state(state, thread), || emit_state(state)),
        _ => {}
    }
}

/// Records what a call was given or gave back. Its `thread` is filled in.
#[inline]
pub fn emit_argument(argument: &Argument) {
    match PHASE.load(Ordering::Relaxed) {
        RECORDING => threads::push(|ring| ring.push_argument(argument)),
        WAITING => keep(|early, thread| early.keep_argument(argument, thread), || emit_argument(argument)),
        _ => {}
    }
}

/// Records what became of a collective. Its `thread` is filled in.
pub fn emit_collective(collective: &Collective) {
    match PHASE.load(Ordering::Relaxed) {
        RECORDING => threads::push(|ring| ring.push_collective(collective)),
        WAITING => {
            keep(|early, thread| early.keep_collective(collective, thread), || emit_collective(collective));
        }
        _ => {}
    }
}

/// Does `keep` before the start; `instead`, if the start has just happened.
#[cold]
fn keep(keep: impl FnOnce(&mut Early, u16), instead: impl FnOnce()) {
    let thread = threads::current_index();
    let mut early = early::lock();
    if PHASE.load(Ordering::Relaxed) == WAITING {
        keep(&mut early, thread);
    } else {
        drop(early);
        instead();
    }
}

/// Defines `entry` under the next id (its own is ignored), which is given back; 0 where the dictionary is full or
/// nothing is recorded. Who calls sees to it that nothing is defined twice.
pub fn define(entry: DictEntry) -> u32 {
    if is_inert() { 0 } else { names::define(entry) }
}

/// The id of `text`, the same for the same text; 0 as in [`define`].
pub fn text(text: &str) -> u32 {
    if is_inert() { 0 } else { names::text(text) }
}

/// A hash of a text, for maps whose keys are texts.
#[inline]
pub fn content_hash(text: &[u8]) -> u64 {
    names::content_hash(0, text)
}

/// The id of a context that is defined for the first time; 0 as in [`define`].
pub fn context(text: String) -> u32 {
    define(DictEntry { kind: DictKind::Context as u8, text, ..DictEntry::default() })
}

/// The id of the op `name` in this RecordFunction scope, the same for the same content; 0 as in [`define`].
#[inline]
pub fn op(name: &[u8], scope: u8) -> u32 {
    if is_inert() { 0 } else { names::op(name, scope) }
}

/// Decides on the run folder and names it to the processes that this one will start. To be called when `import
/// torch` has finished. If it gives back a path, that has to be put into Python's `os.environ` as
/// `TRAINCHECK_RUN_DIR`, which was copied from the environment earlier.
pub fn choose_folder() -> Option<&'static Path> {
    if is_inert() { None } else { folder::choose() }
}

/// The first training event: from here on there is a run folder.
pub fn start_recording() {
    if !is_started()
        && !is_inert()
        && let Some(job) = described()
    {
        start(job.clone());
    }
}

/// Starts the run: makes the folder and its files, and the writer. False: nothing is or will be recorded. Later
/// calls only tell.
pub fn start(info: StartInfo) -> bool {
    if PHASE.load(Ordering::Acquire) == WAITING {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if PHASE.load(Ordering::Acquire) == WAITING
            && let Err(error) = quietly(|| try_start(info))
        {
            stop(error.to_string());
        }
    }
    is_started()
}

fn try_start(info: StartInfo) -> Result<(), StartError> {
    reserve::make();
    let folder = folder::chosen();
    folder::create(folder).map_err(|error| StartError::Folder(folder.into(), error))?;
    let pid = std::process::id();
    let place = Place::choose(folder);
    let command = Command::of_process();
    folder::take_seat();
    let host = host();
    let placement = Placement::of_process();
    let run = RunInfo {
        format_version: FormatVersion::CURRENT.to_string(),
        agent_version: env!("CARGO_PKG_VERSION").into(),
        started_wall_ns: folder::wall_ns(),
        host: host.clone(),
        command: command.redacted(),
        folder: info.folder,
        python: info.python_version.clone(),
        torch: info.torch_version.clone(),
        profile: info.profile.clone(),
        settings: info.settings,
        account: BTreeMap::new(),
        hooks: account::hooks(),
        ended: None,
    };
    let is_first = folder::write_info(folder, &run).map_err(StartError::Info)?;
    place::FIRST.store(is_first, Ordering::Relaxed);

    // SAFETY: no arguments, cannot fail.
    let (parent, thread) = unsafe { (libc::getppid(), libc::gettid()) };
    let ring = RingInfo {
        pid,
        index: NO_THREAD,
        thread: u64::from(thread.cast_unsigned()),
        dictionary: true,
        made_wall_ns: folder::wall_ns(),
    };
    let names_ring =
        OwnRing::create(place.path("names.ring"), NAMES_RING_SIZE, &ring).map_err(StartError::Ring)?;
    let names_ring: &'static OwnRing = Box::leak(Box::new(names_ring));
    let started = write_beginning(
        place,
        names_ring,
        &ProcessHeader {
            host,
            pid,
            parent_pid: parent.cast_unsigned(),
            segment_index: 0,
            monotonic_ns: now(),
            wall_ns: folder::wall_ns(),
            agent_version: run.agent_version,
            python_version: info.python_version,
            torch_version: info.torch_version,
            profile: info.profile,
            executable: std::env::current_exe()
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
            script: command.script().into(),
            rank: placement.rank,
            world_size: placement.world_size,
            launcher: placement.launcher.into(),
            local_rank: placement.local_rank,
            node: placement.node,
            attempt: placement.attempt,
            job: placement.job.unwrap_or_default(),
        },
    );
    if started.is_err() {
        names_ring.remove();
    }
    started
}

/// Makes the segment with everything from before the start in it, and lets records go to the rings.
fn write_beginning(
    place: &Place,
    names_ring: &'static OwnRing,
    header: &ProcessHeader,
) -> Result<(), StartError> {
    let path = place.path("0.tcs");
    let segment = SegmentWriter::create(&path, header).map_err(StartError::Segment)?;
    let mut writer = Writer::new(segment, &path, names_ring);
    let names = names::use_ring(&names_ring.ring);
    writer.write_early_names(&names).map_err(StartError::Segment)?;
    let early = {
        let mut early = early::lock();
        // From here on other threads push into rings. Not if the run was sealed or this is a child meanwhile.
        PHASE
            .compare_exchange(WAITING, RECORDING, Ordering::AcqRel, Ordering::Acquire)
            .map_err(|_| StartError::TooLate)?;
        early.take()
    };
    writer.write_early(&early).map_err(StartError::Segment)?;
    Box::new(writer).spawn().map_err(|(writer, error)| {
        let error = StartError::Thread(error);
        stop(error.to_string());
        let _ = writer.give_up(&format!("{}{error}", Ending::STOPPED));
        error
    })
}

/// CPU time that the writer has used, nanoseconds.
pub fn writer_cpu_ns() -> u64 {
    writer::cpu_ns()
}

/// Why the capture stopped, if something was wrong.
pub fn trouble() -> Option<&'static str> {
    account::what_went_wrong()
}

/// Says that `hook` is on, and how, by what interface: in `run.json`, if the run has not started. One that was
/// switched off stays so.
pub fn note_hook_on(hook: &str, how: &str) {
    if !is_inert() {
        account::hook_on(hook, how);
    }
}

/// Says once for each `hook` that it was switched off or could not be installed: in the trace, and in `run.json`
/// if the run has not started.
pub fn note_hook_off(hook: &str, why: &str) {
    say_hook_off(hook, why, 0);
}

/// The same of a hook that has seen calls and sees them no more: nothing is concluded from their absence.
pub fn note_hook_lost(hook: &str, why: &str) {
    say_hook_off(hook, why, 1);
}

fn say_hook_off(hook: &str, why: &str, value: u64) {
    if is_inert() || !account::hook_off(hook, why) {
        return;
    }
    emit(&Event {
        kind: EventKind::HookOff as u8,
        time: now(),
        name: text(&format!("{hook}: {why}")),
        value,
        ..Event::EMPTY
    });
}

/// Sets a figure of the account in the footer, such as what a kind of hook has cost, in nanoseconds. To be done
/// before the run is sealed.
pub fn account(name: &str, value: u64) {
    if !is_inert() {
        account::set(name, value);
    }
}

/// Writes everything there is, and the footer, and removes the rings. Whatever is emitted from now on is lost.
/// Returns when that is done, or after two seconds, all calls together; what could not be written by then is in the
/// rings, where a reader finds it.
pub fn seal(reason: &str) {
    if fork::is_forked() {
        return;
    }
    phase::seal();
    if is_ours() && writer::is_running() {
        quietly(|| writer::close(reason));
    }
    if is_ours() {
        folder::leave_seat();
    }
}
