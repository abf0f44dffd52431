//! A command that runs in our place: signals reach it, and its exit code is ours.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::ptr;

use anyhow::{Context, Result};

use super::collect::EXIT_NOT_STARTED;

/// Signals that ask a job to end, or to save what it has.
const FORWARDED: [libc::c_int; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// A child that runs. Until this is dropped, signals are the child's affair: one that comes when it has ended is dropped, since
/// it was meant for the child (a Ctrl-C that ended it has come to us as well).
pub struct Job {
    child: Child,
    /// The signals that were blocked before.
    mask: libc::sigset_t,
}

impl Job {
    /// Starts the command. From here on signals wait until [`Job::wait`] takes them.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Result<Job> {
        let mask = block_signals();
        // SAFETY: between fork and exec it makes one call, which is async-signal-safe, with a set that is initialised.
        unsafe {
            command.pre_exec(move || {
                match libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut()) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Job { child, mask })
    }

    /// Waits for its end and passes signals on to it.
    ///
    /// A signal from the terminal has gone to the child already, as to everybody in the foreground: only those sent
    /// to this process alone are passed on.
    ///
    /// # Errors
    /// If the system does not say what has become of it.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        let set = signals();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
            // SAFETY: the set is initialised, and the place for the answer is ours.
            let signal = unsafe { libc::sigwaitinfo(&raw const set, info.as_mut_ptr()) };
            if signal < 0 {
                continue;
            }
            // SAFETY: sigwaitinfo returned a signal, so it has filled in `info`.
            let from_process = unsafe { info.assume_init() }.si_code <= 0;
            if signal != libc::SIGCHLD && from_process {
                // SAFETY: the child was not waited for to the end yet, so its id is still its own.
                unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
            }
        }
    }
}

/// The exit code for one that stands in for the child: the child's, or 128 and the signal that ended it.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.map_or(EXIT_NOT_STARTED, |code| code as u8)
}

impl Drop for Job {
    fn drop(&mut self) {
        let (set, at_once) = (signals(), libc::timespec { tv_sec: 0, tv_nsec: 0 });
        // SAFETY: sets and time are initialised, and nobody wants to know more of the signals.
        unsafe {
            while libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const at_once) > 0 {}
            libc::sigprocmask(libc::SIG_SETMASK, &raw const self.mask, ptr::null_mut());
        }
    }
}

/// The signals that [`Job::wait`] deals with.
fn signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set, and sigaddset is given an initialised one and valid numbers.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in FORWARDED.into_iter().chain([libc::SIGCHLD]) {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// Has signals wait. Returns the mask that we were started with, which the child must get back.
fn block_signals() -> libc::sigset_t {
    let mut before = MaybeUninit::uninit();
    // SAFETY: the disposition is one that the system defines, both sets are initialised, and a call with valid
    // arguments, as this one is, fills in `before`. A SIGCHLD that is ignored, as some launchers leave it, would
    // make the kernel throw the child's exit code away.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::sigemptyset(before.as_mut_ptr());
        libc::sigprocmask(libc::SIG_BLOCK, &signals(), before.as_mut_ptr());
        before.assume_init()
    }
}
