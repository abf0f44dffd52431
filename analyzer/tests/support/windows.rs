//! The windows that observers make of a trace, in words.

use traincheck_analyzer::engine;
use traincheck_analyzer::relation::listener::Listeners;
use traincheck_analyzer::relation::numbers::{Numbers, SubjectId};
use traincheck_analyzer::relation::sink::{Sink, Window};
use traincheck_analyzer::scene::Scene;
use traincheck_analyzer::source::Source;

/// Writes every window down, with all that is said of it.
#[derive(Default)]
struct Writer(Vec<String>);

impl Sink for Writer {
    fn wants(&self, _: SubjectId, _: &mut Numbers) -> bool {
        true
    }

    fn window(&mut self, window: &Window<'_>, scene: &Scene, numbers: &mut Numbers, _: &dyn Source) {
        let outcomes = |ids: &[u32]| {
            let mut outcomes: Vec<_> = ids.iter().map(|&id| numbers.outcomes().get(id)).collect();
            outcomes.sort();
            outcomes.dedup();
            format!("{outcomes:?}")
        };
        let variables: Vec<&str> =
            window.variables.iter().map(|&id| scene.variables.get(id).name.as_str()).collect();
        let at = window.at;
        self.0.push(format!(
            "{:?} in {:?} holds {} measures {:?} inconclusive {} cut {:?} at {} {} now {:?} began {:?} why {:?} of {variables:?} were {:?}",
            numbers.subjects.get(window.subject),
            numbers.situations.get(window.situation),
            outcomes(window.held),
            window.number,
            outcomes(window.inconclusive),
            window.cut,
            at.call,
            at.time,
            window.now,
            window.began,
            window.why,
            window.before,
        ));
    }

    fn general(&mut self, window: &Window<'_>, scene: &Scene, numbers: &mut Numbers, source: &dyn Source) {
        self.window(window, scene, numbers, source);
    }

    fn thinned(&mut self, function: &str) {
        self.0.push(format!("no more of {function}"));
    }
}

/// Those that these observers make.
pub fn windows(observers: Listeners, source: &mut dyn Source) -> Vec<String> {
    let (mut numbers, mut writer) = (Numbers::default(), Writer::default());
    engine::tell(source, observers, &mut numbers, &mut writer);
    writer.0
}
