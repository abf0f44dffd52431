//! What everything else rests on, and what knows nothing of it.

pub mod clock;
pub mod fork;
pub mod gil;
pub mod hash;
pub mod memory;
pub mod settings;
