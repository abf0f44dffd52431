//! CPython as the agent sees it: its C API, its frames, its types and their names.

pub mod api;
pub mod collector;
pub mod frame;
pub mod instance;
pub mod names;
pub mod support;
pub mod types;
