//! The agent.

pub mod state;
pub mod torch;
pub mod process;
pub mod sink;
