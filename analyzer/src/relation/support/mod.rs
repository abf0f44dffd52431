//! What several observers share.
pub mod accumulation;
pub mod sequence;
pub mod steps;
pub mod storages;
pub mod streak;
pub mod tensor;
