//! Where events come from: a file or folder for each source, and what those of Python calls share ([`capture`]).

pub mod capture;
mod monitoring;
mod pep523;
pub mod python_calls;
pub mod record_function;
