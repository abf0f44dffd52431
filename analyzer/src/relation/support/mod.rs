//! What several observers share.
pub mod accumulation;
pub mod by_call;
pub mod by_name;
pub mod loss;
pub mod norm;
pub mod open;
pub mod results;
pub mod sequence;
pub mod steps;
pub mod storages;
pub mod streak;
pub mod tensor;
pub mod within;
