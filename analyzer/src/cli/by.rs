//! What a run is checked by, and where the report goes: read before anything else, so that what is wrong with it is said
//! before hours of training are recorded.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use traincheck_analyzer::cause::Causes;
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::library::Library;
use traincheck_analyzer::library::levels::BUDGET;
use traincheck_analyzer::report::{Report, json, text};
use traincheck_analyzer::suppress::{FILE_NAME, Suppressions};
use traincheck_analyzer::table::ReadTableError;
use traincheck_analyzer::whole_file;

use super::library_file::LibraryFile;
use super::share::share;
use super::threads::threads;

/// What to check by, and how to print what is found.
#[derive(clap::Args)]
pub struct By {
    /// File of invariants, as `traincheck infer` writes it, in addition to those of the library
    #[arg(short, long, value_name = "FILE")]
    invariants: Option<PathBuf>,
    #[command(flatten)]
    library: LibraryFile,
    /// Check by the file of invariants alone
    #[arg(long, requires = "invariants", conflicts_with = "library")]
    no_library: bool,
    /// The share of clean runs that may have a false alarm, by what was measured of runs that differ from those that were
    /// learned from
    #[arg(long, value_name = "SHARE", default_value_t = BUDGET, value_parser = share, allow_negative_numbers = true)]
    pub alarm_budget: f64,
    /// File of suppressions [default: traincheck-suppressions.toml beside the invariants, or here, if there is one]
    #[arg(short, long, value_name = "FILE")]
    suppressions: Option<PathBuf>,
    /// File of causes in addition to the built-in ones, in the form of analyzer/src/causes.toml
    #[arg(long, value_name = "FILE")]
    causes: Option<PathBuf>,
    /// File to write the report to, instead of stdout
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Show notices in full, not only how many there are
    #[arg(long)]
    notices: bool,
    /// List how every invariant ended
    #[arg(long)]
    all: bool,
    /// Number of threads, of which no more than four per core are used; 0 uses one per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads, allow_negative_numbers = true)]
    pub threads: usize,
}

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: docs/findings-schema.json
    Json,
}

/// What was read of it.
pub struct Basis {
    /// What was learned, if a file was given.
    pub learned: Option<Invariants>,
    /// The library, unless it is left out.
    pub library: Option<Cow<'static, Library>>,
    /// What does not count, if there is such a file.
    pub suppressions: Option<Suppressions>,
    /// What violations speak for.
    pub causes: Causes,
}

impl By {
    /// Reads all files that are named, and sees whether the report can be written.
    ///
    /// # Errors
    /// A line for each file that cannot be used.
    pub fn read(&self) -> Result<Basis, Vec<String>> {
        let mut bad = Vec::new();
        let learned = self.invariants.as_deref().map(Invariants::read).transpose();
        let learned = learned.map_err(|error| bad.push(error.to_string()));
        let library = self.library.read().map_err(|error| bad.push(error.to_string()));
        let suppressions = self.read_suppressions().map_err(|error| bad.push(error.to_string()));
        let causes = Causes::read(self.causes.as_deref()).map_err(|error| bad.push(error.to_string()));
        let report = self.report.as_deref().map_or(Ok(()), can_be_written);
        let report = report.map_err(|error| bad.push(error));
        match (learned, library, suppressions, causes, report) {
            (Ok(learned), Ok(library), Ok(suppressions), Ok(causes), Ok(())) => {
                let library = (!self.no_library).then_some(library);
                Ok(Basis { learned, library, suppressions, causes })
            }
            _ => Err(bad),
        }
    }

    /// Whether the report goes to a file.
    pub fn writes_a_file(&self) -> bool {
        self.report.is_some()
    }

    /// Those of the file that is named, else of the one that lies beside the invariants, if there is one.
    fn read_suppressions(&self) -> Result<Option<Suppressions>, ReadTableError> {
        let beside = self.invariants.as_deref().unwrap_or(Path::new("")).with_file_name(FILE_NAME);
        match &self.suppressions {
            Some(path) => Suppressions::read(path).map(Some),
            None if beside.exists() => Suppressions::read(&beside).map(Some),
            None => Ok(None),
        }
    }

    /// The options that name files of invariants, as they stand in a command line.
    pub fn options(&self) -> String {
        let invariants = self.invariants.iter().map(|path| format!(" -i {}", path.display()));
        let library = self.library.path().map(|path| format!(" --library {}", path.display()));
        invariants.chain(library).collect()
    }

    /// Prints the report on the run in `folder`, or writes it and says so on stderr. Where there is no room for it, it goes to
    /// stderr, for people.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn print(&self, report: &Report<'_>, folder: &Path) -> io::Result<()> {
        let written = self.write(report);
        let Err(error) = &written else { return Ok(()) };
        if error.kind() == io::ErrorKind::BrokenPipe {
            return written;
        }
        let place = self.report.as_deref().unwrap_or(Path::new("stdout")).display();
        let page = self.text(report).map_err(io::Error::other)?;
        // If nobody reads stderr either, there is nobody to tell.
        let _ = io::stderr().write_all(page.as_bytes());
        let again = format!("`traincheck check {}` makes it again", folder.display());
        Err(io::Error::new(
            error.kind(),
            format!("{place}: cannot write the report: {error}; it is above, and {again}"),
        ))
    }

    /// For people.
    fn text(&self, report: &Report<'_>) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::write(report, self.notices, &mut page)?;
        if self.all {
            page.push('\n');
            text::write_statuses(report, &mut page)?;
        }
        Ok(page)
    }

    fn write(&self, report: &Report<'_>) -> io::Result<()> {
        let page = match self.format {
            Format::Text => self.text(report).map_err(io::Error::other)?,
            Format::Json => serde_json::to_string_pretty(&json::value(report))? + "\n",
        };
        let Some(path) = &self.report else {
            return io::stdout().write_all(page.as_bytes());
        };
        whole_file::write(path, page.as_bytes())?;
        let mut line = format!("traincheck: report in {}", path.display());
        // Where nothing was recorded that has been said, and why.
        if !report.checked.processes.is_empty() {
            line = format!("{line}. {}", text::conclusion(report));
        }
        // If nobody reads stderr any more there is nobody to tell.
        let _ = writeln!(io::stderr(), "{line}");
        Ok(())
    }
}

/// Whether there will be a file at `path` when there is something to write, as far as can be told without writing it.
fn can_be_written(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let what = match fs::metadata(path) {
        Ok(there) if there.is_dir() => "it is a folder".to_owned(),
        // Pipes and devices are written into.
        Ok(there) if !there.is_file() => return Ok(()),
        // It has no name, so it is gone when it is closed.
        _ => match tempfile::tempfile_in(folder) {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        },
    };
    Err(format!("{}: cannot write the report: {what}", path.display()))
}
