//! CPython: its C API, its frames, and the hook that sees calls.

pub mod api;
pub mod boot;
pub mod code;
pub mod frame;
pub mod hook;
pub mod names;
