//! However many threads are asked for, there are no more than a few for each core. Alone in its file: the number is that of
//! the process.

use std::thread::available_parallelism;

#[test]
fn they_are() {
    traincheck_analyzer::runs::set_threads(5000);
    let cores = available_parallelism().expect("cores").get();
    assert!(rayon::current_num_threads() <= 4 * cores, "{} threads", rayon::current_num_threads());
}
