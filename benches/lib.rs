//! Inputs shared by the benches, and by tests that need a trace of any size.
pub mod synthetic;
