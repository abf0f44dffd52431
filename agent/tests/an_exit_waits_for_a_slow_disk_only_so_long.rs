//! A disk that takes its time is no reason to hold a job that has ended; and what does not get into the segment is in the
//! rings.

mod common;

use common::{event, files, info, inner, is_inner, read};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use traincheck::sink;

/// How many threads record, and how much each; all of it fits into the rings.
const THREADS: u64 = 4;
const EACH: u64 = 60_000;
/// How long the disk takes for each write, and how many of those an exit may wait for: it was some 40 for that of the
/// interpreter, and as many for that of the process.
const TIME: Duration = Duration::from_millis(250);
const MOST_WRITES: u32 = 12;

static IS_SLOW: AtomicBool = AtomicBool::new(false);
static WRITES: AtomicU32 = AtomicU32::new(0);

/// In the place of the C library's: slow on the thread of the writer.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: i32, bytes: *const libc::c_void, count: usize) -> isize {
    if IS_SLOW.load(Ordering::Relaxed) && is_writer() {
        std::thread::sleep(TIME);
        WRITES.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: as the caller says.
    unsafe { libc::syscall(libc::SYS_write, file, bytes, count) as isize }
}

fn is_writer() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: so long is the name of a thread at most.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name.starts_with(b"traincheck\0")
}

#[test]
fn and_loses_nothing() {
    if is_inner() {
        assert!(sink::start(info()));
        IS_SLOW.store(true, Ordering::Relaxed);
        let all = Barrier::new(THREADS as usize);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    (0..EACH).for_each(|sequence| sink::emit(&event(sequence)));
                    all.wait();
                });
            }
        });
        let before = WRITES.load(Ordering::Relaxed);
        sink::seal("the interpreter ends");
        sink::seal("the process ends");
        let waited_for = WRITES.load(Ordering::Relaxed) - before;
        assert!(waited_for <= MOST_WRITES, "the exit waited for {waited_for} writes");
        assert!(waited_for > 0, "the disk was not slow");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = inner("and_loses_nothing", folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(files(folder.path()).iter().any(|name| name.ends_with(".ring")), "all was written in time");
    let found = read(folder.path());
    assert_eq!((found.count() as u64, found.dropped), (THREADS * EACH, vec![]));
    for events in found.events.values() {
        assert!(events.iter().map(|event| event.value).eq(0..EACH));
    }
}
