//! No folder, no space, no permission, no memory: the job does not notice.

mod common;

use common::{event, files, info, is_inner, read, run_inner, state};
use std::ffi::CString;
use std::path::Path;
use std::time::{Duration, Instant};
use traincheck::sink;
use traincheck_schema::segment::DropReason;
use traincheck_tests::left_out_by_this_machine;

/// Emits until the capture has stopped; what takes minutes never does.
fn emit_until_it_stops() {
    let begun = Instant::now();
    let mut sequence = 0;
    while !sink::is_inert() {
        for _ in 0..2_000 {
            sequence += 1;
            sink::emit(&event(sequence));
            sink::emit_state(&state(sequence.wrapping_mul(0x2545_f491_4f6c_dd1d)));
        }
        std::thread::sleep(Duration::from_millis(2));
        assert!(begun.elapsed() < Duration::from_secs(300), "the capture goes on");
    }
    // Goes on as if nothing were the matter.
    (0..10_000).for_each(|i| sink::emit(&event(i)));
    sink::text("later");
    sink::seal("exit");
}

/// The inner process has written nothing that it was not asked for.
fn assert_silent(output: &std::process::Output) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_folder_that_cannot_be_made() {
    if is_inner() {
        assert!(!sink::start(info()));
        assert!(sink::is_inert());
        assert!(sink::trouble().unwrap().contains("cannot make the run folder"), "{:?}", sink::trouble());
        sink::emit(&event(0));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert_silent(&run_inner("a_folder_that_cannot_be_made", &folder.path().join("file/run")));
}

#[test]
fn a_folder_that_is_read_only() {
    if is_inner() {
        // Root may write everywhere; nobody may not.
        // SAFETY: changes the user of this process, which is a test of its own.
        unsafe { libc::setresuid(65534, 65534, 65534) };
        assert!(!sink::start(info()));
        assert!(sink::trouble().is_some());
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let permit = |path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    permit(folder.path(), 0o755);
    permit(&run, 0o555);
    assert_silent(&run_inner("a_folder_that_is_read_only", &run));
    assert_eq!(files(&run), [""; 0]);
}

#[test]
fn a_folder_that_is_removed() {
    if is_inner() {
        assert!(sink::start(info()));
        sink::emit(&event(0));
        std::fs::remove_dir_all(std::env::var("TRAINCHECK_RUN_DIR").unwrap()).unwrap();
        emit_until_it_stops();
        assert_eq!(sink::trouble(), Some("the run folder was removed"));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    assert_silent(&run_inner("a_folder_that_is_removed", &folder.path().join("run")));
    assert_eq!(files(folder.path()), [""; 0], "it is not made again");
}

#[test]
fn a_limit_on_the_size_of_files_that_the_segment_reaches() {
    if is_inner() {
        // SAFETY: the default action for SIGXFSZ is to end the process, which is what this is about.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
        limit_files(5 << 20);
        assert!(sink::start(info()));
        emit_until_it_stops();
        assert!(sink::trouble().unwrap().contains("cannot write to segment"), "{:?}", sink::trouble());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    assert_silent(&run_inner("a_limit_on_the_size_of_files_that_the_segment_reaches", folder.path()));
    let found = read(folder.path());
    assert!(found.count() > 1_000);
}

#[test]
fn a_limit_on_the_size_of_files_below_that_of_a_ring() {
    if is_inner() {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
        limit_files(1 << 20);
        assert!(sink::start(info()));
        (0..1_000).for_each(|i| sink::emit(&event(i)));
        std::thread::spawn(|| (0..1_000).for_each(|i| sink::emit(&event(i)))).join().unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    assert_silent(&run_inner("a_limit_on_the_size_of_files_below_that_of_a_ring", folder.path()));
    let found = read(folder.path());
    assert_eq!((found.count(), found.dropped), (2_000, vec![]));
}

#[test]
fn memory_that_is_used_up_after_the_start_takes_the_ring_from_new_threads_only() {
    if is_inner() {
        assert!(sink::start(info()));
        sink::emit(&event(0));
        let (ready, limited) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // What the thread itself needs it has.
                drop(std::hint::black_box(vec![0_u8; 1 << 14]));
                ready.wait();
                limited.wait();
                (0..77).for_each(|i| sink::emit(&event(i)));
            });
            ready.wait();
            limit(libc::RLIMIT_AS, 0);
            limited.wait();
        });
        limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        sink::emit(&event(1));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "memory_that_is_used_up_after_the_start_takes_the_ring_from_new_threads_only";
    assert_silent(&run_inner(name, folder.path()));
    let found = read(folder.path());
    assert_eq!(found.count(), 2);
    assert_eq!(found.dropped_for(DropReason::DiskFull), 77);
}

#[test]
fn a_disk_that_fills_up() {
    if is_inner() {
        assert!(sink::start(info()));
        emit_until_it_stops();
        assert!(sink::trouble().unwrap().contains("No space left"), "{:?}", sink::trouble());
        return;
    }
    let disk = match Disk::mount("size=2m") {
        Ok(disk) => disk,
        Err(why) => return left_out_by_this_machine("a_disk_that_fills_up", &why),
    };
    assert_silent(&run_inner("a_disk_that_fills_up", &disk.0.path().join("run")));
    let found = read(&disk.0.path().join("run"));
    assert!(found.count() > 100);
    let ending = found.ending.expect("a footer, for which room was kept");
    assert!(ending.stopped().is_some_and(|why| why.contains("No space left")), "{}", ending.reason);
}

#[test]
fn a_disk_without_any_room() {
    if is_inner() {
        assert!(!sink::start(info()));
        assert!(sink::trouble().unwrap().contains("No space left"), "{:?}", sink::trouble());
        emit_until_it_stops();
        return;
    }
    // Room for `run.json`.
    let disk = match Disk::mount("size=4k") {
        Ok(disk) => disk,
        Err(why) => return left_out_by_this_machine("a_disk_without_any_room", &why),
    };
    assert_silent(&run_inner("a_disk_without_any_room", &disk.0.path().join("run")));
    let left = files(&disk.0.path().join("run"));
    assert!(left.iter().all(|name| name == "run.json"), "{left:?}");
}

fn limit_files(bytes: u64) {
    limit(libc::RLIMIT_FSIZE, bytes);
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is a local.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

#[test]
fn memory_that_is_used_up() {
    if is_inner() {
        assert!(sink::start(info()));
        sink::emit(&event(0));
        let text = "a name that needs memory".repeat(100);
        limit(libc::RLIMIT_AS, 0);
        // Nothing is left that could be given out.
        let mut taken = 0;
        for size in [1 << 20, 1 << 14, 1 << 10, 1 << 6, 16] {
            // SAFETY: a plain call; it is never freed.
            while !unsafe { libc::malloc(size) }.is_null() {
                taken += size;
            }
        }
        for sequence in 0..100 {
            sink::text(&text[sequence..]);
            sink::emit(&event(1));
        }
        limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        assert!(sink::is_inert(), "it went on, after {taken} bytes");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    assert_silent(&run_inner("memory_that_is_used_up", &folder.path().join("run")));
    let found = read(&folder.path().join("run"));
    assert_eq!(found.ending.unwrap().stopped(), Some("the process had no memory left"));
    assert_eq!(found.events[&0][0].value, 0);
}

/// A small file system of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    /// An error says why there is none: this user may not mount it.
    fn mount(options: &str) -> Result<Disk, String> {
        let folder = tempfile::tempdir().unwrap();
        let target = path(folder.path());
        let options = CString::new(options).unwrap();
        // SAFETY: the strings are C strings that outlive the call.
        let mounted = unsafe {
            libc::mount(
                c"traincheck".as_ptr(),
                target.as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                options.as_ptr().cast(),
            )
        };
        if mounted != 0 {
            return Err(format!("cannot mount a file system: {}", std::io::Error::last_os_error()));
        }
        Ok(Disk(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // SAFETY: the string is a C string that outlives the call.
        unsafe { libc::umount(path(self.0.path()).as_ptr()) };
    }
}

fn path(path: &Path) -> CString {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).unwrap()
}
