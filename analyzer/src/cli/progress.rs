//! A bar on stderr for what takes longer than a second, if somebody sits before it.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use traincheck_analyzer::run_source::Progress;

/// What is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// From one look at the progress to the next.
const INTERVAL: Duration = Duration::from_millis(100);

/// Shows the progress until it is dropped; then nothing of it is left on the terminal.
pub struct Bar(Option<(Sender<()>, JoinHandle<()>)>);

impl Bar {
    /// Shows how much of what there is to read was read, in bytes. None where stderr is no terminal.
    pub fn over(progress: &Progress) -> Bar {
        if !io::stderr().is_terminal() {
            return Bar(None);
        }
        let (sender, stop) = channel::<()>();
        let progress = progress.clone();
        let thread = thread::Builder::new().name("progress".into()).spawn(move || {
            // The other end being gone is what it waits for.
            let waited = |time| stop.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            if !waited(PATIENCE) {
                return;
            }
            let bar = ProgressBar::new(progress.total()).with_style(style());
            loop {
                bar.set_length(progress.total());
                bar.set_position(progress.read());
                if !waited(INTERVAL) {
                    break;
                }
            }
            bar.finish_and_clear();
        });
        // Without a thread there is no bar, and nothing else is missing.
        Bar(thread.ok().map(|thread| (sender, thread)))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            // A bar that failed is no reason to fail.
            let _ = thread.join();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("reading [{bar:40}] {bytes} of {total_bytes}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
