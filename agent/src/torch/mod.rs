//! libtorch as the agent sees it: found in the process at run time, nothing linked, every layout proven first.

pub mod description;
pub mod dispatcher;
pub mod history;
pub mod library;
pub(crate) mod memory;
pub mod modes;
mod open_ops;
pub mod tensor;
pub mod view;
