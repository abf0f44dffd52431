//! What can be recorded here, and what cannot: `traincheck doctor`.
mod hooks;
mod python;
pub mod text;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;

use serde::Serialize;
use traincheck_analyzer::run_source::Progress as Reading;
use traincheck_schema::run::{Progress, Report, Run};

pub use hooks::{Hook, State};
pub use python::{Facts, find, last_line};

use crate::inspect::cost::Cost;
use crate::inspect::{End, Lost, Summary};

/// The training that the hooks are tried on where no program is given.
pub const PROBE: &str = include_str!("probe.py");

/// What was found out, and its JSON form.
#[derive(Debug, Default, Serialize)]
pub struct Examination {
    /// The agent; none: it was not found.
    pub agent: Option<Agent>,
    /// The interpreter; none: there is none, or it was not asked.
    pub python: Option<Python>,
    /// Version of PyTorch; empty: not known.
    pub torch: String,
    /// The program that was given.
    pub program: Option<Program>,
    /// The hooks.
    pub hooks: Vec<Hook>,
    /// What was recorded; none: nothing.
    pub recorded: Option<Recorded>,
    /// What is needed and not there; empty: everything that can be hooked is hooked.
    pub problems: Vec<String>,
}

/// The agent.
#[derive(Debug, Serialize)]
pub struct Agent {
    /// Its file.
    pub path: String,
    /// Its version; empty: it has not said.
    pub version: String,
}

/// An interpreter.
#[derive(Debug, Serialize)]
pub struct Python {
    /// Its file.
    pub executable: String,
    /// Its version.
    pub version: String,
}

/// The program that was tried.
#[derive(Debug, Serialize)]
pub struct Program {
    /// It and its arguments.
    pub command: Vec<String>,
    /// As a shell sees it: 128 + n if signal n ended it.
    pub exit_code: u8,
    /// How many of its processes imported PyTorch.
    pub processes: usize,
}

/// What was recorded of it, over all its processes.
#[derive(Debug, Default, Serialize)]
pub struct Recorded {
    /// Most iterations of a process.
    pub iterations: u32,
    /// Most steps of one.
    pub steps: u32,
    /// Calls of Python functions.
    pub calls: u64,
    /// Variables.
    pub variables: u64,
    /// Ops, autograd nodes and user scopes.
    pub ops: u64,
    /// Functions that were no longer recorded after many calls.
    pub thinned: Vec<Thinned>,
    /// What is missing.
    pub lost: Vec<Lost>,
    /// What the agent says its own work cost.
    pub cost: Vec<Cost>,
    /// What could not be read.
    pub damage: Vec<String>,
}

/// A function that was no longer recorded.
#[derive(Debug, Serialize)]
pub struct Thinned {
    /// Its name.
    pub name: String,
    /// From this call on.
    pub after_calls: u64,
}

impl Examination {
    /// What the agent and the interpreter, asked without it, say, where the built-in training ran.
    pub fn of_probe(&mut self, facts: &Facts, folder: &Path) {
        let mut reports = self.read_reports(folder);
        let run = Run::open(&folder.join("run")).ok().map(|run| Summary::of(&run, &Reading::default()));
        if facts.torch.is_empty() {
            // That it was not imported is no wonder, and no problem of its own.
            reports.retain(|report| report.progress == Progress::Refused);
            if reports.is_empty() {
                return;
            }
        }
        self.conclude(&reports, run.as_ref(), true);
    }

    /// The same of a program, which exited with `code`.
    pub fn of_program(&mut self, command: &[OsString], code: u8, folder: &Path) {
        let reports = self.read_reports(folder);
        let run = Run::open(&folder.join("run")).ok().map(|run| Summary::of(&run, &Reading::default()));
        self.program = Some(Program {
            command: command.iter().map(|part| part.to_string_lossy().into_owned()).collect(),
            exit_code: code,
            processes: 0,
        });
        self.conclude(&reports, run.as_ref(), false);
        self.recorded = run.as_ref().map(Recorded::of);
    }

    /// What the processes said of themselves, in the order of their numbers.
    fn read_reports(&mut self, folder: &Path) -> Vec<Report> {
        let entries = fs::read_dir(folder.join("reports")).into_iter().flatten().flatten();
        let mut reports: Vec<Report> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter_map(|path| serde_json::from_reader(File::open(path).ok()?).ok())
            .collect();
        reports.sort_by_key(|report| report.pid);
        if let (Some(agent), Some(report)) = (&mut self.agent, reports.first()) {
            agent.version.clone_from(&report.agent_version);
        }
        reports
    }

    fn conclude(&mut self, reports: &[Report], run: Option<&Summary>, must_show: bool) {
        let with = |progress| -> Vec<&Report> {
            reports.iter().filter(|report| report.progress == progress).collect()
        };
        let (armed, refused, waiting) =
            (with(Progress::Armed), with(Progress::Refused), with(Progress::Waiting));
        if let Some(program) = &mut self.program {
            program.processes = armed.len();
        }
        // A helper in an old Python says nothing about the one that trains.
        let tell = if armed.is_empty() { refused } else { armed };
        if let Some(first) = tell.first().or(waiting.first()) {
            if !first.torch.is_empty() {
                self.torch.clone_from(&first.torch);
            }
            if self.python.is_none() {
                self.python = Some(Python {
                    executable: first.executable.clone(),
                    version: first.python.split(' ').next().unwrap_or_default().to_owned(),
                });
            }
        }
        if tell.is_empty() {
            self.problems.push(
                if !waiting.is_empty() {
                    "PyTorch was not imported"
                } else if !reports.is_empty() {
                    "no CPython was found in the process: its interpreter exports no symbols, or it is not Python"
                } else {
                    "the agent was not loaded: the dynamic linker passes LD_PRELOAD over in statically linked \
                     programs and in those with privileges of their own"
                }
                .to_owned(),
            );
            return;
        }
        self.hooks = hooks::list(&tell, run, must_show);
        self.problems.extend(hooks::problems(&self.hooks));
        for report in tell.iter().filter(|report| !report.trouble.is_empty()) {
            self.problems.push(format!("the recording stopped: {}", report.trouble));
        }
    }
}

impl Recorded {
    fn of(summary: &Summary) -> Recorded {
        let mut recorded = Recorded::default();
        for process in &summary.processes {
            recorded.iterations = recorded.iterations.max(process.iterations);
            recorded.steps = recorded.steps.max(process.steps);
            recorded.calls += process.functions.iter().map(|calls| calls.calls).sum::<u64>();
            recorded.variables += process.variables.len() as u64;
            recorded.ops += process.ops.iter().map(|calls| calls.calls).sum::<u64>();
            recorded.thinned.extend(process.functions.iter().filter_map(|calls| {
                Some(Thinned { name: calls.name.clone(), after_calls: calls.thinned_after? })
            }));
            for lost in &process.lost {
                recorded.lost.push(Lost { reason: lost.reason.clone(), ..*lost });
            }
            if let End::Sealed { account, .. } = &process.end {
                for cost in account {
                    match recorded.cost.iter_mut().find(|known| known.item == cost.item) {
                        Some(known) => known.value += cost.value,
                        None => recorded.cost.push(Cost { item: cost.item.clone(), value: cost.value }),
                    }
                }
            }
            recorded.damage.extend(process.damage.iter().cloned());
        }
        recorded
    }
}
