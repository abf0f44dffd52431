//! What a run holds, in numbers: read once from front to back, in memory that grows with the number of names,
//! iterations and collectives, not with that of events.
mod arguments;
mod collectives;
pub mod cost;
mod job;
mod members;
mod process;
mod tally;
pub mod text;

use serde::Serialize;
use traincheck_analyzer::run_source::Progress;
use traincheck_schema::run::{Run, RunInfo};

pub use arguments::Value;
pub use collectives::Collectives;
pub use job::Job;
pub use process::{End, ProcessSummary};
pub use tally::{Calls, Lost, Variable};

/// Summary of a run, and its JSON form.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The folder.
    pub run: String,
    /// What was run; none without `run.json`.
    pub info: Option<RunInfo>,
    /// The job, as one table; none where not several of its processes have a rank.
    pub job: Option<Job>,
    /// What each process did.
    pub processes: Vec<ProcessSummary>,
}

impl Summary {
    /// Reads the run.
    pub fn of(run: &Run, progress: &Progress) -> Summary {
        run.processes.iter().for_each(|process| progress.expect(process.size()));
        let processes: Vec<_> =
            run.processes.iter().map(|process| ProcessSummary::of(process, progress)).collect();
        let job = Job::of(&processes);
        Summary { run: run.folder.display().to_string(), info: run.info.clone(), job, processes }
    }
}
