//! Streams of random numbers, whose states are read where they lie.

use super::hook::Hook;
use super::source::{Job, Need, Source};
use crate::state::rng;

/// One kind of streams.
pub struct Streams {
    hook: Hook,
    prove: unsafe fn(&Job) -> Result<(), String>,
}

/// PyTorch's.
pub static TORCH: Streams = Streams {
    hook: Hook::TorchGenerators,
    // SAFETY: `Source::prove`'s contract.
    prove: |job| unsafe { rng::prove_torch(job.python) },
};

/// Python's. numpy's is looked for when the program has imported it.
pub static PYTHON: Streams = Streams {
    hook: Hook::Random,
    // SAFETY: `Source::prove`'s contract.
    prove: |job| unsafe { rng::prove_python(job.python) },
};

impl Source for Streams {
    fn hook(&self) -> Hook {
        self.hook.clone()
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    unsafe fn prove(&self, job: &Job) -> Result<(), String> {
        rng::tell_of_numpy(|why| Hook::NumpyRandom.is_off(why));
        // SAFETY: the caller's word.
        unsafe { (self.prove)(job) }
    }

    unsafe fn install(&self, _: &Job) -> Result<&'static str, String> {
        Ok("their state in memory")
    }
}
