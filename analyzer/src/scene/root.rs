//! Where a backward begins: what comes first of the nodes that the engine of autograd evaluates.
//!
//! Only known where every op is recorded.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{DictKind, Event, flags};

use super::Frame;
use crate::source::Source;

/// What libtorch puts in front of the name of a node.
const NODE: &str = "autograd::engine::evaluate_function: ";

/// The root of one backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The first node that does something else than to scale (dictionary id of the op).
    pub node: u32,
    /// Whether a division or multiplication lies before it that is not a gradient scaler's.
    pub scaled: bool,
}

/// Reads the roots of backward passes as they go by.
#[derive(Debug, Default)]
pub struct Roots {
    kinds: FxHashMap<u32, Kind>,
    /// The backward whose root is looked for, or was found last; 0: none.
    call: u64,
    scalings: u32,
    found: Option<Root>,
    /// Whether a gradient scaler has multiplied what comes next.
    by_scaler: bool,
    of_scaler: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// No node.
    Other,
    /// `aten::mul`.
    Multiplies,
    /// A node that scales what flows through it.
    Scales,
    /// A node that leaves it as it is.
    Passes,
    /// Any other node.
    Node,
}

impl Roots {
    /// A backward, the outermost, begins.
    pub fn backward(&mut self, frame: &Frame) {
        self.call = if frame.flags & flags::ALL_OPS == 0 { 0 } else { frame.call };
        self.scalings = 0;
        self.found = None;
        // A gradient scaler's factor belongs to this backward only.
        self.of_scaler = u32::from(std::mem::take(&mut self.by_scaler));
    }

    /// An op begins; `scaling`: inside of a gradient scaler's `scale`.
    pub fn op(&mut self, event: &Event, scaling: bool, source: &dyn Source) {
        if !scaling && (self.call == 0 || self.found.is_some()) {
            return;
        }
        match *self.kinds.entry(event.name).or_insert_with(|| kind(event.name, source)) {
            Kind::Multiplies if scaling => self.by_scaler = true,
            Kind::Scales if self.call != 0 => self.scalings += 1,
            Kind::Node if self.call != 0 && self.found.is_none() => {
                self.found = Some(Root { node: event.name, scaled: self.scalings > self.of_scaler });
            }
            _ => {}
        }
    }

    /// The root of the backward `call`, which is open.
    pub fn of(&self, call: u64) -> Option<Root> {
        self.found.filter(|_| call != 0 && self.call == call)
    }
}

fn kind(id: u32, source: &dyn Source) -> Kind {
    match source.entry(id).filter(|entry| entry.kind == DictKind::Op as u8) {
        Some(entry) if entry.text == "aten::mul" => Kind::Multiplies,
        Some(entry) => match entry.text.strip_prefix(NODE).map(node_name) {
            None => Kind::Other,
            Some("Div" | "Mul") => Kind::Scales,
            Some(
                "ToCopy"
                | "Alias"
                | "Clone"
                | "Squeeze"
                | "View"
                | "GraphRoot"
                | "torch::autograd::GraphRoot",
            ) => Kind::Passes,
            Some(_) => Kind::Node,
        },
        None => Kind::Other,
    }
}

/// `NllLoss` for `NllLossBackward0`, with what libtorch puts in front or without.
pub fn node_name(text: &str) -> &str {
    let node = text.strip_prefix(NODE).unwrap_or(text);
    let plain = node.trim_end_matches(|c: char| c.is_ascii_digit());
    plain.strip_suffix("Backward").unwrap_or(node)
}
