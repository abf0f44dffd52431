//! The folder of the run and `run.json`.

use super::command::Command;
use super::quiet::quietly;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use traincheck_schema::own_file;
use traincheck_schema::run::{HookInfo, RunInfo, Seat, TakenSeat, host};
use traincheck_settings::Placement;

/// Names the folder, for this process and its children.
pub const VARIABLE: &str = "TRAINCHECK_RUN_DIR";

/// Where runs go that were given no folder.
const RUNS: &str = "traincheck-runs";

/// A folder, and the seat that this process has to take there: it is a rank whose launcher has named no folder.
struct Chosen {
    folder: PathBuf,
    seat: Option<Seat>,
}

static CHOSEN: OnceLock<Chosen> = OnceLock::new();
static TAKEN: Mutex<Option<TakenSeat>> = Mutex::new(None);

/// The folder that the run goes to, as an absolute path: that of [`VARIABLE`], else that on which the ranks of the job agree,
/// else one of its own under `./traincheck-runs`. Decided once, at the first call.
pub fn chosen() -> &'static Path {
    &CHOSEN.get_or_init(choice).folder
}

fn choice() -> Chosen {
    let absolute = |folder: PathBuf| std::path::absolute(&folder).unwrap_or(folder);
    if let Some(given) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Chosen { folder: absolute(given.into()), seat: None };
    }
    let runs = absolute(RUNS.into());
    if let Some((folder, seat)) = Placement::of_process().shared_folder(&runs) {
        return Chosen { folder, seat: Some(seat) };
    }
    let stem = Command::of_process().stem();
    let name = format!("{}-{stem}-{}", utc(wall_seconds()), std::process::id());
    Chosen { folder: runs.join(name), seat: None }
}

/// Takes the seat of this process in the chosen folder, which is there, if it has to. Without it the ranks of a later job may
/// come into this folder, which who reads the run notices: no reason to record nothing.
pub fn take_seat() {
    let Some(Chosen { folder, seat: Some(seat) }) = CHOSEN.get() else { return };
    if let Ok(taken) = seat.take(folder) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
    }
}

/// Says that this process has ended.
pub fn leave_seat() {
    if let Some(taken) = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take() {
        quietly(|| taken.leave());
    }
}

/// As [`chosen`], and makes the processes that this one starts record into the same folder, wherever they are
/// started from. Gives back the path if the environment had to be changed for it: Python copies the environment
/// when it starts, so the caller has to put the path into `os.environ`, too.
pub fn choose() -> Option<&'static Path> {
    let folder = chosen();
    if std::env::var_os(VARIABLE).is_some_and(|value| value == folder.as_os_str()) {
        return None;
    }
    // SAFETY: `setenv` races only with threads that use the environment without the C library's lock; this is
    // called under the GIL while `import torch` is about to return, where Python code itself may set variables.
    unsafe { std::env::set_var(VARIABLE, folder) };
    Some(folder)
}

/// Makes `folder` with everything above it. What is new is for its owner only, whatever the mask of the process.
pub fn create(folder: &Path) -> io::Result<()> {
    if let Some(above) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => std::fs::set_permissions(folder, Permissions::from_mode(0o700)),
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes `run.json`, unless another process has: then false. It appears whole or not at all.
pub fn write_info(folder: &Path, info: &RunInfo) -> io::Result<bool> {
    let path = folder.join("run.json");
    if path.try_exists()? {
        return Ok(false);
    }
    let draft = draft(folder);
    let written = write_new(&draft, info).and_then(|()| match std::fs::hard_link(&draft, &path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // Not every file system has links. Then the last one wins, still whole.
        Err(_) => std::fs::rename(&draft, &path).map(|()| true),
        Ok(()) => Ok(true),
    });
    let _ = std::fs::remove_file(&draft);
    written
}

/// Puts the account and the hooks as they ended into the `run.json` that this process wrote.
pub fn complete_info(folder: &Path, account: &[(String, u64)], hooks: Vec<HookInfo>) -> io::Result<()> {
    let path = folder.join("run.json");
    let mut info: RunInfo = serde_json::from_slice(&std::fs::read(&path)?)?;
    info.account = account.iter().cloned().collect();
    info.hooks = hooks;
    let draft = draft(folder);
    let written = write_new(&draft, &info).and_then(|()| std::fs::rename(&draft, &path));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}

fn draft(folder: &Path) -> PathBuf {
    folder.join(format!(".run.json-{}-{}", host(), std::process::id()))
}

fn write_new(path: &Path, info: &RunInfo) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(info)?;
    text.push(b'\n');
    own_file::create(path, OpenOptions::new().write(true))?.write_all(&text)
}

/// Whether files of a process that is called `process` (`HOST-PID`) are in `folder`.
pub fn is_taken(folder: &Path, process: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let taken = |name: &[u8]| {
        name.strip_prefix(process.as_bytes())
            .is_some_and(|rest| rest.first().is_some_and(|byte| *byte == b'-'))
    };
    entries.flatten().any(|entry| taken(entry.file_name().as_bytes()))
}

/// Nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn wall_seconds() -> u64 {
    wall_ns() / 1_000_000_000
}

/// Date and time as `20261122-041500`. By hand, for `gmtime_r` takes a lock of the C library that a forked child
/// would find locked.
fn utc(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Counted from 1 March 2000 leap days come last in their year, their century and the 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101-000000"),
            (951_782_399, "20000228-235959"),
            (951_782_400, "20000229-000000"),
            (1_709_251_199, "20240229-235959"),
            (1_709_251_200, "20240301-000000"),
            (4_107_542_400, "21000301-000000"),
            (1_795_320_900, "20261122-041500"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    #[test]
    fn the_account_is_added_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunInfo { host: "first".into(), ..RunInfo::default() };
        write_info(folder.path(), &first).unwrap();
        complete_info(folder.path(), &[("looks_ns".into(), 7)], Vec::new()).unwrap();
        let text = std::fs::read(folder.path().join("run.json")).unwrap();
        let read: RunInfo = serde_json::from_slice(&text).unwrap();
        assert_eq!((read.host.as_str(), read.account["looks_ns"]), ("first", 7));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn names_of_files_of_a_process_are_told_from_those_of_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("node-12-0.tcs"), "").unwrap();
        assert!(is_taken(folder.path(), "node-12"));
        assert!(!is_taken(folder.path(), "node-1"));
        assert!(!is_taken(folder.path(), "node-123"));
    }

    #[test]
    fn the_first_process_writes_what_was_run_and_later_ones_leave_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunInfo { host: "first".into(), ..RunInfo::default() };
        assert!(write_info(folder.path(), &first).unwrap());
        assert!(!write_info(folder.path(), &RunInfo::default()).unwrap());
        let text = std::fs::read(folder.path().join("run.json")).unwrap();
        assert_eq!(serde_json::from_slice::<RunInfo>(&text).unwrap(), first);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }
}
