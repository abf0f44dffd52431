//! What modules give back: what is in it, as far as that was looked at.

use traincheck_schema::record::{Argument, Role, flags};

use super::tensor::Described;
use crate::scene::Frame;
use crate::source::Source;

/// Results of one call that are asked about.
pub const MOST_RESULTS: usize = 8;

/// A floating-point tensor that a module gave back.
pub struct Looked<'a> {
    /// As it was recorded.
    pub result: &'a Argument,
    /// Its shape and type.
    pub described: Described<'a>,
    /// The largest magnitude of its finite elements.
    pub largest: f32,
}

/// Those of a call whose elements were looked at.
pub fn looked_at<'a>(
    frame: &Frame,
    results: &'a [Argument],
    source: &'a dyn Source,
) -> impl Iterator<Item = Looked<'a>> {
    let is_asked = frame.target.role == Role::ModuleCall && frame.flags & flags::IN_INIT == 0;
    let results = results.iter().take(if is_asked { MOST_RESULTS } else { 0 });
    results.filter_map(move |result| {
        let described = Described::of(result, source).filter(Described::is_float)?;
        Some(Looked { result, described, largest: described.largest? })
    })
}

/// The place of a result in what is given back: `result[0]`.
pub fn place(result: &Argument, source: &dyn Source) -> String {
    source.entry(result.name).map(|entry| entry.text.clone()).unwrap_or_default()
}
