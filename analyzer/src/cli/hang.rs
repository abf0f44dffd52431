//! `traincheck hang`: says where the ranks of a job hang, or which collective they do not agree in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;
use traincheck_analyzer::flight_recorder::{self, Dump};
use traincheck_analyzer::hang::{Hang, text};
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_analyzer::whole_file;
use traincheck_schema::run::Run;

use super::format::{self, Format};
use super::progress::Bar;
use super::trouble::{EXIT_TROUBLE, complain_of};

/// The arguments of `traincheck hang`.
#[derive(clap::Args)]
#[command(
    after_help = "Exits with 0 if all ranks did the same and nothing is pending, 1 if some collective was not entered by all, is not \
                        the same on all or has not ended, and 2 if the run or a dump cannot be read, the run is damaged, or nothing \
                        has ranks.\n\nDumps of the flight recorder are what PyTorch writes with TORCH_FR_BUFFER_SIZE set: the files \
                        of NCCL's watchdog (TORCH_NCCL_DEBUG_INFO_TEMP_FILE, /tmp/nccl_trace_rank_), or what \
                        torch._C._distributed_c10d._dump_fr_trace() and _dump_fr_trace_json() return. The name of each file ends with \
                        the number of its rank: nccl_trace_rank_0, rank_0.json."
)]
pub struct Args {
    /// Folder of the run: of a job that was killed, or one that hangs yet
    #[arg(required_unless_present = "flight_recorder")]
    run: Option<PathBuf>,
    /// Dumps of PyTorch's flight recorder, JSON or pickle, a file for each rank or folders of them
    #[arg(long, value_name = "FILES", num_args = 1..)]
    flight_recorder: Vec<PathBuf>,
    /// Write what was recorded of collectives as dumps of the flight recorder, too: into this folder as pickles, which
    /// `python -m torch.distributed.flight_recorder.fr_trace DIR` reads, and into its folder `json` as JSON
    #[arg(long, value_name = "DIR", requires = "run")]
    write_flight_recorder: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Reads the run and prints where it hangs; the exit code says whether it does.
///
/// # Errors
/// If nothing can be printed.
pub fn run(args: Args) -> Result<ExitCode> {
    let (run, dumps) = match (args.run.as_deref().map(Run::open).transpose(), read(&args.flight_recorder)) {
        (Ok(run), Ok(dumps)) => (run, dumps),
        (run, dumps) => {
            complain_of(run.err().map(|error| error.to_string()));
            complain_of(dumps.err().into_iter().flatten());
            return Ok(ExitCode::from(EXIT_TROUBLE));
        }
    };
    let hang = run.as_ref().map_or_else(Hang::default, recorded).with_dumps(&dumps);
    if hang.ranks.is_empty() && dumps.is_empty() {
        let folder = run.as_ref().map_or(Path::new(""), |run| &run.folder);
        complain_of([format!(
            "{}: no process of this run has a rank; was it launched with torchrun, or did it call init_process_group?",
            folder.display()
        )]);
        return Ok(ExitCode::from(EXIT_TROUBLE));
    }
    if let (Some(folder), Some(run)) = (&args.write_flight_recorder, &run) {
        write(folder, run)?;
    }
    let name = run.as_ref().map(|run| runs::name(&run.folder));
    let value = json!({"format": "traincheck-hang", "version": 1, "run": name, "hang": hang});
    format::print(args.format, &value, |_, out| {
        let mut written = String::new();
        text::write(name.as_deref(), &hang, &mut written).map_err(io::Error::other)?;
        out.write_all(written.as_bytes())
    })?;
    Ok(ExitCode::from(if hang.is_damaged() { EXIT_TROUBLE } else { u8::from(hang.is_found()) }))
}

/// What was recorded.
fn recorded(run: &Run) -> Hang {
    let progress = Progress::default();
    let _bar = Bar::over(&progress);
    runs::hang(run, &progress)
}

/// Writes a dump of each rank, in both forms.
fn write(folder: &Path, run: &Run) -> Result<()> {
    // Apart, as PyTorch's analysis takes every file of a folder whose name begins as those of dumps for one.
    let json = folder.join("json");
    fs::create_dir_all(&json).with_context(|| format!("cannot make {}", json.display()))?;
    for dump in runs::dumps(run, &Progress::default()) {
        for (path, bytes) in [
            (folder.join(format!("rank_{}", dump.rank)), flight_recorder::write::pickle(&dump)),
            (json.join(format!("{}.json", dump.rank)), flight_recorder::write::json(&dump)),
        ] {
            whole_file::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// The dumps, or what is wrong with each that cannot be read.
fn read(paths: &[PathBuf]) -> Result<Vec<Dump>, Vec<String>> {
    flight_recorder::read(paths).map_err(|bad| bad.iter().map(ToString::to_string).collect())
}
