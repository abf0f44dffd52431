//! glibc registers thread-local destructors under a lock that it does not reset in a forked child, so the writer
//! must not cause that; nor may the first records of a thread of the job.

mod common;

use common::{event, info, is_inner, run_inner, state};
use std::sync::Mutex;
use std::time::Duration;
use traincheck::sink;

static REGISTERED_BY: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// In the place of glibc's: notes the name of the thread, and runs nothing at its end.
#[unsafe(no_mangle)]
extern "C" fn __cxa_thread_atexit_impl(_: *const (), _: *const (), _: *const ()) -> i32 {
    let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap_or_default();
    if let Ok(mut names) = REGISTERED_BY.lock() {
        names.push(name.trim_end().to_owned());
    }
    0
}

extern "C" fn emit(_: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the name is short enough.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), c"emitting".as_ptr()) };
    for i in 0..100_000 {
        sink::emit(&event(i));
        sink::emit_state(&state(i));
        sink::op(b"aten::add", 0);
    }
    sink::text("a text");
    std::ptr::null_mut()
}

#[test]
fn neither_the_writer_nor_a_thread_that_emits() {
    if is_inner() {
        assert!(sink::start(info()));
        // SAFETY: a thread without the help of the standard library, which would register something of its own.
        unsafe {
            let mut thread = std::mem::zeroed();
            assert_eq!(libc::pthread_create(&mut thread, std::ptr::null(), emit, std::ptr::null_mut()), 0);
            libc::pthread_join(thread, std::ptr::null_mut());
        }
        std::thread::sleep(Duration::from_millis(1_500));
        sink::seal("exit");
        let names = REGISTERED_BY.lock().unwrap().clone();
        assert!(!names.iter().any(|name| name == "traincheck" || name == "emitting"), "{names:?}");
        // That they are noted at all:
        std::thread::spawn(|| {
            thread_local!(static WITH_DROP: String = std::thread::current().name().unwrap_or("").to_owned());
            WITH_DROP.with(|_| {});
        })
        .join()
        .unwrap();
        assert!(REGISTERED_BY.lock().unwrap().len() > names.len());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("neither_the_writer_nor_a_thread_that_emits", folder.path());
    assert!(common::read(folder.path()).ending.is_some());
}
