//! The clocks of the process.

/// `CLOCK_MONOTONIC`, nanoseconds.
#[inline]
pub fn now() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// A clock that exists, in nanoseconds.
#[inline]
pub fn read(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a local; the clocks used here always exist.
    unsafe { libc::clock_gettime(id, &mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
