//! Where events come from.
//!
//! A hook is one file or folder and one line of the [`table`]: it is a [`source::Source`], which says what it needs, and
//! can be proven, put in, suspended and taken out. What all of them are called, and how each of them is, is in [`hook`].
//! What the two of Python calls have in common is in [`python_calls`], and what is recorded of calls in [`capture`].

#[cfg(target_arch = "x86_64")]
mod c10d;
pub mod capture;
mod fills;
pub mod hook;
mod monitoring;
mod pep523;
mod python_calls;
mod readers;
pub mod record_function;
pub mod source;
mod streams;
pub mod table;
