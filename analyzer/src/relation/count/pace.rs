//! How often a scheduler steps in a pass over the training data: once, or as often as its optimizer.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{ObjectKind, Role};

use super::claim::{Outcome, Subject};
use super::times::Times;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::{Cut, Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

#[derive(Debug, Default)]
pub struct Pace {
    schedulers: Vec<Scheduler>,
    index: FxHashMap<u32, usize>,
    /// What the pass that began last goes over.
    current: u32,
}

#[derive(Debug)]
struct Scheduler {
    class: String,
    /// The optimizer it works on (dictionary id); 0: not known.
    optimizer: u32,
    steps: u32,
    /// Steps of the optimizer before its last one.
    last: u32,
    /// How far it was when the last pass over the same data began.
    begun: FxHashMap<u32, Begun>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    steps: u32,
    of_optimizer: u32,
    losses: u32,
    /// Root module that is trained in it.
    model: u32,
}

impl Pace {
    pub fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Created(id, of, _) => self.created(*id, *of, cx),
            TraceEvent::Enter(frame) => match frame.target.role {
                Role::Backward => {
                    if let Some(over) = cx.scene.passes.begins_with(frame) {
                        self.pass(over, frame, cx);
                    }
                }
                Role::SchedulerStep if frame.counts => self.scheduler(frame, cx),
                _ => {}
            },
            _ => {}
        }
    }

    fn created(&mut self, id: u32, optimizer: u32, cx: &Context<'_>) {
        let scheduler = cx.scene.object(id).filter(|object| object.kind == ObjectKind::Scheduler);
        if let Some(object) = scheduler {
            self.index.insert(id, self.schedulers.len());
            let class = object.class.clone();
            self.schedulers.push(Scheduler {
                class,
                optimizer,
                steps: 0,
                last: 0,
                begun: FxHashMap::default(),
            });
        }
    }

    /// A second step within a pass need not wait for the end of the pass.
    fn scheduler(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let Some(&at) = self.index.get(&frame.object) else { return };
        let scheduler = &mut self.schedulers[at];
        scheduler.steps = scheduler.steps.saturating_add(1);
        let of_optimizer = cx.scene.steps_of(scheduler.optimizer);
        scheduler.last = of_optimizer;
        let Some(begun) = scheduler.begun.get(&self.current) else { return };
        if scheduler.steps - begun.steps == 2 && of_optimizer - begun.of_optimizer >= 2 {
            let as_often = cx.numbers.outcome(Outcome::Happens { times: Times::Steps });
            // If something was lost, it may have been the beginning of the next pass.
            let lost = cx.scene.lost_since(begun.losses);
            let cut = lost.or(Scene::too_early(frame.iteration, scheduler.steps));
            window(scheduler, begun, &[as_often], &[], cut, frame, cx);
        }
    }

    fn pass(&mut self, over: u32, frame: &Frame, cx: &mut Context<'_>) {
        self.current = over;
        let model = cx.scene.iteration.as_ref().and_then(|iteration| iteration.begun_by).unwrap_or_default();
        let once = cx.numbers.outcome(Outcome::Happens { times: Times::Once });
        let as_often = cx.numbers.outcome(Outcome::Happens { times: Times::Steps });
        for scheduler in &mut self.schedulers {
            let of_optimizer = cx.scene.steps_of(scheduler.optimizer);
            let now = Begun { steps: scheduler.steps, of_optimizer, losses: cx.scene.losses, model };
            let Some(begun) = scheduler.begun.insert(over, now) else { continue };
            let (stepped, chances) = (now.steps - begun.steps, now.of_optimizer - begun.of_optimizer);
            // What is not trained needs no schedule.
            if chances == 0 {
                continue;
            }
            let mut held = Vec::new();
            let mut inconclusive = Vec::new();
            // One that follows the number of batches may step once in each pass, but not at the end of each.
            if stepped == 1 && scheduler.last == now.of_optimizer {
                held.push(once);
            } else if stepped > 1 && stepped.abs_diff(chances) <= chances / 8 {
                // A scaler leaves out steps of the optimizer.
                held.push(as_often);
            }
            if stepped <= 1 {
                // It may have come to its end.
                inconclusive.push(once);
            }
            if !(stepped == 1 && chances >= 4 || stepped >= chances.saturating_mul(2)) {
                inconclusive.push(as_often);
            }
            // In a pass of one step both paces are the same.
            let cut = cx.scene.lost_since(begun.losses).or((chances < 2).then_some(Cut::Unclear));
            window(scheduler, &begun, &held, &inconclusive, cut, frame, cx);
        }
    }
}

fn window(
    scheduler: &Scheduler,
    begun: &Begun,
    held: &[u32],
    inconclusive: &[u32],
    cut: Option<Cut>,
    frame: &Frame,
    cx: &mut Context<'_>,
) {
    let Some(model) = cx.scene.object(begun.model).map(|object| object.class.clone()) else { return };
    let subject = Subject::Scheduler { class: scheduler.class.clone(), model };
    let subject = cx.numbers.subject(subject);
    let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
    window.held = held;
    window.inconclusive = inconclusive;
    window.cut = cut;
    cx.window(&window);
}
