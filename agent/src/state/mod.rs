//! What the variables of a training job hold, and how it is looked at.

pub mod fingerprint;
pub mod look;
pub mod objects;
pub mod variables;
