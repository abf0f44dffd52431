//! Infers invariants from known-good training runs and checks them on new ones.
