//! What is recorded of a Python call, however it is seen: which code is wanted, its entry and return, what it is given
//! and gives back, and how it is suspended and resumed.

mod arguments;
pub mod call;
pub mod code;
pub mod generators;
mod values;
