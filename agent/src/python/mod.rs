//! CPython: its C API, its frames, and the hook that sees calls.

pub mod api;
pub mod boot;
mod capture;
pub mod code;
pub mod frame;
pub mod hook;
pub mod names;
mod pep523;
mod roles;
mod support;
mod types;
