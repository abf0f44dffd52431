//! A process writes one segment after the other, from number 0: where one is missing, or does not end as one that is not the
//! last does, or one has the name of another, the reader says so once, and gives what the others hold.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{entry, event, header_of, read_all};
use traincheck_schema::run::Run;
use traincheck_schema::segment::{Ending, SegmentWriter};

const SEGMENTS: u64 = 4;

fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("host-42-{number}.tcs"))
}

/// Writes the run of a process, without the footers of some segments.
fn write(folder: &Path, without_footer: &[u64]) {
    for number in 0..SEGMENTS {
        let mut writer = SegmentWriter::create(&segment(folder, number), &header_of(number)).unwrap();
        writer.write_dictionary(&[entry(number as u32 + 1, "f")]).unwrap();
        writer.write_block(&[event(number)], &[], &[], &[]).unwrap();
        let reason = if number + 1 == SEGMENTS { "exit" } else { Ending::CONTINUED };
        if !without_footer.contains(&number) {
            writer.seal(&Ending { reason: reason.to_owned(), ..Ending::default() }).unwrap();
        }
    }
}

/// The times of the events that are read, and what is said to be wrong.
fn read(path: &Path) -> (Vec<u64>, Vec<String>) {
    let (batches, errors) = read_all(&mut Run::open(path).unwrap().processes[0].reader());
    let times = batches.iter().flat_map(|batch| &batch.events).map(|event| event.time).collect();
    (times, errors.iter().map(ToString::to_string).collect())
}

#[test]
fn whichever_it_is() {
    for missing in 0..SEGMENTS {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[]);
        let whole: Vec<u64> = (0..SEGMENTS).collect();
        assert_eq!(read(folder.path()), (whole, vec![]));
        fs::remove_file(segment(folder.path(), missing)).unwrap();
        let (times, errors) = read(folder.path());
        assert_eq!(times, (0..SEGMENTS).filter(|number| *number != missing).collect::<Vec<_>>());
        let (beside, says) = match missing {
            3 => (2, "the segment after this one is missing".to_owned()),
            _ => (missing + 1, format!("segment number {missing} is missing before this one")),
        };
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(segment(folder.path(), beside).to_str().unwrap()), "{errors:?}");
        assert!(errors[0].ends_with(&says), "{errors:?}");
    }
}

#[test]
fn and_where_the_footer_of_one_is_missing() {
    for without in 0..SEGMENTS {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[without]);
        let (times, errors) = read(folder.path());
        assert_eq!(times.len() as u64, SEGMENTS);
        // The last one may well have none: after a kill.
        let said = errors.iter().filter(|error| error.contains("no footer")).count();
        assert_eq!((said, errors.len()), if without == 3 { (0, 0) } else { (1, 1) }, "{errors:?}");
    }
}

/// Another's place is taken by a copy, or by one that was renamed.
#[test]
fn and_one_that_bears_the_number_of_another() {
    for (number, name, events) in [(3, 4, vec![0, 1, 2, 3]), (1, 2, vec![0, 1, 3])] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[]);
        fs::copy(segment(folder.path(), number), segment(folder.path(), name)).unwrap();
        let (times, errors) = read(folder.path());
        assert_eq!(times, events);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(segment(folder.path(), name).to_str().unwrap()), "{errors:?}");
        assert!(errors[0].contains(&format!("number {number}")), "{errors:?}");
    }
}

#[test]
fn but_one_that_is_given_alone_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[]);
    for number in 0..SEGMENTS {
        assert_eq!(read(&segment(folder.path(), number)), (vec![number], vec![]));
    }
}
