//! What is declared to be the user's own code.

use std::fmt;
use std::path::{Path, PathBuf};

/// A folder, file or package whose functions are the user's own, wherever they are installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeRoot {
    /// A path, as it was given (made absolute) and with links resolved: Python may have imported by either.
    Path {
        /// As given.
        given: PathBuf,
        /// With links resolved.
        real: PathBuf,
    },
    /// A package or module, by its dotted name.
    Package(String),
}

impl CodeRoot {
    /// Reads an entry: with a slash in it, or beginning with a dot, it is a path, relative to `base`; else a package.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str, base: &Path) -> Result<CodeRoot, String> {
        if text.contains('/') || text.starts_with('.') {
            let given = std::path::absolute(base.join(text)).map_err(|error| format!("{text:?}: {error}"))?;
            let real = given.canonicalize().map_err(|error| {
                format!("{text:?} cannot be found ({error}); name a folder, a file or a package that exists")
            })?;
            return Ok(CodeRoot::Path { given, real });
        }
        let is_name = |part: &str| {
            part.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !part.starts_with(|c: char| c.is_numeric())
        };
        if text.split('.').all(|part| !part.is_empty() && is_name(part)) {
            Ok(CodeRoot::Package(text.to_owned()))
        } else {
            Err(format!("{text:?} is not a package; write its dotted name, or a path with a slash in it"))
        }
    }

    /// Whether the code of `file`, in `module`, belongs to it.
    pub fn holds(&self, file: &str, module: &str) -> bool {
        match self {
            CodeRoot::Path { given, real } => {
                let file = Path::new(file);
                file.starts_with(given) || file.starts_with(real)
            }
            CodeRoot::Package(package) => module
                .strip_prefix(package.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        }
    }
}

impl fmt::Display for CodeRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodeRoot::Path { given, .. } => write!(f, "{}", given.display()),
            CodeRoot::Package(package) => f.write_str(package),
        }
    }
}
