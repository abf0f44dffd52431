//! The ranks of the job that a run is of: which of its processes belong together.
//!
//! An elastic job that fails is started again, into the same folder: each time is an attempt, and the last one is looked at.
//! torchrun counts attempts on each node by itself, and counts there only what failed there. So what is of an earlier attempt
//! is told by the count within one launcher, and among others by the world size and by who began last.

use std::collections::BTreeMap;

use traincheck_schema::record::DictKind;
use traincheck_schema::run::{Process, ProcessReader, Run};
use traincheck_schema::segment::{Frame, ProcessHeader, SegmentReader};

use crate::words::plural;

/// A process that has made no group in so many batches of records makes none.
const MOST_BATCHES: usize = 64;
/// Launchers that give ranks to processes of one job of PyTorch's; traces before version 1.5 do not name theirs. Others start any
/// program several times: their ranks count where these make a group of processes.
const OF_JOBS: [&str; 3] = ["", "torch", "openmpi"];
/// What to do about it.
const SEVERAL_JOBS: &str = "the folder has several jobs; record each into a folder of its own";

/// What the processes of a run are to one another.
pub enum Ranks<'a> {
    /// There are no ranks, or there is one alone.
    Alone,
    /// All ranks of a job.
    Job(Attempt<'a>),
    /// They cannot be compared, in words.
    Incomparable(String),
}

/// The last attempt of a job.
#[derive(Default)]
pub struct Attempt<'a> {
    /// Its ranks, in the order of their numbers, each once.
    pub ranks: Vec<Ranked<'a>>,
    /// The how many-eth attempt it is, from 1.
    pub number: u32,
    /// How many processes of earlier ones are in the folder.
    pub earlier: usize,
    /// Ranks that several processes have which are no attempts of one job, and how many: the last one is among `ranks`.
    twice: Vec<(u32, usize)>,
}

impl<'a> Attempt<'a> {
    /// The last one of a run, however much of it was recorded.
    pub fn last_of(run: &'a Run) -> Attempt<'a> {
        Attempt::last(ranked(run))
    }

    /// Its number, if there is something of earlier ones.
    pub fn of_several(&self) -> Option<u32> {
        (self.earlier > 0).then_some(self.number)
    }

    /// What of the run is not compared, in words.
    pub fn left_out(&self) -> Option<String> {
        let number = self.of_several()?;
        Some(format!(
            "of {number} attempts of the job only the ranks of the last were compared; earlier ones have {}",
            plural(self.earlier as u64, "process"),
        ))
    }

    fn last(all: Vec<Ranked<'a>>) -> Attempt<'a> {
        let count = all.len();
        let counted = all.iter().filter_map(|one| one.header.attempt).max().unwrap_or(0);
        let newest = all.iter().max_by_key(|one| one.header.wall_ns).map(|one| one.header.clone());
        let mut launchers: BTreeMap<(String, u32), Option<u32>> = BTreeMap::new();
        for one in &all {
            let highest = launchers.entry(one.launcher()).or_default();
            *highest = (*highest).max(one.header.attempt);
        }
        let is_last = |one: &Ranked<'_>| {
            let of_its_launcher = one.header.attempt >= launchers[&one.launcher()];
            let of_all = newest.as_ref().is_none_or(|newest| {
                !is_restarted(newest, &one.header) || newest.world_size == one.header.world_size
            });
            of_its_launcher && of_all
        };
        let mut ranks: BTreeMap<u32, Vec<Ranked<'a>>> = BTreeMap::new();
        let mut times: BTreeMap<u32, u32> = BTreeMap::new();
        for one in all {
            *times.entry(one.rank).or_default() += 1;
            if is_last(&one) {
                ranks.entry(one.rank).or_default().push(one);
            }
        }
        let mut found = Attempt::default();
        for (rank, mut processes) in ranks {
            processes.sort_by_key(|one| (one.header.attempt, one.header.wall_ns));
            let Some(last) = processes.pop() else { continue };
            let others = processes.iter().filter(|one| !is_restarted(&last.header, &one.header)).count();
            if others > 0 {
                found.twice.push((rank, others + 1));
            }
            found.ranks.push(last);
        }
        let others: usize = found.twice.iter().map(|(_, times)| times - 1).sum();
        found.earlier = count - found.ranks.len() - others;
        found.number = times.into_values().max().unwrap_or(0).max(counted + 1);
        found
    }
}

/// Whether the process of one header is of an attempt that came after that of the other: their launcher has counted so, or it
/// counts attempts and has given the job a name. Of those that are called alike because they meet at one port nobody knows.
fn is_restarted(later: &ProcessHeader, earlier: &ProcessHeader) -> bool {
    let (Some(later_count), Some(earlier_count)) = (later.attempt, earlier.attempt) else { return false };
    later.job == earlier.job && (later_count > earlier_count || has_own_name(later))
}

/// Whether the job has a name that was given to it, not one made of where its ranks meet.
fn has_own_name(header: &ProcessHeader) -> bool {
    !header.job.is_empty() && !header.job.starts_with("master-")
}

impl Ranks<'_> {
    /// Those of a run.
    pub fn of(run: &Run) -> Ranks<'_> {
        let attempt = Attempt::last_of(run);
        let sizes: Vec<u32> = attempt.ranks.iter().filter_map(|one| one.world_size).collect();
        let Some(highest) = attempt.ranks.last().map(|one| one.rank) else { return Ranks::Alone };
        let size = sizes.iter().copied().max().unwrap_or(0).max(highest.saturating_add(1));
        if size < 2 {
            return Ranks::Alone;
        }
        match several_jobs(&attempt, &sizes, size)
            .or_else(|| missing(&attempt, size))
            .or_else(|| versions(&attempt))
        {
            Some(why) => Ranks::Incomparable(why),
            None => Ranks::Job(attempt),
        }
    }
}

/// By what it is seen that the processes are not all of one job.
fn several_jobs(attempt: &Attempt<'_>, sizes: &[u32], size: u32) -> Option<String> {
    if let Some((rank, times)) = attempt.twice.first() {
        return Some(format!(
            "rank {rank} was recorded {}: the folder has several jobs or attempts of one; record each into a folder \
             of its own",
            plural(*times as u64, "time"),
        ));
    }
    if sizes.iter().any(|one| *one != size) {
        return Some(format!("its processes do not agree on how many ranks there are: {SEVERAL_JOBS}"));
    }
    let named = || attempt.ranks.iter().filter(|one| has_own_name(&one.header));
    if let Some(one) =
        named().find(|one| named().next().is_some_and(|first| first.header.job != one.header.job))
    {
        return Some(format!("rank {} is of another job than others: {SEVERAL_JOBS}", one.rank));
    }
    // Clocks of several hosts may be hours apart: they tell nothing of who came first.
    let mut hosts: BTreeMap<&str, Vec<&Ranked<'_>>> = BTreeMap::new();
    attempt.ranks.iter().for_each(|one| hosts.entry(&one.process.host).or_default().push(one));
    hosts.into_values().find_map(|ranks| {
        let first = ranks.iter().filter_map(|one| Some((one.ended()?, one))).min_by_key(|(ended, _)| *ended);
        let ((ended, first), last) = first.zip(ranks.iter().max_by_key(|one| one.began()))?;
        (last.began() > ended)
            .then(|| format!("rank {} had ended when rank {} began: {SEVERAL_JOBS}", first.rank, last.rank))
    })
}

/// Which ranks of so many are not there.
fn missing(attempt: &Attempt<'_>, size: u32) -> Option<String> {
    let absent = size as usize - attempt.ranks.len();
    if absent == 0 {
        return None;
    }
    let is_there = |rank: &u32| attempt.ranks.binary_search_by_key(rank, |one| one.rank).is_ok();
    let missing: Vec<String> =
        (0..size).filter(|rank| !is_there(rank)).take(8).map(|rank| rank.to_string()).collect();
    let more = if absent > missing.len() { " and more" } else { "" };
    let (which, were) = if absent == 1 { ("rank", "was") } else { ("ranks", "were") };
    let when = attempt.of_several().map_or_else(String::new, |number| format!(" in attempt {number}"));
    Some(format!("{which} {}{more} of {size} {were} not recorded{when}", missing.join(", ")))
}

fn versions(attempt: &Attempt<'_>) -> Option<String> {
    let mut versions: Vec<&str> = attempt.ranks.iter().map(|one| one.header.agent_version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    (versions.len() > 1).then(|| {
        format!("its ranks were recorded by different versions of the agent: {}", versions.join(", "))
    })
}

/// A process that has a rank.
pub struct Ranked<'a> {
    /// Its number.
    pub rank: u32,
    /// How many there are, where that is known.
    pub world_size: Option<u32>,
    /// The process.
    pub process: &'a Process,
    /// What it says of itself.
    pub header: ProcessHeader,
}

impl Ranked<'_> {
    /// The process that started it: host, as its files call it, and process id.
    fn launcher(&self) -> (String, u32) {
        (self.header.host.clone(), self.header.parent_pid)
    }

    /// When its recording began, ns since 1970.
    fn began(&self) -> i128 {
        self.header.wall_ns.into()
    }

    /// When it ended, likewise, if it ended by itself.
    fn ended(&self) -> Option<i128> {
        let ahead = i128::from(self.header.wall_ns) - i128::from(self.header.monotonic_ns);
        Some(i128::from(self.process.ended()?) + ahead)
    }
}

/// The processes of a run that have a rank: the one that their launcher gave them, else that in the first group of processes that
/// they made, which is the one of all.
fn ranked(run: &Run) -> Vec<Ranked<'_>> {
    let alone = run.processes.len() < 2;
    let of = |process| {
        let header = header(process)?;
        let group = || first_group(process).map(|(rank, size)| (rank, Some(size).filter(|size| *size > 0)));
        let (rank, world_size) = match (header.rank, header.world_size) {
            (None, _) if alone => return None,
            (Some(rank), Some(size)) if OF_JOBS.contains(&header.launcher.as_str()) => (rank, Some(size)),
            (Some(rank), None) if OF_JOBS.contains(&header.launcher.as_str()) => {
                group().filter(|(own, _)| *own == rank).unwrap_or((rank, None))
            }
            _ => group()?,
        };
        Some(Ranked { rank, world_size, process, header })
    };
    without_helpers(run.processes.iter().filter_map(of).collect())
}

/// Without processes that ranks have started, as to evaluate in: they have the variables of their rank and no part in the job.
fn without_helpers(all: Vec<Ranked<'_>>) -> Vec<Ranked<'_>> {
    let is_twice = |one: &Ranked<'_>| all.iter().filter(|other| other.rank == one.rank).count() > 1;
    // Only of these it is worth reading.
    let in_group: Vec<bool> =
        all.iter().map(|one| is_twice(one) && first_group(one.process).is_some()).collect();
    let is_helper = |at: usize| {
        let one = &all[at];
        let of = |other: &Ranked<'_>| {
            let place = |ranked: &Ranked<'_>| (ranked.rank, ranked.header.attempt);
            place(other) == place(one)
                && other.header.host == one.header.host
                && other.header.job == one.header.job
        };
        all.iter().enumerate().any(|(other_at, other)| {
            let started = other.header.pid == one.header.parent_pid && in_group[other_at] == in_group[at];
            other_at != at && of(other) && (started || in_group[other_at] && !in_group[at])
        })
    };
    let helpers: Vec<bool> = (0..all.len()).map(is_helper).collect();
    all.into_iter().zip(helpers).filter(|(_, is_helper)| !is_helper).map(|(one, _)| one).collect()
}

/// The rank in the first group of processes that a process made, and the size of the group.
fn first_group(process: &Process) -> Option<(u32, u32)> {
    let mut reader = process.reader();
    let group = |reader: &ProcessReader| {
        let groups = reader.dictionary().iter().filter(|entry| entry.kind == DictKind::ProcessGroup as u8);
        groups.min_by_key(|entry| entry.id).map(|entry| (entry.owner, entry.line))
    };
    for _ in 0..MOST_BATCHES {
        let read = reader.next_batch();
        if let Some(found) = group(&reader) {
            return Some(found);
        }
        read?.ok()?;
    }
    None
}

/// What a process says of itself at its start; `None`: it cannot be read.
pub fn header(process: &Process) -> Option<ProcessHeader> {
    match SegmentReader::open(process.segments.first()?).ok()?.next_frame()? {
        Ok(Frame::Header(header)) => Some(*header),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use traincheck_schema::segment::{Ending, SegmentWriter};

    use super::*;

    /// Seconds, in ns.
    const S: u64 = 1_000_000_000;

    /// A process that is recorded from `began` to `ended`, in seconds; `None`: it was killed.
    fn record(folder: &Path, began: u64, ended: Option<u64>, header: &ProcessHeader) {
        let host = if header.host.is_empty() { "n" } else { &header.host };
        let header = ProcessHeader {
            host: host.into(),
            launcher: "torch".into(),
            wall_ns: 1_000 * S + began * S,
            monotonic_ns: began * S,
            ..header.clone()
        };
        let path = folder.join(format!("{host}-{}-0.tcs", header.pid));
        let writer = SegmentWriter::create(&path, &header).expect("a segment");
        if let Some(ended) = ended {
            let reason = "exit".to_owned();
            writer.seal(&Ending { reason, monotonic_ns: ended * S, account: Vec::new() }).expect("sealed");
        }
    }

    /// A rank of so many, started by this process, of this attempt.
    fn rank(rank: u32, size: u32, parent_pid: u32, attempt: Option<u32>) -> ProcessHeader {
        let pid = 1 + rank + 10 * parent_pid + 100 * attempt.unwrap_or(0);
        let (rank, world_size) = (Some(rank), Some(size));
        ProcessHeader { pid, parent_pid, rank, world_size, attempt, ..ProcessHeader::default() }
    }

    fn of_job(header: ProcessHeader, job: &str) -> ProcessHeader {
        ProcessHeader { job: job.into(), ..header }
    }

    /// `2 of [31, 32], 1 left out`: the attempt, the processes that are compared, and how many are not; or why none are.
    fn said(folder: &Path) -> String {
        let run = Run::open(folder).expect("a run");
        match Ranks::of(&run) {
            Ranks::Alone => "alone".into(),
            Ranks::Incomparable(why) => why,
            Ranks::Job(attempt) => {
                let pids: Vec<u32> = attempt.ranks.iter().map(|one| one.process.pid).collect();
                format!("{} of {pids:?}, {} left out", attempt.number, attempt.earlier)
            }
        }
    }

    fn run(processes: &[(u64, Option<u64>, ProcessHeader)]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        for (began, ended, header) in processes {
            record(folder.path(), *began, *ended, header);
        }
        said(folder.path())
    }

    #[test]
    fn a_process_that_a_rank_has_started_is_no_rank() {
        let ranks = [0, 1].map(|one| (0, Some(9), rank(one, 2, 3, None)));
        let child = ProcessHeader { pid: 77, parent_pid: 31, ..rank(0, 2, 3, None) };
        let all = [ranks[0].clone(), ranks[1].clone(), (4, Some(6), child.clone())];
        assert_eq!(run(&all), "1 of [31, 32], 0 left out");
        let stranger = ProcessHeader { parent_pid: 5, ..child };
        assert!(run(&[ranks[0].clone(), ranks[1].clone(), (4, Some(6), stranger)]).contains("several jobs"));
    }

    #[test]
    fn the_last_attempt_is_compared() {
        let attempt = |number: u32, began: u64| {
            [0, 1].map(|one| (began, Some(began + 5), rank(one, 2, 3, Some(number))))
        };
        assert_eq!(run(&attempt(0, 1)), "1 of [31, 32], 0 left out");
        let both = [attempt(0, 1), attempt(1, 10)].concat();
        assert_eq!(run(&both), "2 of [131, 132], 2 left out");
        // A rank that was killed before it had recorded anything is not replaced by its forerunner.
        assert_eq!(run(&both[..3]), "rank 1 of 2 was not recorded in attempt 2");
    }

    #[test]
    fn nodes_count_what_failed_there_only() {
        let on = |node: u32, one: u32, count: u32, began: u64| {
            let header = of_job(rank(one, 2, node, Some(count)), "torchelastic-7");
            (began, None, ProcessHeader { pid: header.pid + 1000 * began as u32, ..header })
        };
        let job = [on(1, 0, 0, 1), on(2, 1, 0, 1), on(1, 0, 1, 20), on(2, 1, 0, 20)];
        assert_eq!(run(&job), "2 of [20111, 20022], 2 left out");
        // Ranks are given out anew.
        let job = [on(1, 0, 0, 1), on(2, 1, 0, 1), on(1, 1, 1, 20), on(2, 0, 0, 20)];
        assert_eq!(run(&job), "2 of [20021, 20112], 2 left out");
    }

    #[test]
    fn a_job_that_goes_on_with_fewer_ranks_is_its_last_attempt() {
        let on = |one: u32, size: u32, began: u64| {
            let header = of_job(rank(one, size, one, Some(0)), "torchelastic-7");
            (began, None, ProcessHeader { pid: header.pid + 1000 * began as u32, ..header })
        };
        let job = [on(0, 3, 1), on(1, 3, 1), on(2, 3, 1), on(0, 2, 20), on(1, 2, 20)];
        assert_eq!(run(&job), "2 of [20001, 20012], 3 left out");
    }

    #[test]
    fn several_jobs_in_a_folder_are_not_taken_for_one() {
        let twice = [(1, Some(2), rank(0, 2, 3, None)), (3, Some(4), rank(0, 2, 4, None))];
        assert!(run(&twice).starts_with("rank 0 was recorded 2 times"), "{}", run(&twice));
        // The same port, and launchers that count attempts.
        let job = |parent| of_job(rank(0, 2, parent, Some(0)), "master-n-29500");
        assert!(
            run(&[(1, Some(2), job(3)), (3, Some(4), job(4))]).starts_with("rank 0 was recorded 2 times")
        );
        let sizes = [(1, None, rank(0, 2, 3, None)), (1, None, rank(1, 3, 3, None))];
        assert!(run(&sizes).starts_with("its processes do not agree on how many ranks there are"));
        let named = |one, job| of_job(rank(one, 2, 3, Some(0)), job);
        let other = [(1, None, named(0, "slurm-7.0")), (1, None, named(1, "slurm-8.0"))];
        assert!(run(&other).starts_with("rank 1 is of another job than others"), "{}", run(&other));
        let one_by_one = [(1, Some(5), rank(0, 2, 3, None)), (6, None, rank(1, 2, 3, None))];
        assert!(run(&one_by_one).starts_with("rank 0 had ended when rank 1 began"), "{}", run(&one_by_one));
    }

    #[test]
    fn hosts_whose_clocks_are_an_hour_apart_have_one_job() {
        let far = ProcessHeader { host: "m".into(), ..rank(1, 2, 3, None) };
        assert_eq!(
            run(&[(1, Some(5), rank(0, 2, 3, None)), (3601, Some(3605), far)]),
            "1 of [31, 32], 0 left out"
        );
    }

    #[test]
    fn ranks_that_are_missing_or_of_other_versions_are_said_to_be() {
        assert_eq!(run(&[(1, None, rank(1, 4, 3, None))]), "ranks 0, 2, 3 of 4 were not recorded");
        let version = |one, version: &str| {
            let header = rank(one, 2, 3, None);
            (1, None, ProcessHeader { agent_version: version.into(), ..header })
        };
        let versions = run(&[version(0, "1"), version(1, "2")]);
        assert_eq!(versions, "its ranks were recorded by different versions of the agent: 1, 2");
    }

    #[test]
    fn tasks_of_a_scheduler_that_make_no_group_are_no_ranks() {
        let folder = tempfile::tempdir().expect("a folder");
        for task in 0..2 {
            let header = ProcessHeader { launcher: "slurm".into(), wall_ns: 1, ..rank(task, 2, 3, None) };
            let path = folder.path().join(format!("n-{}-0.tcs", header.pid));
            SegmentWriter::create(&path, &header)
                .expect("a segment")
                .seal(&Ending::default())
                .expect("sealed");
        }
        assert_eq!(said(folder.path()), "alone");
    }
}
