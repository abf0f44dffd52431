//! Which ranks of a job are in which group of processes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::ProcessSummary;
use super::text::{MOST_ROWS, write_rest};

/// A group of processes of a job, as its ranks have it together.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct JobGroup {
    /// The name that `torch.distributed` gives it.
    pub name: String,
    /// What whoever made it says that it is for; empty: nothing.
    pub description: String,
    /// `gloo`, ...
    pub backend: String,
    /// How many ranks it has; 0: not known.
    pub size: u32,
    /// Those of them that were recorded, by their numbers in the job, in the order of the group.
    pub ranks: Vec<u32>,
}

/// The groups of these processes, each with its rank in the job, in the order in which the first that has one made it.
pub(super) fn groups<'a>(processes: impl Iterator<Item = (u32, &'a ProcessSummary)>) -> Vec<JobGroup> {
    let mut found: Vec<JobGroup> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ranks: Vec<Vec<(u32, u32)>> = Vec::new();
    for (rank, process) in processes {
        for group in &process.groups {
            let place = *places.entry(&group.name).or_insert_with(|| {
                ranks.push(Vec::new());
                found.push(JobGroup {
                    name: group.name.clone(),
                    description: group.description.clone(),
                    backend: group.backend.clone(),
                    size: group.size,
                    ranks: Vec::new(),
                });
                found.len() - 1
            });
            ranks[place].push((group.rank, rank));
        }
    }
    for (group, mut ranks) in found.iter_mut().zip(ranks) {
        ranks.sort_unstable();
        group.ranks = ranks.into_iter().map(|(_, rank)| rank).collect();
    }
    found
}

/// Writes the table.
pub(super) fn write(out: &mut impl Write, groups: &[JobGroup]) -> io::Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    let shown = &groups[..groups.len().min(MOST_ROWS)];
    let longest =
        |text: fn(&JobGroup) -> &String| shown.iter().map(|group| text(group).len()).max().unwrap_or(0);
    let (name, backend) = (longest(|group| &group.name).max(5), longest(|group| &group.backend).max(7));
    let described = longest(|group| &group.description);
    let described = if described == 0 { 0 } else { described.max(11) };
    let title = if described == 0 { "" } else { "description" };
    let gap = if described == 0 { "" } else { "  " };
    writeln!(out, "\n  {:<name$}  {title:<described$}{gap}{:<backend$}  ranks", "group", "backend")?;
    for group in shown {
        let JobGroup { name: called, description, backend: of, size, ranks } = group;
        let missing = (*size as usize).saturating_sub(ranks.len());
        let missing = if missing == 0 { String::new() } else { format!(", and {missing} not recorded") };
        writeln!(
            out,
            "  {called:<name$}  {description:<described$}{gap}{of:<backend$}  {}{missing}",
            in_words(ranks)
        )?;
    }
    write_rest(out, groups.len())
}

/// `0-3,8`; of many the first, and how many there are.
fn in_words(ranks: &[u32]) -> String {
    const MOST: usize = 8;
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &rank in ranks {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(rank) => *last = rank,
            _ => runs.push((rank, rank)),
        }
    }
    let run = |(first, last): &(u32, u32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    let words: Vec<String> = runs.iter().take(MOST).map(run).collect();
    let all = if runs.len() > MOST { format!(",... ({})", ranks.len()) } else { String::new() };
    format!("{}{all}", words.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_in_a_row_are_one_word_and_many_are_cut() {
        assert_eq!(in_words(&[0, 1, 2, 3]), "0-3");
        assert_eq!(in_words(&[0, 2]), "0,2");
        assert_eq!(in_words(&[0, 1, 4, 5, 6, u32::MAX]), "0,1,4-6,4294967295");
        assert_eq!(in_words(&[3, 2]), "3,2", "in the order of the group");
        let far = Vec::from_iter((0..64).map(|rank| 8 * rank));
        assert_eq!(in_words(&far), "0,8,16,24,32,40,48,56,... (64)");
    }
}
