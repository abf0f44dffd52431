//! libtorch as the agent sees it: found in the process at run time, nothing linked, every layout proven first.

pub mod description;
pub mod history;
pub mod library;
pub mod modes;
pub mod proven;
#[cfg(target_arch = "x86_64")]
mod symbols;
pub mod tensor;
pub mod view;
