//! Infers invariants from known-good training runs and checks them on new ones.
pub mod cause;
pub mod check;
pub mod claim;
pub mod engine;
pub mod evidence;
pub mod infer;
pub mod invariants;
pub mod names;
pub mod precondition;
pub mod relation;
pub mod report;
pub mod runs;
pub mod scene;
pub mod sink;
pub mod situation;
pub mod source;
pub mod whole_file;
