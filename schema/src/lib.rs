//! The trace format of traincheck.
pub mod record;
