//! A number of threads, as options have it.

/// No machine has use for more.
const MOST: usize = 4096;

/// A number of threads; 0: as many as there are cores.
pub fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads) if threads <= MOST => Ok(threads),
        _ => Err(format!("a number from 0 to {MOST} is expected")),
    }
}
