//! SIGKILL at random moments: every frame and every recovered record is readable, and whatever the script had printed is
//! in the trace.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use traincheck_tests::{Trace, folder, preloaded, script, spawn};

/// A small generator: the moments are the same every time, as far as a machine allows.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // Some fall into the start of the run, some behind the first blocks on disk.
        let range = if self.0 & 1 == 0 { 20_000 } else { 2_500_000 };
        Duration::from_micros((self.0 >> 8) % range)
    }
}

fn kill(seed: u64, times: usize) {
    let mut moments = Moments(seed);
    for time in 0..times {
        let moment = moments.next();
        let what = format!("kill {time} of seed {seed:#x}, {moment:?} after the first line");
        let temporary = folder();
        let run = temporary.path().join("run");
        let mut child = spawn(preloaded(&run).arg(script("hardship.py")).args(["1000000", "pauses"]));
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let first = lines.next().expect("a first line").expect("text");
        let last = std::thread::scope(|scope| {
            // The pipe has to be emptied meanwhile, or the script would wait.
            let reader = scope.spawn(|| lines.map_while(Result::ok).last());
            std::thread::sleep(moment);
            child.kill().expect("a process to kill");
            child.wait().expect("its end");
            reader.join().expect("the reader").unwrap_or(first)
        });
        // The last line may be half of one.
        let printed: u32 = last.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or(0);
        assert!(printed > 0 && last.starts_with("iteration "), "{what}: {last}");

        let process = Trace::read(&run).only();
        assert!(process.ending.is_none() && process.torn.is_some(), "{what}: {:?}", process.ending);
        assert!(process.dropped.is_empty(), "{what}: {:?}", process.dropped);
        let iterations = process.iterations();
        assert!(iterations >= printed, "{what}: {iterations} iterations, and {printed} were printed");
        let named = |id: u32| id == 0 || process.dictionary.get(id).is_some();
        for event in &process.events {
            assert!(named(event.name) && named(event.site) && named(event.object), "{what}: {event:?}");
        }
        assert!(process.states.iter().all(|state| named(state.variable)), "{what}");
    }
}

#[test]
fn five_times() {
    kill(0x7a1e_c4ec, 5);
}

#[test]
#[ignore = "many starts of PyTorch; scripts/test --quick leaves it out"]
fn twenty_five_times() {
    kill(0x5eed_0001, 25);
}

#[test]
#[ignore = "many starts of PyTorch; scripts/test --quick leaves it out"]
fn twenty_five_more_times() {
    kill(0x5eed_0002, 25);
}
