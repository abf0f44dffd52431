//! The folder that a job records into, from before the job starts to behind its end.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A folder that is there and can be written. Dropped, it is gone again if it was made for the job and nothing is in it.
pub(super) struct RunFolder {
    path: PathBuf,
    /// Kept open, so that no other folder gets its identity.
    open: File,
    /// What was not there before, the innermost first.
    made: Vec<PathBuf>,
}

/// What has become of a folder.
pub(super) enum Became {
    /// Segments are in it.
    Recorded,
    /// It is as it was, without segments.
    Empty,
    /// Nothing is there any more.
    Removed,
    /// Something else is in its place.
    Replaced,
}

impl RunFolder {
    /// Makes the folder at `path`, which is absolute, with everything above it. What is new is for its owner only.
    pub(super) fn make(path: PathBuf) -> Result<RunFolder> {
        let made: Vec<PathBuf> = path
            .ancestors()
            .take_while(|path| path.symlink_metadata().is_err())
            .map(Path::to_owned)
            .collect();
        let advice =
            || format!("cannot record into {}; name a folder that can be made and written", path.display());
        let open = create(&path, !made.is_empty()).inspect_err(|_| remove(&made)).with_context(advice)?;
        Ok(RunFolder { path, open, made })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What has become of it.
    pub(super) fn became(&self) -> Became {
        let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        match fs::metadata(&self.path) {
            Err(_) => Became::Removed,
            Ok(now) if self.open.metadata().is_ok_and(|before| identity(&before) != identity(&now)) => {
                Became::Replaced
            }
            Ok(_) if holds_a_run(&self.path) => Became::Recorded,
            Ok(_) => Became::Empty,
        }
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        remove(&self.made);
    }
}

/// Removes folders, the innermost first, up to one that something is in.
fn remove(folders: &[PathBuf]) {
    for folder in folders {
        if fs::remove_dir(folder).is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            break;
        }
    }
}

fn create(path: &Path, is_new: bool) -> Result<File> {
    if path.exists() && !path.is_dir() {
        bail!("it is no folder");
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if is_new {
        // A mask that takes rights from the owner, too, would make a folder that nobody writes.
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    // It has no name, so it is gone when it is closed.
    tempfile::tempfile_in(path)?;
    Ok(File::open(path)?)
}

fn holds_a_run(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "tcs"))
    })
}
