//! Which groups there are, and which collectives are under way.

use super::contents::Written;
use crate::base::hash::FastMap;
use crate::sink;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;
use std::sync::{Mutex, MutexGuard, PoisonError};
use traincheck_schema::record::{Collective, CollectiveKind, DictEntry, DictKind};

/// More handles are not followed: those of collectives that are never waited for stay until their memory is used again.
const MOST_WORKS: usize = 1 << 16;
/// So many threads can be issuing something at a time.
const MOST_ISSUING: usize = 64;
/// `OpType::UNKNOWN`: a handle that only stands for others, and never ends by itself.
const STANDS_FOR_OTHERS: u8 = 100;

/// A group of processes, as one backend has it.
#[derive(Default)]
struct Group {
    /// Its dictionary id; 0: it has none yet.
    entry: u32,
    rank: u32,
    size: u32,
    /// Until it has an entry: what it is called.
    name: String,
    /// As the how many-eth of all it was made.
    place: u64,
    /// The thread that made it, until it has its name.
    made_by: libc::pid_t,
    /// The thread that has named it, until it has its description.
    named_by: libc::pid_t,
    /// How many collectives, and how many messages, were issued.
    collectives: u32,
    messages: u32,
    /// How many messages were issued of a kind, to or from a peer, with a tag. Where some came from whoever has sent one, no others
    /// of the same tag are counted.
    between: FastMap<(u8, i32, i32), u32>,
}

/// How often the process has made its first group, which it does again behind `destroy_process_group`: names begin anew then.
struct Lives {
    first: String,
    count: u32,
}

impl Lives {
    /// What a group is called that c10d calls `name`: from the second time on with the how many-eth it is.
    fn name(&mut self, name: &str) -> String {
        if self.count == 0 {
            name.clone_into(&mut self.first);
        }
        self.count += u32::from(name == self.first);
        if self.count > 1 { format!("{name} ({})", self.count) } else { name.to_owned() }
    }
}

/// What a handle is for.
#[derive(Clone, Copy)]
struct Work {
    record: Collective,
    ended: bool,
    waited: bool,
    future_taken: bool,
    /// It ends by itself.
    counts: bool,
}

/// Everything, by addresses that are used again: whatever begins to live at one comes first past here.
struct Progress {
    groups: FastMap<usize, Group>,
    lives: Lives,
    works: FastMap<usize, Work>,
    /// Of collectives, by number: how many of their handles have not ended.
    open: FastMap<u64, u32>,
    /// Of collectives, by number: what is to be looked at when they have ended.
    written: FastMap<u64, Written>,
    /// How many groups were made, and how many collectives were issued.
    made: u64,
    issued: u64,
    /// What was issued last by any thread, with the address of its group.
    last: Vec<(usize, Collective)>,
    /// Handles are known to be seen.
    has_works: bool,
}

/// No lock is held across a fork: in the child it is never taken, for nothing is recorded there.
static PROGRESS: Mutex<Progress> = Mutex::new(Progress {
    groups: FastMap::with_hasher(BuildHasherDefault::new()),
    lives: Lives { first: String::new(), count: 0 },
    works: FastMap::with_hasher(BuildHasherDefault::new()),
    open: FastMap::with_hasher(BuildHasherDefault::new()),
    written: FastMap::with_hasher(BuildHasherDefault::new()),
    made: 0,
    issued: 0,
    last: Vec::new(),
    has_works: false,
});

fn progress() -> MutexGuard<'static, Progress> {
    PROGRESS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A group is being made at `address`.
pub fn group_made(address: usize, rank: usize, size: usize) {
    // Both are passed as 32 bits: what is above is nobody's.
    let number = |passed: usize| u32::try_from(passed as i32).unwrap_or(0);
    let mut progress = progress();
    progress.made += 1;
    let group = Group {
        place: progress.made,
        rank: number(rank),
        size: number(size),
        made_by: this_thread(),
        ..Group::default()
    };
    progress.groups.insert(address, group);
}

/// The groups that this thread has made since it named one the last time are called `name`. Several are those of several
/// backends, or one that a debugging aid has made beside. A description comes next, or does not.
pub fn group_named(name: &str, is_described_next: bool) {
    let thread = this_thread();
    let mut progress = progress();
    if !progress.groups.values().any(|group| group.made_by == thread) {
        return;
    }
    let name = progress.lives.name(name);
    let made = progress.groups_where(|group| group.made_by == thread);
    for (number, group) in (1..).zip(made) {
        group.name = if number == 1 { name.clone() } else { format!("{name}#{number}") };
        (group.made_by, group.named_by) = (0, thread);
        if !is_described_next {
            group.define("");
        }
    }
}

/// The groups that this thread has named last are described so.
pub fn group_described(description: &str) {
    let thread = this_thread();
    for group in progress().groups_where(|group| group.named_by == thread && group.entry == 0) {
        group.define(description);
    }
}

impl Group {
    /// As the how many-eth it is issued of those between the same two with the same tag; 0: not known.
    fn message(&mut self, record: &Collective) -> u32 {
        let from_any = (CollectiveKind::RecvAnySource as u8, -1, record.tag);
        if record.op == from_any.0 {
            self.between.insert(from_any, 0);
            return 0;
        }
        if record.op == CollectiveKind::Recv as u8 && self.between.contains_key(&from_any) {
            return 0;
        }
        let count = self.between.entry((record.op, record.peer, record.tag)).or_default();
        *count = count.wrapping_add(1);
        *count
    }

    fn define(&mut self, description: &str) {
        (self.made_by, self.named_by) = (0, 0);
        self.entry = sink::define(DictEntry {
            kind: DictKind::ProcessGroup as u8,
            text: std::mem::take(&mut self.name),
            file: description.to_owned(),
            type_name: "gloo".to_owned(),
            owner: self.rank,
            line: self.size,
            ..DictEntry::default()
        });
    }
}

/// A collective is issued on the group at `address`, and is to be looked at when it has ended: gives it its numbers.
pub fn issued(address: usize, is_message: bool, record: &mut Collective, written: Option<Written>) {
    let mut progress = progress();
    let progress = &mut *progress;
    progress.issued += 1;
    record.number = progress.issued;
    if let Some(written) = written {
        progress.written.insert(record.number, written);
    }
    let group = progress.groups.entry(address).or_default();
    if group.entry == 0 {
        // Used before it was named or described, or made before anybody looked.
        group.define("");
    }
    let count = if is_message { &mut group.messages } else { &mut group.collectives };
    *count = count.wrapping_add(1);
    record.sequence = *count;
    record.group = group.entry;
    record.message = if is_message { group.message(record) } else { 0 };
    if progress.last.len() >= MOST_ISSUING {
        progress.last.remove(0);
    }
    progress.last.push((address, *record));
}

/// The collective with this number, if it was issued lately.
pub fn last(number: u64) -> Option<Collective> {
    progress().find(number).map(|(_, record)| record)
}

/// The backend has refused the collective with this number: others of the group have no part in it, and its place goes to the
/// next one. `None`: it is not known whether it has.
pub fn never_begun(number: u64) -> Option<Collective> {
    let mut progress = progress();
    let (address, record) = progress.find(number).filter(|_| progress.has_works)?;
    if record.op == CollectiveKind::MonitoredBarrier as u8 {
        // In a group of one it has nothing to do.
        return None;
    }
    if let Some(group) = progress.groups.get_mut(&address) {
        let is_message = CollectiveKind::try_from(record.op).is_ok_and(CollectiveKind::is_point_to_point);
        let count = if is_message { &mut group.messages } else { &mut group.collectives };
        if *count == record.sequence {
            *count = count.wrapping_sub(1);
        }
        if let Some(count) = group.between.get_mut(&(record.op, record.peer, record.tag))
            && is_message
            && *count == record.message
        {
            *count = count.wrapping_sub(1);
        }
    }
    progress.written.remove(&number);
    Some(record)
}

/// A handle is being made at `address`, for a collective or for something else.
pub fn work_made(address: usize, op_type: u8, of: Option<&Collective>) {
    let mut progress = progress();
    let progress = &mut *progress;
    // Whatever was there before is gone.
    if let Entry::Occupied(before) = progress.works.entry(address) {
        let before = before.remove();
        if before.counts && !before.ended && progress.end(before.record.number) {
            progress.written.remove(&before.record.number);
        }
    }
    let Some(record) = of else { return };
    progress.has_works = true;
    if progress.works.len() >= MOST_WORKS {
        let oldest = record.number.saturating_sub(MOST_WORKS as u64 / 2);
        progress.works.retain(|_, work| work.record.number >= oldest);
        progress.open.retain(|number, _| *number >= oldest);
        progress.written.retain(|number, _| *number >= oldest);
    }
    let counts = op_type != STANDS_FOR_OTHERS;
    if counts {
        *progress.open.entry(record.number).or_default() += 1;
    }
    progress
        .works
        .insert(address, Work { record: *record, ended: false, waited: false, future_taken: false, counts });
}

impl Progress {
    /// Those groups, in the order in which they were made.
    fn groups_where(&mut self, is_one: impl Fn(&Group) -> bool) -> Vec<&mut Group> {
        let mut found: Vec<&mut Group> = self.groups.values_mut().filter(|group| is_one(group)).collect();
        found.sort_by_key(|group| group.place);
        found
    }

    fn find(&self, number: u64) -> Option<(usize, Collective)> {
        self.last.iter().rev().find(|(_, record)| record.number == number).copied()
    }

    /// A handle of this collective has ended. Whether that was the last.
    fn end(&mut self, number: u64) -> bool {
        let Entry::Occupied(mut open) = self.open.entry(number) else { return false };
        *open.get_mut() = open.get().saturating_sub(1);
        let is_last = *open.get() == 0;
        if is_last {
            open.remove();
        }
        is_last
    }
}

/// The handle at `address` ends. Gives the collective, if all of it has ended so, or if it has failed, and what is to be looked at
/// then.
pub fn work_ended(address: usize, failed: bool) -> Option<(Collective, Option<Written>)> {
    let mut progress = progress();
    let progress = &mut *progress;
    let work = progress.works.get_mut(&address)?;
    if work.ended {
        return None;
    }
    work.ended = true;
    let Work { record, waited, counts, .. } = *work;
    if waited {
        progress.works.remove(&address);
    }
    let all = counts && progress.end(record.number);
    (all || failed).then(|| (record, progress.written.remove(&record.number)))
}

/// Somebody waits for the handle at `address`. Gives the collective, the first time.
pub fn work_waited(address: usize) -> Option<Collective> {
    let mut progress = progress();
    let work = progress.works.get_mut(&address)?;
    if std::mem::replace(&mut work.waited, true) {
        return None;
    }
    let Work { record, ended, .. } = *work;
    if ended {
        progress.works.remove(&address);
    }
    Some(record)
}

/// Somebody takes the future of the handle at `address`. Gives the collective, the first time.
pub fn future_taken(address: usize) -> Option<Collective> {
    let mut progress = progress();
    let work = progress.works.get_mut(&address)?;
    (!std::mem::replace(&mut work.future_taken, true)).then_some(work.record)
}

fn this_thread() -> libc::pid_t {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::gettid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Collective {
        Collective { number, ..Collective::EMPTY }
    }

    fn ended(address: usize, failed: bool) -> Option<Collective> {
        work_ended(address, failed).map(|(record, _)| record)
    }

    // The tests share the one progress of the process: addresses and numbers of each are its own.

    #[test]
    fn collectives_and_messages_of_a_group_are_counted_apart() {
        let mut records = [record(0); 4];
        for (record, (group, is_message)) in
            records.iter_mut().zip([(0x1000, false), (0x1000, true), (0x1000, false), (0x2000, false)])
        {
            issued(group, is_message, record, None);
        }
        assert_eq!(records.map(|record| record.sequence), [1, 1, 2, 1]);
        assert!(records.is_sorted_by_key(|record| record.number));
    }

    #[test]
    fn groups_are_told_from_those_before_all_were_destroyed() {
        let mut lives = Lives { first: String::new(), count: 0 };
        let names = ["0", "1", "7", "0", "1", "0"].map(|name| lives.name(name));
        assert_eq!(names, ["0", "1", "7", "0 (2)", "1 (2)", "0 (3)"]);
    }

    #[test]
    fn the_place_of_one_that_has_not_begun_goes_to_the_next() {
        work_made(0x60, 1, Some(&record(5 << 40)));
        let [mut first, mut second] = [record(0); 2];
        issued(0x3000, false, &mut first, None);
        assert_eq!(never_begun(first.number), Some(first));
        issued(0x3000, false, &mut second, None);
        assert_eq!((first.sequence, second.sequence), (1, 1));
        assert!(second.number > first.number);
    }

    #[test]
    fn a_collective_of_several_handles_ends_with_the_last() {
        work_made(0x10, 1, Some(&record(1 << 40)));
        work_made(0x20, 1, Some(&record(1 << 40)));
        // One that stands for the others.
        work_made(0x30, STANDS_FOR_OTHERS, Some(&record(1 << 40)));
        assert_eq!(ended(0x10, false), None);
        assert_eq!(ended(0x10, false), None, "it has ended");
        assert_eq!((future_taken(0x10), future_taken(0x10)), (Some(record(1 << 40)), None));
        assert_eq!(ended(0x20, false), Some(record(1 << 40)));
        assert_eq!(work_waited(0x20), Some(record(1 << 40)));
        assert_eq!(work_waited(0x20), None);
    }

    #[test]
    fn what_was_at_an_address_before_is_forgotten() {
        work_made(0x40, 1, Some(&record(2 << 40)));
        work_made(0x40, 1, Some(&record(3 << 40)));
        assert_eq!(ended(0x40, true), Some(record(3 << 40)));
        work_made(0x50, 1, Some(&record(4 << 40)));
        work_made(0x50, 1, None);
        assert_eq!((ended(0x50, false), work_waited(0x50)), (None, None));
    }
}
