//! Which library the commands go by.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use traincheck_analyzer::library::{self, Library, ReadLibraryError};

/// The file of another library than the one that ships.
#[derive(clap::Args)]
pub struct LibraryFile {
    /// File of a library, as `traincheck library` writes it, in place of the one that ships
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

impl LibraryFile {
    /// The file, if one is given.
    pub fn path(&self) -> Option<&Path> {
        self.library.as_deref()
    }

    /// The library of the file, or the one that ships.
    ///
    /// # Errors
    /// If the file is no library that this program reads.
    pub fn read(&self) -> Result<Cow<'static, Library>, ReadLibraryError> {
        match &self.library {
            Some(path) => Library::read(path).map(Cow::Owned),
            None => Ok(Cow::Borrowed(library::built_in())),
        }
    }
}
