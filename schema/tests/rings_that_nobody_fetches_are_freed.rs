//! What killed processes left in memory goes when it is old, and nothing else does.
#![allow(missing_docs, reason = "a test")]

use std::process::Command;
use std::time::Duration;

use traincheck_schema::ring::{Ring, RingInfo, SharedMemory, free_strays};
use traincheck_tests::left_out_by_this_machine;

const NAME: &str = "only_rings_that_are_old_and_belong_to_no_process";
const ROLE: &str = "TRAINCHECK_TEST_ROLE";
const SIZE: usize = 1 << 16;

/// Makes memory, a ring of it if so wanted, and ends.
fn leave(is_ring: bool) {
    let memory = SharedMemory::create(SIZE).unwrap();
    if is_ring {
        // SAFETY: it is fresh, zeroed and so long; it stays until the end.
        unsafe { Ring::format(memory.base(), SIZE, &RingInfo::default()) };
    }
    std::mem::forget(memory);
}

fn play(role: &str) {
    let played = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(ROLE, role)
        .output()
        .unwrap();
    assert!(played.status.success(), "{role}: {played:?}");
}

fn count() -> usize {
    std::fs::read_to_string("/proc/sysvipc/shm").unwrap().lines().count() - 1
}

#[test]
fn only_rings_that_are_old_and_belong_to_no_process() {
    match std::env::var(ROLE).as_deref() {
        Ok("ring") => return leave(true),
        Ok("no ring") => return leave(false),
        _ => {}
    }
    // Where nobody else has any.
    // SAFETY: changes what this process sees of shared memory, which no other test of this file does.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        let why = std::io::Error::last_os_error();
        return left_out_by_this_machine(
            NAME,
            &format!("this user may have no shared memory of its own: {why}"),
        );
    }
    assert_eq!(count(), 0);
    play("no ring");
    play("ring");
    let own = SharedMemory::create(SIZE).unwrap();
    // SAFETY: it is fresh, zeroed and so long; it lives longer than the ring.
    unsafe { Ring::format(own.base(), SIZE, &RingInfo::default()) };
    assert_eq!(count(), 3);
    free_strays(Duration::from_secs(3600));
    assert_eq!(count(), 3, "it is not old");
    free_strays(Duration::ZERO);
    assert_eq!(count(), 2, "that of the process that has ended goes, and that alone");
}
