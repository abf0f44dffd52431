//! The job that the processes of a run are of: a row for each rank in each attempt, and one for each group of processes.

use std::io::{self, Write};

use serde::Serialize;

use super::members::{self, JobGroup};
use super::text::{MOST_ROWS, time, write_rest};
use super::{End, ProcessSummary};

/// A job of several ranks.
#[derive(Debug, Serialize)]
pub struct Job {
    /// What it is called; empty: not known.
    pub name: String,
    /// Who started its ranks; empty: not known.
    pub launcher: String,
    /// By attempt and rank.
    pub ranks: Vec<Rank>,
    /// The groups of processes of the last attempt.
    pub groups: Vec<JobGroup>,
}

/// One rank in one attempt.
#[derive(Debug, Serialize)]
pub struct Rank {
    /// The attempt, from 1; none where the launcher does not count them.
    pub attempt: Option<u32>,
    /// Its number.
    pub rank: u32,
    /// Its number among those on its node, where it is known.
    pub local_rank: Option<u32>,
    /// The number of its node, from 0, where it is known.
    pub node: Option<u32>,
    /// Name of its machine.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// The groups of processes that it is in.
    pub groups: Vec<String>,
    /// How many steps it made.
    pub steps: u32,
    /// How long before the last record of all ranks its own last one was, by the clocks of their machines, ns; none without
    /// records.
    pub before_last_ns: Option<u64>,
    /// How many records were lost.
    pub lost: u64,
    /// Whether it was killed, or is running yet.
    pub torn: bool,
}

impl Job {
    /// Of these processes; none where not several of them have a rank.
    pub fn of(processes: &[ProcessSummary]) -> Option<Job> {
        let last = processes.iter().filter_map(|process| process.last_wall_ns).max();
        // Where no launcher has said so, the group of all tells.
        let number =
            |process: &ProcessSummary| process.rank.or(process.groups.first().map(|group| group.rank));
        let rank = |process: &ProcessSummary| {
            Some(Rank {
                attempt: process.attempt.map(|before| before.saturating_add(1)),
                rank: number(process)?,
                local_rank: process.local_rank,
                node: process.node,
                host: process.host.clone(),
                pid: process.pid,
                groups: process.groups.iter().map(|group| group.name.clone()).collect(),
                steps: process.steps,
                before_last_ns: last.zip(process.last_wall_ns).map(|(last, own)| last - own),
                lost: process.lost.iter().map(|lost| lost.count).sum(),
                torn: matches!(process.end, End::Torn { .. }),
            })
        };
        let mut ranks: Vec<Rank> = processes.iter().filter_map(rank).collect();
        if ranks.len() < 2 {
            return None;
        }
        ranks.sort_by(|a, b| (a.attempt, a.rank, &a.host, a.pid).cmp(&(b.attempt, b.rank, &b.host, b.pid)));
        let said = |text: fn(&ProcessSummary) -> &String| {
            let mut texts = processes.iter().map(text).filter(|text| !text.is_empty());
            texts.next().cloned().unwrap_or_default()
        };
        let attempt = processes.iter().filter_map(|process| process.attempt).max();
        let of_last = processes.iter().filter(|process| process.attempt == attempt);
        let groups = members::groups(of_last.filter_map(|process| Some((number(process)?, process))));
        Some(Job {
            name: said(|process| &process.job),
            launcher: said(|process| &process.launcher),
            ranks,
            groups,
        })
    }
}

/// Writes the table.
pub(super) fn write(out: &mut impl Write, job: &Job) -> io::Result<()> {
    let of = [&job.name, &job.launcher].into_iter().filter(|text| !text.is_empty());
    let of: Vec<&str> = of.map(String::as_str).collect();
    let of = if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) };
    writeln!(out, "\njob{of}")?;
    let shown = &job.ranks[..job.ranks.len().min(MOST_ROWS)];
    let groups: Vec<String> = shown.iter().map(|rank| groups(&rank.groups)).collect();
    let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let host = longest(&mut shown.iter().map(|rank| rank.host.len())).max(4);
    let group = longest(&mut groups.iter().map(String::len)).max(6);
    writeln!(
        out,
        "  {:>7} {:>6}  {:<host$} {:>8}  {:<group$} {:>8} {:>14} {:>8}  end",
        "attempt", "rank", "host", "pid", "groups", "steps", "last record", "lost"
    )?;
    for (rank, groups) in shown.iter().zip(&groups) {
        let attempt = rank.attempt.map_or_else(|| "-".to_owned(), |attempt| attempt.to_string());
        let last = match rank.before_last_ns {
            None => "-".to_owned(),
            Some(0) => "the last".to_owned(),
            Some(before) => format!("-{}", time(before)),
        };
        writeln!(
            out,
            "  {attempt:>7} {:>6}  {:<host$} {:>8}  {groups:<group$} {:>8} {last:>14} {:>8}  {}",
            rank.rank,
            rank.host,
            rank.pid,
            rank.steps,
            rank.lost,
            if rank.torn { "torn" } else { "sealed" },
        )?;
    }
    write_rest(out, job.ranks.len())?;
    members::write(out, &job.groups)
}

/// The names of groups, or how many there are.
fn groups(names: &[String]) -> String {
    const MOST: usize = 3;
    match names.len() {
        0 => "-".to_owned(),
        1..=MOST => names.join(","),
        many => format!("{many} groups"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use traincheck_analyzer::run_source::Progress;
    use traincheck_schema::record::{DictEntry, DictKind, Event, EventKind};
    use traincheck_schema::run::Run;
    use traincheck_schema::segment::{
        DropReason, Dropped, Ending, ProcessHeader, RingPosition, SegmentWriter,
    };

    use crate::inspect::{Summary, text};

    /// Seconds, in ns.
    const S: u64 = 1_000_000_000;

    /// A rank whose last record comes so many seconds after its first.
    fn record(folder: &Path, header: &ProcessHeader, steps: u32, seconds: u64, is_sealed: bool) {
        let path = folder.join(format!("{}-{}-0.tcs", header.host, header.pid));
        let mut writer = SegmentWriter::create(&path, header).expect("a segment");
        let group = |id: u32, name: &str| DictEntry {
            id,
            kind: DictKind::ProcessGroup as u8,
            text: name.into(),
            type_name: "gloo".into(),
            owner: header.rank.unwrap_or(0),
            line: 2,
            ..DictEntry::default()
        };
        writer.write_dictionary(&[group(1, "0"), group(2, "1")]).expect("written");
        let kind = EventKind::Iteration as u8;
        let event = |time, step| Event { kind, time, step, iteration: step, ..Event::EMPTY };
        let events = [event(header.monotonic_ns, 0), event(header.monotonic_ns + seconds * S, steps)];
        let lost = [Dropped { ring: 0, count: 7, reason: DropReason::RingFull }];
        let positions = [RingPosition { ring: 0, position: 64 }];
        writer.write_block(&events, &[], if is_sealed { &[] } else { &lost }, &positions).expect("written");
        if is_sealed {
            writer.seal(&Ending { reason: "exit".into(), ..Ending::default() }).expect("sealed");
        }
    }

    fn header(host: &str, pid: u32, rank: u32, attempt: u32) -> ProcessHeader {
        ProcessHeader {
            host: host.into(),
            pid,
            rank: Some(rank),
            world_size: Some(2),
            launcher: "torch".into(),
            local_rank: Some(0),
            node: Some(rank),
            attempt: Some(attempt),
            job: "torchelastic-exp-7".into(),
            // The clocks of machines since their start have nothing to do with one another.
            monotonic_ns: u64::from(pid) * 1_000 * S,
            wall_ns: 1_700_000_000 * S + u64::from(attempt) * 60 * S,
            ..ProcessHeader::default()
        }
    }

    fn shown(folder: &Path) -> (String, serde_json::Value) {
        let run = Run::open(folder).expect("a run");
        let summary = Summary::of(&run, &Progress::default());
        let mut written = Vec::new();
        text::write(&mut written, &summary).expect("written");
        let text = String::from_utf8(written).expect("text");
        (text, serde_json::to_value(&summary.job).expect("JSON"))
    }

    #[test]
    fn ranks_of_all_attempts_are_in_one_table() {
        let temporary = tempfile::tempdir().expect("a folder");
        for (host, pid, rank, attempt, steps, seconds, is_sealed) in [
            ("node1", 31, 0, 0, 3, 4, true),
            ("node1", 47, 0, 1, 12, 30, true),
            ("node2-long", 9, 1, 0, 3, 5, false),
            ("node2-long", 40, 1, 1, 11, 27, true),
        ] {
            record(temporary.path(), &header(host, pid, rank, attempt), steps, seconds, is_sealed);
        }
        let (text, json) = shown(temporary.path());
        let group = |name: &str| serde_json::json!({ "name": name, "description": "", "backend": "gloo", "size": 2, "ranks": [0, 1] });
        assert_eq!(json["groups"], serde_json::json!([group("0"), group("1")]), "of the last attempt");
        assert!(text.contains("\n  group  backend  ranks\n  0      gloo     0,1\n"), "{text}");
        let table: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("job")).take(6).collect();
        insta::assert_snapshot!(table.join("\n"));
        insta::assert_json_snapshot!(json["ranks"][1]);
    }

    #[test]
    fn a_process_alone_has_no_table() {
        let temporary = tempfile::tempdir().expect("a folder");
        record(temporary.path(), &header("node1", 31, 0, 0), 3, 4, true);
        let (text, json) = shown(temporary.path());
        assert!(!text.contains("\njob") && json.is_null(), "{text}");
    }
}
