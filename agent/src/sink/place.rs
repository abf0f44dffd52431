//! Where the files of this process are.

use super::folder;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use traincheck_schema::run::host;

static PLACE: OnceLock<Place> = OnceLock::new();
/// This process wrote `run.json`.
pub static FIRST: AtomicBool = AtomicBool::new(false);

/// The run folder, and how the names of the files of this process begin.
pub struct Place {
    folder: PathBuf,
    /// `HOST-PID`.
    process: String,
    pid: u32,
}

impl Place {
    /// That of this process, which is decided the first time: in `folder`.
    pub fn choose(folder: &Path) -> &'static Place {
        let pid = std::process::id();
        PLACE.get_or_init(|| Place { folder: folder.into(), process: process_name(folder, pid), pid })
    }

    /// The file whose name ends with `rest`.
    pub fn path(&self, rest: &str) -> PathBuf {
        self.folder.join(format!("{}-{rest}", self.process))
    }
}

/// What the names of the files of this process begin with. A folder can hold files of an earlier process of the
/// same number, one that has called `exec` or ran in another container: then the host is called `NAME.2`.
fn process_name(folder: &Path, pid: u32) -> String {
    let host = host();
    let mut name = format!("{host}-{pid}");
    for count in 2..1000 {
        if !folder::is_taken(folder, &name) {
            break;
        }
        name = format!("{host}.{count}-{pid}");
    }
    name
}

/// The run is this process's. A child made without the C library does not know that it is one, and has no writer.
pub fn is_ours() -> bool {
    PLACE.get().is_some_and(|place| place.pid == std::process::id())
}

/// The path of the ring with this ending of its name; none before the start.
pub fn ring_path(rest: &str) -> Option<PathBuf> {
    PLACE.get().map(|place| place.path(&format!("{rest}.ring")))
}
