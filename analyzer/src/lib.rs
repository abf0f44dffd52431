//! Infers invariants from known-good training runs and checks them on new ones.
pub mod cause;
pub mod check;
pub mod claim;
pub mod context;
pub mod engine;
pub mod evidence;
pub mod infer;
pub mod invariants;
pub mod names;
pub mod relation;
pub mod report;
pub mod runs;
pub mod scene;
pub mod sink;
pub mod source;
