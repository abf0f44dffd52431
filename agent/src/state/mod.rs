//! The state of a job: its variables, and looks at them.

pub mod attributes;
pub mod batch;
pub mod fingerprint;
pub mod hyperparameters;
pub mod known;
pub mod look;
pub mod loss;
pub mod objects;
pub mod optimizer_state;
pub mod ownership;
pub mod point;
pub mod position;
pub mod rng;
pub mod storages;
pub mod value;
pub mod variables;
