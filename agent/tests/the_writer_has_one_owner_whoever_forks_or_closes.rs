//! The writer leaves its thread, is taken, and closes the run, all at once: it is never lost, never had by two, and closes
//! once. Under `--cfg loom` in every interleaving, else in those that happen.

// Only with the atomics of the model does the module know loom.
#[path = "../src/sink/hand_over.rs"]
#[allow(dead_code, missing_docs, reason = "the module has more users")]
mod hand_over;

use hand_over::{HandOver, Order};
#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::Arc,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};
#[cfg(not(loom))]
use std::{
    sync::Arc,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

#[cfg(not(loom))]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    fn with_mut<R>(&self, with: impl FnOnce(*mut T) -> R) -> R {
        with(self.0.get())
    }
}

/// Something that only its owner touches: loom, and Miri, see it if another does at the same time.
struct Writer {
    rounds: UnsafeCell<u32>,
}

struct Job {
    hand_over: HandOver<Writer>,
    closed: AtomicU32,
}

fn model(test: impl Fn() + Sync + Send + 'static) {
    #[cfg(loom)]
    {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(test);
    }
    #[cfg(not(loom))]
    (0..if cfg!(miri) { 20 } else { 500 }).for_each(|_| test());
}

/// The thread of the writer.
fn work(job: &Job, writer: Box<Writer>) {
    loop {
        // SAFETY: who has the box has the writer, which is what the test is about.
        writer.rounds.with_mut(|rounds| unsafe { *rounds += 1 });
        match job.hand_over.order() {
            Order::GoOn => thread::yield_now(),
            Order::Leave => return job.hand_over.leave(writer),
            Order::Close => {
                job.closed.fetch_add(1, Ordering::Relaxed);
                drop(writer);
                return job.hand_over.end();
            }
        }
    }
}

/// Has the writer leave, gives up waiting at some time, and takes it back to work.
fn fork(job: &Job) {
    job.hand_over.ask();
    for _ in 0..2 {
        if job.hand_over.has_left() || job.hand_over.has_ended() {
            break;
        }
        thread::yield_now();
    }
    job.hand_over.withdraw();
    if let Some(writer) = job.hand_over.take() {
        work(job, writer);
    }
}

fn close(job: &Job) {
    job.hand_over.close();
    while !job.hand_over.has_ended() {
        if let Some(writer) = job.hand_over.take() {
            work(job, writer);
        }
        thread::yield_now();
    }
}

fn begin() -> (Arc<Job>, Box<Writer>) {
    let job = Arc::new(Job { hand_over: HandOver::new(), closed: AtomicU32::new(0) });
    (job, Box::new(Writer { rounds: UnsafeCell::new(0) }))
}

fn spawn(job: &Arc<Job>, run: impl FnOnce(&Job) + Send + 'static) -> thread::JoinHandle<()> {
    let job = job.clone();
    thread::spawn(move || run(&job))
}

// SAFETY: the raw cell in it is used by its owner only; loom and Miri check that.
unsafe impl Send for Writer {}

#[test]
#[cfg_attr(loom, ignore = "three threads that wait for one another: loom finds no end; Miri runs it")]
fn a_run_that_is_closed_while_the_process_forks() {
    model(|| {
        let (job, writer) = begin();
        let threads = [spawn(&job, |job| work(job, writer)), spawn(&job, fork)];
        close(&job);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(job.closed.load(Ordering::Relaxed), 1);
        assert!(job.hand_over.take().is_none(), "there are two");
    });
}

#[test]
fn a_run_that_is_closed_while_nobody_has_the_writer() {
    model(|| {
        let (job, writer) = begin();
        job.hand_over.leave(writer);
        let threads = [spawn(&job, fork), spawn(&job, close)];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(job.closed.load(Ordering::Relaxed), 1);
        assert!(job.hand_over.take().is_none(), "there are two");
    });
}
