//! What everything else rests on, and what knows nothing of it.

pub mod gil;
pub mod hash;
pub mod memory;
pub mod reserve;
pub mod settings;
