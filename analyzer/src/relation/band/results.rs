//! What modules give back is not far beyond anything that they gave in the references, not even once: a bit that is flipped, a
//! buffer that somebody else writes to. From the first step on, after which the setting is known. A part of band.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;
use traincheck_schema::record::Argument;

use super::claim::{Quantity, Subject};
use super::setting::Setting;
use crate::relation::bound::size;
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::results::{Looked, looked_at, place};
use crate::scene::Frame;
use crate::situation::NOTHING;

/// What is known of results, by the module and the name of the result (dictionary ids).
#[derive(Default)]
pub(super) struct Results {
    subjects: FxHashMap<(u32, u32), Option<SubjectId>>,
}

impl Results {
    /// The call `frame` gave back `results`.
    pub(super) fn gave(
        &mut self,
        frame: &Frame,
        results: &[Argument],
        setting: &Setting,
        cx: &mut Context<'_>,
    ) {
        for Looked { result, largest, .. } in looked_at(frame, results, cx.source) {
            let Some(size) = size(f64::from(largest)) else { continue };
            let subject = match self.subjects.entry((frame.object, result.name)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => {
                    let Some(setting) = setting.text(cx.scene) else { return };
                    let module = cx.scene.object(frame.object).map(|object| object.name.clone());
                    *unknown.insert(module.map(|module| {
                        let quantity = Quantity::Result { module, place: place(result, cx.source) };
                        cx.numbers.subject(Subject::Once { quantity, setting })
                    }))
                }
            };
            let Some(subject) = subject else { continue };
            let at = Frame { time: result.time, ..*frame };
            let mut window = Window::new(subject, NOTHING, &at, cx.scene.depth(frame));
            window.number = Some(size);
            cx.window(&window);
        }
    }
}
