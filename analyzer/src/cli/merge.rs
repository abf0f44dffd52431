//! `traincheck merge`: learns invariants from sketches, as from all their runs at once.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use rayon::prelude::*;
use traincheck_analyzer::runs;
use traincheck_analyzer::sketch::{ReadSketchError, Sketch, Twice};

use super::learn::Learn;
use super::trouble::{EXIT_TROUBLE, complain_of};

/// The arguments of `traincheck merge`.
#[derive(clap::Args)]
#[command(
    after_help = "The file is, byte for byte, what `traincheck infer` makes of all the runs at once, whatever the order of the \
                        sketches and however the runs are divided among them. With --partial a sketch of all is written, to be merged \
                        with more.\n\nExits with 0 if the file was written, and with 2 if it was not: a sketch cannot be read, is \
                        damaged or of another version of traincheck, or has a run that an earlier one has, too."
)]
pub struct Args {
    /// Sketches, as `traincheck infer --partial` and `traincheck merge --partial` write them
    #[arg(required = true, value_name = "SKETCH")]
    sketches: Vec<PathBuf>,
    #[command(flatten)]
    learn: Learn,
}

/// Reads the sketches and writes the file.
///
/// # Errors
/// If the file cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    runs::set_threads(args.learn.threads);
    let library = args.learn.library.read().map_err(|error| vec![error.to_string()]);
    let (sketch, library) = match (read(&args.sketches), library) {
        (Ok(sketch), Ok(library)) => (sketch, library),
        (sketch, library) => {
            complain_of([sketch.err(), library.err()].into_iter().flatten().flatten());
            return Ok(ExitCode::from(EXIT_TROUBLE));
        }
    };
    args.learn.finish(sketch, &library)?;
    Ok(ExitCode::SUCCESS)
}

/// All sketches as one, or a line for each one that cannot be used.
fn read(paths: &[PathBuf]) -> Result<Sketch, Vec<String>> {
    let read: Vec<Result<Sketch, ReadSketchError>> =
        paths.par_iter().map(|path| Sketch::read(path)).collect();
    let bad: Vec<String> =
        read.iter().filter_map(|one| one.as_ref().err()).map(ToString::to_string).collect();
    if !bad.is_empty() {
        return Err(bad);
    }
    Sketch::merge(read.into_iter().flatten()).map_err(|error| {
        let line = |twice: &Twice| {
            let (path, earlier) = (paths[twice.sketch].display(), paths[twice.earlier].display());
            let Twice { folder, .. } = twice;
            format!("{path}: has the run {folder}, which {earlier} has, too; give every reference run once")
        };
        error.twice.iter().map(line).collect()
    })
}
