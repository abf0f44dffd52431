//! The summary of one process.

use serde::Serialize;
use traincheck_analyzer::run_source::Progress;
use traincheck_schema::run::Process;
use traincheck_schema::segment::ProcessHeader;

use super::collectives::{Collectives, Group, Together};
use super::cost::{Cost, LeftOut};
use super::tally::{Calls, Look, Lost, Object, Spread, StageTime, Tally, Variable};

/// What one process did, and how it was recorded. Times are nanoseconds, sizes bytes.
#[derive(Debug, Serialize)]
pub struct ProcessSummary {
    /// Name of the machine.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Rank in its job, where one is known.
    pub rank: Option<u32>,
    /// Number of ranks, where it is known.
    pub world_size: Option<u32>,
    /// The launcher that gave it its rank; empty: none, or not known.
    pub launcher: String,
    /// Rank among those on its node, where it is known.
    pub local_rank: Option<u32>,
    /// Number of its node, from 0, where it is known.
    pub node: Option<u32>,
    /// How many attempts of its job came before, where the launcher counts them.
    pub attempt: Option<u32>,
    /// What its job is called; empty: not known.
    pub job: String,
    /// The program.
    pub executable: String,
    /// The script, or empty.
    pub script: String,
    /// Version of Python, or empty.
    pub python: String,
    /// Version of PyTorch, or empty.
    pub torch: String,
    /// Version of the agent.
    pub agent: String,
    /// Name of the profile.
    pub profile: String,
    /// When its recording began, since 1970; 0: not known.
    pub started_wall_ns: u64,
    /// When its last record was, since 1970; none: it has none, or nothing tells.
    pub last_wall_ns: Option<u64>,
    /// From its first record to its last.
    pub recorded_ns: u64,
    /// How many iterations began.
    pub iterations: u32,
    /// How many of them had a backward pass.
    pub iterations_with_backward: u32,
    /// In how many an optimizer stepped.
    pub steps: u32,
    /// In how many none did: accumulation of gradients, steps left out.
    pub micro_steps: u32,
    /// From the beginning of one iteration to that of the next; none with fewer than two.
    pub iteration_ns: Option<Spread>,
    /// Time in each stage.
    pub stages: Vec<StageTime>,
    /// Python functions, by total time.
    pub functions: Vec<Calls>,
    /// Ops, autograd nodes and user scopes of libtorch, by total time.
    pub ops: Vec<Calls>,
    /// Optimizers, schedulers, loaders, root modules, in the order of their construction.
    pub objects: Vec<Object>,
    /// Parameters, buffers, hyperparameters and the rest.
    pub variables: Vec<Variable>,
    /// Where variables were looked at.
    pub looks: Vec<Look>,
    /// Groups of processes that it belongs to, in the order in which they were made.
    pub groups: Vec<Group>,
    /// What it did together with others, and what they sent each other, by group and kind.
    pub collectives: Vec<Collectives>,
    /// How many events were read.
    pub events: u64,
    /// How many states.
    pub states: u64,
    /// How many arguments and results.
    pub arguments: u64,
    /// How many records of collectives.
    pub collective_records: u64,
    /// What is missing.
    pub lost: Vec<Lost>,
    /// What was left out to keep to a budget.
    pub left_out: LeftOut,
    /// What could not be recorded, and why.
    pub hooks_off: Vec<String>,
    /// Size of the segments.
    pub bytes: u64,
    /// Of these, per iteration; none without iterations.
    pub bytes_per_iteration: Option<f64>,
    /// Per call of a Python function; none without calls.
    pub bytes_per_call: Option<f64>,
    /// How its trace ended.
    pub end: End,
    /// What could not be read, one line each; the rest was.
    pub damage: Vec<String>,
}

/// How the trace of a process ended.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum End {
    /// Closed by the agent.
    Sealed {
        /// Why: `exit`, ...
        reason: String,
        /// What stopped the recording while the process went on; none: nothing did.
        stopped: Option<String>,
        /// What the agent says its own work cost.
        account: Vec<Cost>,
    },
    /// Not closed: the process was killed, or is running yet.
    Torn {
        /// Bytes of a frame that was being written.
        bytes_after_last_frame: u64,
        /// Events that were found in the rings of the process.
        events_recovered: u64,
        /// States that were.
        states_recovered: u64,
        /// Arguments and results that were.
        arguments_recovered: u64,
        /// Records of collectives that were.
        collectives_recovered: u64,
        /// Rings that were in the memory of its machine, and cannot be read here.
        rings_elsewhere: u64,
    },
}

impl ProcessSummary {
    /// Reads the trace of the process.
    pub fn of(process: &Process, progress: &Progress) -> ProcessSummary {
        let mut reader = process.reader();
        let mut tally = Tally::default();
        let mut damage = Vec::new();
        let mut told = 0;
        while let Some(batch) = reader.next_batch() {
            let read = reader.bytes_read();
            progress.advance(read.saturating_sub(std::mem::replace(&mut told, read)));
            match batch {
                Ok(batch) => tally.add(&batch, reader.dictionary()),
                Err(error) => damage.push(error.to_string()),
            }
        }
        let end = match (reader.ending(), reader.torn()) {
            (Some(ending), _) => End::Sealed {
                reason: ending.reason.clone(),
                stopped: ending.stopped().map(str::to_owned),
                account: ending
                    .account
                    .iter()
                    .map(|(item, value)| Cost { item: item.clone(), value: *value })
                    .collect(),
            },
            (None, torn) => {
                let torn = torn.cloned().unwrap_or_default();
                End::Torn {
                    bytes_after_last_frame: torn.bytes_after_last_frame,
                    events_recovered: torn.events_recovered,
                    states_recovered: torn.states_recovered,
                    arguments_recovered: torn.arguments_recovered,
                    collectives_recovered: torn.collectives_recovered,
                    rings_elsewhere: torn.rings_elsewhere,
                }
            }
        };
        let bytes = process.size();
        let header = reader.header().cloned().unwrap_or_else(|| ProcessHeader {
            host: process.host.clone(),
            pid: process.pid,
            ..ProcessHeader::default()
        });
        let dictionary = reader.dictionary();
        let calls = tally.calls();
        let per = |count: u64| (count > 0).then(|| bytes as f64 / count as f64);
        ProcessSummary {
            host: process.host.clone(),
            pid: process.pid,
            rank: header.rank,
            world_size: header.world_size,
            launcher: header.launcher,
            local_rank: header.local_rank,
            node: header.node,
            attempt: header.attempt,
            job: header.job,
            executable: header.executable,
            script: header.script,
            python: header.python_version,
            torch: header.torch_version,
            agent: header.agent_version,
            profile: header.profile,
            started_wall_ns: header.wall_ns,
            last_wall_ns: tally
                .last()
                .filter(|_| header.wall_ns > 0)
                .map(|last| header.wall_ns.saturating_add(last.saturating_sub(header.monotonic_ns))),
            recorded_ns: tally.recorded_ns(),
            iterations: tally.iterations(),
            iterations_with_backward: tally.iterations_with_backward(),
            steps: tally.steps(),
            micro_steps: tally.iterations().saturating_sub(tally.steps()),
            iteration_ns: tally.iteration_ns(),
            stages: tally.stages(),
            functions: tally.functions(dictionary),
            ops: tally.ops(dictionary),
            objects: tally.objects(dictionary),
            variables: tally.variables(dictionary),
            looks: tally.looks(dictionary),
            events: tally.events(),
            states: tally.states(),
            arguments: tally.arguments(),
            collective_records: tally.together.records(),
            collectives: tally.together.collectives(dictionary),
            groups: Together::groups(dictionary),
            left_out: tally.left_out,
            hooks_off: tally.hooks_off(dictionary),
            lost: tally.take_lost(),
            bytes,
            bytes_per_iteration: per(u64::from(tally.iterations())),
            bytes_per_call: per(calls),
            end,
            damage,
        }
    }
}
