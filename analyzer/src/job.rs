//! One pass over all ranks of a job, side by side.
//!
//! A rank goes on until it looks at what a step of an optimizer begins or ends with, and waits there for the others. The one
//! that has made the fewest steps goes on first, so that ranks meet whose steps have the same number, and a step that one of
//! them leaves out costs one meeting.

use std::rc::Rc;

use crate::engine::Course;
use crate::relation::listener::Listeners;
use crate::relation::numbers::{Numbers, SubjectId};
use crate::relation::over_ranks;
use crate::relation::sink::{Sink, Window};
use crate::relation::together::{Joint, Meeting, Rank, Together};
use crate::scene::came::Came;
use crate::scene::{Look, Scene};
use crate::source::Source;
use traincheck_schema::record::Role;

/// A rank of a job, and its records.
pub struct Member<'a> {
    /// Its number.
    pub number: u32,
    /// Its process: `HOST-PID`.
    pub process: String,
    /// From the beginning.
    pub source: Box<dyn Source + 'a>,
}

/// Where a look lies in its job: the number of the optimizer step that it is of, and whether it is at its return.
type Place = (u32, bool);

struct Walker<'a> {
    member: Member<'a>,
    course: Course,
    /// Where it waits.
    waits: Option<(Place, Look)>,
}

/// Takes no windows: relations over single processes have passes of their own.
pub struct Nowhere;

impl Sink for Nowhere {
    fn wants(&self, _: SubjectId, _: &mut Numbers) -> bool {
        false
    }
    fn window(&mut self, _: &Window<'_>, _: &Scene, _: &mut Numbers, _: &dyn Source) {}
    fn general(&mut self, _: &Window<'_>, _: &Scene, _: &mut Numbers, _: &dyn Source) {}
    fn thinned(&mut self, _: &str) {}
}

impl<'a> Walker<'a> {
    fn new(member: Member<'a>) -> Walker<'a> {
        Walker { member, course: Course::with_collectives(Listeners::new(&[])), waits: None }
    }

    /// Goes on to where the next step begins or ends.
    fn go_on(&mut self, numbers: &mut Numbers) {
        self.waits = None;
        while let Some(look) = self.course.advance(&mut *self.member.source, numbers, &mut Nowhere) {
            if look.frame.target.role == Role::OptimizerStep && look.frame.counts {
                let place = (self.course.scene().steps_of(0), !look.at_entry);
                self.waits = Some((place, look));
                return;
            }
        }
    }

    fn rank(&self) -> Rank<'_> {
        Rank {
            number: self.member.number,
            process: &self.member.process,
            scene: self.course.scene(),
            source: &*self.member.source,
        }
    }

    /// The name of the optimizer whose step it waits at.
    fn optimizer(&self) -> Option<&str> {
        let (_, look) = self.waits.as_ref()?;
        self.course.scene().object(look.frame.object).map(|object| object.name.as_str())
    }
}

/// Tells of what became of collectives since each rank went on last.
fn tell_collectives(walkers: &mut [Walker<'_>], observers: &mut [Box<dyn Together>], joint: &mut Joint<'_>) {
    let came: Vec<Vec<Came>> = walkers.iter_mut().map(|walker| walker.course.take_collectives()).collect();
    if came.iter().all(Vec::is_empty) {
        return;
    }
    let ranks: Vec<Rank<'_>> = walkers.iter().map(Walker::rank).collect();
    for (at, came) in came.into_iter().enumerate() {
        for came in came.into_iter().map(Rc::new) {
            observers.iter_mut().for_each(|observer| observer.came(&came, at, &ranks, joint));
        }
    }
}

/// Goes over all ranks of a job, in the order of their numbers, and hands windows over ranks to a sink.
pub fn pass(members: Vec<Member<'_>>, numbers: &mut Numbers, sink: &mut dyn Sink) {
    let mut observers = over_ranks();
    let mut walkers: Vec<Walker<'_>> = members.into_iter().map(Walker::new).collect();
    walkers.iter_mut().for_each(|walker| walker.go_on(numbers));
    tell_collectives(&mut walkers, &mut observers, &mut Joint { numbers, sink });
    while let Some(place) = walkers.iter().filter_map(|walker| Some(walker.waits.as_ref()?.0)).min() {
        let here = |walker: &Walker<'_>| walker.waits.as_ref().is_some_and(|(at, _)| *at == place);
        // Behind a loss the number of a step is not known any more.
        let is_whole = |walker: &Walker<'_>| walker.course.scene().lost_since(0).is_none();
        let same_step = |walker: &Walker<'_>| walker.optimizer() == walkers[0].optimizer();
        if walkers.iter().all(|walker| here(walker) && is_whole(walker) && same_step(walker)) {
            let ranks: Vec<Rank<'_>> = walkers.iter().map(Walker::rank).collect();
            let looks: Vec<Look> = walkers.iter().filter_map(|one| Some(one.waits.as_ref()?.1)).collect();
            let meeting = Meeting { ranks: &ranks, looks: &looks };
            let mut joint = Joint { numbers, sink };
            observers.iter_mut().for_each(|observer| observer.met(&meeting, &mut joint));
        }
        walkers.iter_mut().filter(|walker| here(walker)).for_each(|walker| walker.go_on(numbers));
        tell_collectives(&mut walkers, &mut observers, &mut Joint { numbers, sink });
    }
    let ranks: Vec<Rank<'_>> = walkers.iter().map(Walker::rank).collect();
    let mut joint = Joint { numbers, sink };
    observers.iter_mut().for_each(|observer| observer.end(&ranks, &mut joint));
}
