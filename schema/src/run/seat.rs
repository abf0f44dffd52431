//! How ranks that nobody has told a common folder find one, and how those of another job are kept out of it.
//!
//! Each rank that looks for a folder leaves a file there, its seat: `rank-R-of-N-attempt-A-HOST-PID.open`, which is called
//! `.ended` when its process has ended. A folder whose seats are all open, of as many ranks and of the same attempt, and of
//! which none is the rank's own, is that of its job. In any other there has been another job of the same name, and the rank
//! goes to the next: `NAME.2`, `NAME.3`, ... So do the other ranks of its job, for they see the same.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::files::host;
use crate::own_file;

/// So many jobs of one name are told apart.
const MOST: u32 = 10_000;

/// A rank of a job, in one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its rank.
    pub rank: u32,
    /// How many ranks there are.
    pub world_size: u32,
    /// How many attempts came before.
    pub attempt: u32,
}

/// A seat that is taken.
#[derive(Debug)]
pub struct TakenSeat {
    path: PathBuf,
}

impl Seat {
    /// The first of `folder`, `folder.2`, `folder.3`, ... that is this rank's to record into.
    pub fn find(self, folder: &Path) -> PathBuf {
        let numbered = |number: u32| {
            let mut name = OsString::from(folder);
            if number > 1 {
                name.push(format!(".{number}"));
            }
            PathBuf::from(name)
        };
        (1..MOST).map(numbered).find(|folder| self.is_free_in(folder)).unwrap_or_else(|| folder.to_owned())
    }

    /// Whether nothing is in `folder`, or a job that lacks this rank: one that goes on, or that is started again.
    pub fn is_free_in(self, folder: &Path) -> bool {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return error.kind() == io::ErrorKind::NotFound,
        };
        let names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let seats: Vec<(Seat, bool)> = names.iter().filter_map(|name| parse(name)).collect();
        if seats.is_empty() {
            return names.is_empty();
        }
        seats.iter().all(|(seat, goes_on)| {
            let is_of_my_job = seat.rank != self.rank && seat.world_size == self.world_size && *goes_on;
            seat.attempt < self.attempt || (seat.attempt == self.attempt && is_of_my_job)
        })
    }

    /// Takes it in `folder`, which is there, for this process.
    ///
    /// # Errors
    /// If its file cannot be made.
    pub fn take(self, folder: &Path) -> io::Result<TakenSeat> {
        let Seat { rank, world_size, attempt } = self;
        let (host, pid) = (host(), std::process::id());
        let name = format!("rank-{rank}-of-{world_size}-attempt-{attempt}-{host}-{pid}.open");
        let path = folder.join(name);
        own_file::create(&path, OpenOptions::new().write(true))?;
        Ok(TakenSeat { path })
    }
}

impl TakenSeat {
    /// Says that what its process recorded has ended. Where the folder has gone nothing is to be said.
    pub fn leave(self) {
        let _ = fs::rename(&self.path, self.path.with_extension("ended"));
    }

    /// Removes it: nothing was recorded.
    pub fn give_back(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The seat of a file of this name, and whether its process goes on, as far as this machine knows.
fn parse(name: &str) -> Option<(Seat, bool)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let parts: Vec<&str> = stem.split('-').collect();
    let ["rank", rank, "of", world_size, "attempt", attempt, on, pid] = parts[..] else { return None };
    let number = |text: &str| text.parse::<u32>().ok();
    let seat = Seat { rank: number(rank)?, world_size: number(world_size)?, attempt: number(attempt)? };
    let is_gone = || on == host() && !Path::new("/proc").join(pid).exists();
    match extension {
        "open" => Some((seat, !is_gone())),
        "ended" => Some((seat, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(rank: u32, world_size: u32) -> Seat {
        Seat { rank, world_size, attempt: 0 }
    }

    fn name(folder: &Path) -> String {
        folder.file_name().expect("a name").to_string_lossy().into_owned()
    }

    /// Finds a folder, makes it, and takes the seat.
    fn sit(seat: Seat, folder: &Path) -> (String, TakenSeat) {
        let found = seat.find(folder);
        fs::create_dir_all(&found).expect("a folder");
        (name(&found), seat.take(&found).expect("a seat"))
    }

    #[test]
    fn ranks_of_a_job_agree_and_those_of_a_later_one_do_not_mix_with_them() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().join("job");
        let (first, zero) = sit(seat(0, 2), &folder);
        let (second, one) = sit(seat(1, 2), &folder);
        assert_eq!((first.as_str(), second.as_str()), ("job", "job"));
        // While they run a third is another job's, and so is everybody when one has ended.
        assert_eq!(name(&seat(0, 2).find(&folder)), "job.2");
        zero.leave();
        for rank in [1, 0] {
            assert_eq!(sit(seat(rank, 2), &folder).0, "job.2");
        }
        one.leave();
        assert_eq!(name(&seat(0, 2).find(&folder)), "job.3");
    }

    #[test]
    fn a_job_whose_rank_failed_early_takes_no_ranks_of_the_next() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().join("job");
        sit(seat(0, 2), &folder).1.leave();
        assert_eq!(sit(seat(1, 2), &folder).0, "job.2");
        assert_eq!(sit(seat(0, 2), &folder).0, "job.2");
        // Nor one of another size, nor a folder of something else.
        assert_eq!(name(&seat(2, 3).find(&folder)), "job.3");
        fs::create_dir(temporary.path().join("job.3")).expect("a folder");
        fs::write(temporary.path().join("job.3/n-1-0.tcs"), "").expect("a file");
        assert_eq!(name(&seat(2, 3).find(&folder)), "job.4");
    }

    #[test]
    fn a_job_that_is_started_again_stays_in_its_folder() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().join("job");
        let both = [0, 1].map(|rank| sit(seat(rank, 2), &folder).1);
        both.into_iter().for_each(TakenSeat::leave);
        let again = |rank, world_size| Seat { attempt: 1, ..seat(rank, world_size) };
        // With fewer ranks, too.
        assert_eq!(sit(again(0, 1), &folder).0, "job");
        assert_eq!(name(&again(0, 1).find(&folder)), "job.2");
        assert_eq!(name(&seat(0, 2).find(&folder)), "job.2", "it has been started again since");
    }

    #[test]
    fn a_process_that_was_killed_has_ended_as_far_as_can_be_known() {
        let temporary = tempfile::tempdir().expect("a folder");
        let open = |host: &str| {
            let file = temporary.path().join(format!("rank-0-of-2-attempt-0-{host}-4194304.open"));
            fs::write(&file, "").expect("a file");
            let is_free = seat(1, 2).is_free_in(temporary.path());
            fs::remove_file(file).expect("gone");
            is_free
        };
        assert!(!open(&host()), "no process has a number that large");
        assert!(open("elsewhere"));
    }

    #[test]
    fn a_seat_that_is_given_back_leaves_nothing() {
        let temporary = tempfile::tempdir().expect("a folder");
        seat(0, 2).take(temporary.path()).expect("a seat").give_back();
        assert_eq!(fs::read_dir(temporary.path()).expect("it").count(), 0);
    }
}
