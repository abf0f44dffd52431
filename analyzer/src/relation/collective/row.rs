//! What the ranks of a group have entered at one place in its order.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::scene::came::Came;

/// By place of the rank.
pub(super) type Row = BTreeMap<usize, Rc<Came>>;

/// Collectives and messages of a group in which not all ranks have taken part to their end are remembered up to this number: a rank
/// whose records are lost never comes to some.
pub(super) const MOST_OPEN: usize = 4096;
