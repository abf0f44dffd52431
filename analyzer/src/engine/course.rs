//! A pass over the records of one process that is under way.

use std::sync::Arc;

use super::{Engine, Passed, Unnamed};
use crate::damage::Damage;
use crate::relation::listener::Listeners;
use crate::relation::numbers::Numbers;
use crate::relation::sink::Sink;
use crate::scene::came::Came;
use crate::scene::{Frame, Look, Scene};
use crate::source::{Batch, End, Source};

/// A pass that is under way.
pub struct Course {
    pub(super) scene: Scene,
    pub(super) observers: Listeners,
    pub(super) passed: Passed,
    /// How many of `passed.damage` have come to an end.
    open_damage: usize,
    /// Whether anything is missing so far.
    pub(super) has_lost: bool,
    pub(super) unnamed: Unnamed,
    /// The records that are being gone over.
    pub(super) batch: Arc<Batch>,
    /// The first of them that were not told; `None`: all were.
    pub(super) next: Option<Next>,
    has_ended: bool,
    /// What became of collectives since it was asked for; `None`: nobody asks.
    pub(super) collectives: Option<Vec<Came>>,
    /// The calls of each thread that were open when the records ended, and the one that was left last.
    pub(super) left_open: Vec<(Vec<Frame>, Option<Frame>)>,
    last_ns: u64,
}

/// Positions in a [`Batch`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Next {
    pub event: usize,
    pub state: usize,
    pub argument: usize,
    pub collective: usize,
}

impl Course {
    /// At the beginning.
    pub fn new(observers: Listeners) -> Course {
        Course {
            scene: Scene::default(),
            observers,
            passed: Passed::default(),
            open_damage: 0,
            has_lost: false,
            unnamed: Unnamed::default(),
            batch: Arc::default(),
            next: None,
            has_ended: false,
            collectives: None,
            left_open: Vec::new(),
            last_ns: 0,
        }
    }

    /// The same, which also keeps what becomes of collectives.
    pub fn with_collectives(observers: Listeners) -> Course {
        Course { collectives: Some(Vec::new()), ..Course::new(observers) }
    }

    /// What became of collectives since this was asked for.
    pub fn take_collectives(&mut self) -> Vec<Came> {
        self.collectives.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The time of the last event that was read, `CLOCK_MONOTONIC`, ns.
    pub fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// The calls of each thread that were open when the records ended, and the one that was left last, by number of the
    /// thread.
    pub fn left_open(&self) -> &[(Vec<Frame>, Option<Frame>)] {
        &self.left_open
    }

    /// The process at this moment.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// What was read so far.
    pub fn passed(&self) -> &Passed {
        &self.passed
    }

    /// Goes on to the end of the next look, at a moment at which the scene is as it was found; `None`: there is no more.
    pub fn advance(
        &mut self,
        source: &mut dyn Source,
        numbers: &mut Numbers,
        sink: &mut dyn Sink,
    ) -> Option<Look> {
        self.scene.world_size = source.world_size();
        while !self.has_ended {
            let looked = Engine { course: self, numbers, sink }.batch(source);
            if looked.is_some() {
                return looked;
            }
            self.end_batch();
            match source.next_batch() {
                Some(Ok(batch)) => self.begin_batch(batch),
                Some(Err(what)) => {
                    self.scene.losses += 1;
                    self.passed.damage.push(Damage::new(what, self.passed.iterations));
                }
                None => {
                    Engine { course: self, numbers, sink }.finish(source);
                    self.end(source.end());
                }
            }
        }
        None
    }

    /// Whether nothing was read since damage was met.
    fn is_after_damage(&self) -> bool {
        self.open_damage < self.passed.damage.len()
    }

    fn begin_batch(&mut self, batch: Arc<Batch>) {
        // What lies behind damage may be the rest of a block of which a part is missing.
        self.scene.lossy = batch.lost > 0 || batch.before > 0 || self.is_after_damage();
        self.passed.lost += batch.lost;
        self.has_lost |= self.scene.lossy;
        (self.batch, self.next) = (batch, Some(Next::default()));
    }

    fn end_batch(&mut self) {
        if self.next.take().is_none() {
            return;
        }
        self.last_ns = self.batch.events.last().map_or(self.last_ns, |event| event.time);
        self.passed.records += (self.batch.events.len() + self.batch.states.len()) as u64;
        if std::mem::take(&mut self.scene.lossy) {
            self.scene.losses += 1;
        }
        // What followed damage was read, and gave no verdict: behind it the trace is whole again.
        let until = self.passed.iterations;
        self.passed.damage[self.open_damage..].iter_mut().for_each(|damage| damage.until = Some(until));
        self.open_damage = self.passed.damage.len();
    }

    fn end(&mut self, end: End) {
        self.has_ended = true;
        self.passed.damage.extend(self.unnamed.damage());
        if let Some(why) = &end.stopped {
            let what = format!("the recording was stopped while the job went on: {why}");
            self.passed.damage.push(Damage::new(what, self.passed.iterations));
        }
        self.passed.end = end;
    }
}
