//! The state of a job: where it stands ([`position`]), which objects it has ([`objects`], [`variables`]), and looks at
//! them ([`look`] at parameters, buffers and gradients, the others at what they are called after). A look takes
//! fingerprints ([`fingerprint`]), says what changed since the last ([`known`]), and is made at a [`point`]. Of what a module
//! gives back only the largest [`magnitude`] is taken, of what goes through collectives the [`sum`] besides.

pub mod attributes;
pub mod batch;
pub mod fills;
pub mod fingerprint;
pub mod hyperparameters;
pub mod known;
pub mod look;
pub mod loss;
pub mod magnitude;
pub mod objects;
pub mod optimizer_state;
pub mod ownership;
pub mod point;
pub mod position;
pub mod rng;
pub mod storages;
pub mod sum;
pub mod used;
pub mod value;
pub mod variable_names;
pub mod variables;
