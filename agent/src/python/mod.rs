//! CPython: its C API, its frames, and the hook that sees calls.

pub mod api;
mod arguments;
pub mod boot;
pub mod capture;
pub mod code;
pub mod frame;
pub mod generators;
pub mod hook;
mod monitoring;
pub mod names;
mod pep523;
mod roles;
mod support;
mod types;
mod values;
