//! What is the same on all ranks of a job: parameters, buffers and hyperparameters after each step, and, where each rank steps a
//! share of the parameters and sends them to the others (ZeRO), parameters before the next.
//!
//! That a variable of this name is so is learned from references. Without any two things hold in every program, however it
//! makes its replicas: parameters that are trained by the same gradient on all ranks are the same, and those that came out of
//! a step alike do so of the next.

use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind};

use super::claim::{Outcome, Subject};
use crate::call::roles::Roles;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::numbers::SubjectId;
use crate::relation::sink::{Why, Window};
use crate::relation::support::by_name::{ByName, Shared};
use crate::relation::together::{Joint, Meeting, Rank, Together, departing};
use crate::scene::variables::Digest;
use crate::scene::{Cut, Frame, Look, Scene};
use crate::situation::NOTHING;

/// What is read of a trace.
pub(super) const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::OptimizerStep]),
    variables: &[
        States { attribute: Attribute::Data, of: COMPARED, at: &[Point::Return(Role::OptimizerStep)] },
        States {
            attribute: Attribute::Data,
            of: &[VariableKind::Parameter],
            at: &[Point::Entry(Role::OptimizerStep)],
        },
        States::RATES,
        States { attribute: Attribute::Grad, of: &[VariableKind::Parameter], at: &[] },
        States::HOLDERS,
    ],
    ..Needs::NOTHING
};
const COMPARED: &[VariableKind] = &[VariableKind::Parameter, VariableKind::Unreached, VariableKind::Buffer];

/// Sums of the same numbers in another order differ in their norm by no more than this share of it.
const ROUNDING: f32 = 1e-5;

/// See the module.
#[derive(Default)]
pub(super) struct Replicas {
    variables: ByName,
    /// By number of the variable.
    replicas: Vec<Replica>,
    /// Whether some parameter was never the same, for gradients differ by what rounding leaves: each rank adds them up in an
    /// order of its own.
    is_rounded: bool,
    ordinal: u32,
}

/// What is known of a variable.
struct Replica {
    subject: SubjectId,
    /// That of it when the step after one that left it different begins.
    sent: SubjectId,
    /// What it was after the last step on all ranks, if it was the same there.
    last: Option<Digest>,
    /// Whether it was the same before the first step; `None`: not known.
    began_alike: Option<bool>,
    /// Whether a step has changed it to the same on all ranks.
    trained_alike: bool,
    /// What explains that it was not the same after the last step; `None`: it was.
    why: Option<Why>,
    /// It was not, and some ranks have stepped it and others have not: those are to be sent it.
    is_sent: bool,
    /// Whether it was the same after a step although the gradients that were looked at differ: those are not what is stepped
    /// with.
    reduced_later: bool,
    apart: Option<Apart>,
    /// For how many steps on end it was apart before it was the same again, at most.
    longest: u32,
}

/// Since when it is not the same.
struct Apart {
    since: (u32, u32),
    steps: u32,
    why: Why,
    departing: Vec<usize>,
    digests: Vec<Digest>,
    /// The call that it was found at, and those around it, which have been left when it is told.
    at: (Frame, Vec<Frame>),
}

/// A variable at a meeting.
#[derive(Clone, Copy)]
struct Here<'a> {
    shared: &'a Shared,
    meeting: &'a Meeting<'a>,
    cut: Option<Cut>,
    /// Whether all ranks step with what equally many backwards have left.
    in_step: bool,
}

/// What a meeting found of it.
#[derive(Clone, Copy)]
struct Found<'a> {
    here: Here<'a>,
    digests: &'a [Digest],
    /// `None`: it is the same on all ranks.
    departing: Option<&'a [usize]>,
    why: Why,
}

impl Together for Replicas {
    fn met(&mut self, meeting: &Meeting<'_>, joint: &mut Joint<'_>) {
        self.variables.go_through(meeting.ranks, is_compared);
        let new = &self.variables.all()[self.replicas.len()..];
        self.replicas.extend(new.iter().map(|shared| Replica::of(shared, joint)));
        self.ordinal += u32::from(!meeting.is_before_step());
        let lossy = meeting.ranks.iter().any(|rank| rank.scene.is_lossy());
        let too_early = meeting.looks.iter().find_map(|look| Scene::too_early(look.iteration, self.ordinal));
        let cut = lossy.then_some(Cut::Loss).or(too_early);
        let backwards = |rank: &Rank<'_>| rank.scene.backwards;
        let in_step = meeting.ranks.iter().all(|rank| backwards(rank) == backwards(&meeting.ranks[0]));
        for (replica, shared) in self.replicas.iter_mut().zip(self.variables.all()) {
            let here = Here { shared, meeting, cut, in_step };
            match shared.kind {
                _ if meeting.is_before_step() => replica.step_begins(&here, joint),
                VariableKind::Hyperparameter => replica.compare_values(&here, joint),
                _ => self.is_rounded |= replica.compare_contents(&here, self.is_rounded, joint),
            }
        }
    }

    fn end(&mut self, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        for (replica, shared) in self.replicas.iter_mut().zip(self.variables.all()) {
            if replica.apart.as_ref().is_some_and(|apart| apart.steps > replica.longest) {
                replica.tell_apart(shared, ranks, joint);
            }
        }
    }
}

/// Batches and streams of random numbers mostly are to differ: another relation follows them.
fn is_compared(kind: VariableKind) -> bool {
    COMPARED.contains(&kind) || kind == VariableKind::Hyperparameter
}

/// The places of the ranks that have something else; see [`departing`].
fn apart(digests: &[Digest]) -> Option<Vec<usize>> {
    departing(digests, |one, other| one.same(other) == Some(true))
}

/// Whether they differ by no more than rounding leaves, as far as their norms tell.
fn are_near(digests: &[Digest]) -> bool {
    digests.iter().all(|one| (one.l2 - digests[0].l2).abs() <= ROUNDING * digests[0].l2)
}

impl Here<'_> {
    /// What the look found in it, by rank; `None`: some did not look at it, or cannot tell.
    fn contents(&self) -> Option<Vec<Digest>> {
        let Meeting { ranks, looks } = self.meeting;
        let mut all = Vec::with_capacity(ranks.len());
        for (at, look) in looks.iter().enumerate() {
            let variable = self.shared.on(ranks, at).filter(|variable| variable.looked == look.time)?;
            all.push(variable.data.filter(|data| data.kind == ValueKind::Tensor)?);
        }
        Some(all)
    }

    /// Whether the optimizers that have stepped hold it on some ranks and not on others.
    fn is_stepped_by_some(&self) -> bool {
        let Meeting { ranks, looks } = self.meeting;
        let holds = |(at, look): (usize, &Look)| {
            self.shared.on(ranks, at).is_some_and(|variable| variable.is_held_by(look.frame.object))
        };
        let held = looks.iter().enumerate().filter(|one| holds(*one)).count();
        held > 0 && held < looks.len()
    }

    /// Whether the last look at its gradient, in this iteration, found the same on all ranks; `None`: not known, or nothing
    /// but zeros, which are also what a rank has that nothing was computed for.
    fn has_same_gradient(&self) -> Option<bool> {
        let mut gradients = self.gradients();
        let first = gradients.next()??;
        let mut same = true;
        for gradient in gradients {
            same &= gradient?.same(&first) == Some(true);
        }
        Some(same)
    }

    /// What each rank steps with, as far as it is known.
    fn gradients(&self) -> impl Iterator<Item = Option<Digest>> {
        let Meeting { ranks, looks } = self.meeting;
        looks.iter().enumerate().map(|(at, look)| {
            // Where a rank has left a step out, what is stepped with is of another backward there.
            let variable = self.shared.on(ranks, at).filter(|_| self.in_step)?;
            let fresh = variable.grad_iteration == look.iteration && variable.is_held_by(look.frame.object);
            variable.grad.filter(|grad| fresh && grad.kind == ValueKind::Tensor && !grad.all_zero())
        })
    }
}

impl Replica {
    fn of(shared: &Shared, joint: &mut Joint<'_>) -> Replica {
        Replica {
            subject: joint.numbers.subject(Subject::Replica { name: shared.name.clone() }),
            sent: joint.numbers.subject(Subject::SentReplica { name: shared.name.clone() }),
            last: None,
            began_alike: None,
            trained_alike: false,
            why: None,
            is_sent: false,
            reduced_later: false,
            apart: None,
            longest: 0,
        }
    }

    fn step_begins(&mut self, here: &Here<'_>, joint: &mut Joint<'_>) {
        let is_first = self.began_alike.is_none() && self.last.is_none();
        if !is_first && !self.is_sent {
            return;
        }
        let Some(digests) = here.contents() else { return };
        let apart = apart(&digests);
        if is_first {
            self.began_alike = Some(apart.is_none());
        }
        if let Some(why) = self.why.filter(|_| self.is_sent) {
            let found = Found { here: *here, digests: &digests, departing: apart.as_deref(), why };
            found.tell(self.sent, joint);
        }
    }

    fn compare_values(&self, here: &Here<'_>, joint: &mut Joint<'_>) {
        let ranks = here.meeting.ranks;
        let values = (0..ranks.len()).map(|at| here.shared.on(ranks, at)?.value.map(f64::to_bits));
        let Some(values) = values.collect::<Option<Vec<_>>>() else { return };
        let apart = departing(&values, u64::eq);
        let found = Found { here: *here, digests: &[], departing: apart.as_deref(), why: Why::Nothing };
        found.tell(self.subject, joint);
    }

    /// Whether it was never the same, by no more than rounding leaves; `is_rounded`: whether that is so of another one.
    fn compare_contents(&mut self, here: &Here<'_>, is_rounded: bool, joint: &mut Joint<'_>) -> bool {
        let Some(digests) = here.contents() else { return false };
        // How many samples a rank has seen is its own business.
        if here.shared.kind == VariableKind::Buffer && digests[0].elements <= 1 {
            return false;
        }
        let apart = apart(&digests);
        let same_gradient = here.has_same_gradient();
        let was_never_alike = apart.is_some()
            && !self.trained_alike
            && self.began_alike == Some(true)
            && same_gradient == Some(false)
            && are_near(&digests)
            && here.gradients().collect::<Option<Vec<_>>>().is_some_and(|gradients| are_near(&gradients));
        let is_rounded = is_rounded || was_never_alike;
        let here = &match is_rounded && apart.is_some() && same_gradient != Some(true) {
            true => Here { cut: here.cut.or(Some(Cut::Unclear)), ..*here },
            false => *here,
        };
        self.reduced_later |= apart.is_none() && same_gradient == Some(false);
        let explains = match same_gradient {
            _ if self.began_alike == Some(false) => Why::ApartFromTheStart,
            Some(true) => Why::SameGradients,
            Some(false) if !self.reduced_later => Why::GradientsDiffer,
            _ => Why::Nothing,
        };
        // What explains it does so from then on: what is apart stays so by itself.
        self.why = apart.is_some().then(|| self.why.unwrap_or(explains));
        let why = self.why.unwrap_or_default();
        self.is_sent = apart.is_some() && here.is_stepped_by_some();
        let found = Found { here: *here, digests: &digests, departing: apart.as_deref(), why };
        found.tell(self.subject, joint);
        if here.shared.kind == VariableKind::Buffer {
            return false;
        }
        if same_gradient == Some(true) {
            found.tell(joint.numbers.subject(Subject::SameGradient), joint);
        }
        match apart {
            None => self.is_alike(&found, joint),
            Some(_) if self.trained_alike && !is_rounded => self.is_apart(&found),
            Some(_) => {}
        }
        was_never_alike
    }

    fn is_alike(&mut self, found: &Found<'_>, joint: &mut Joint<'_>) {
        let apart = self.apart.take();
        self.longest = self.longest.max(apart.as_ref().map_or(0, |apart| apart.steps));
        if self.trained_alike && apart.is_none() {
            found.tell(joint.numbers.subject(Subject::SameBefore), joint);
        }
        self.trained_alike |= self.last.is_some_and(|last| last.same(&found.digests[0]) == Some(false));
        self.last = found.digests.first().copied();
    }

    /// Ranks that average their parameters now and then (local SGD) come together again: that they are apart for a while
    /// says nothing.
    fn is_apart(&mut self, found: &Found<'_>) {
        let meeting = found.here.meeting;
        let apart = self.apart.get_or_insert_with(|| {
            let at = found.reported_at();
            let (look, scene) = (&meeting.looks[at], meeting.ranks[at].scene);
            Apart {
                since: (look.iteration, look.step),
                steps: 0,
                why: found.why,
                departing: found.departing.unwrap_or_default().to_vec(),
                digests: found.digests.to_vec(),
                at: (look.frame, scene.stack(look.frame.thread, scene.depth(&look.frame)).to_vec()),
            }
        });
        apart.steps += 1;
    }

    fn tell_apart(&mut self, shared: &Shared, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let Some(apart) = &self.apart else { return };
        let at = apart.departing.first().copied().unwrap_or(0);
        let Some(variable) = shared.ids[at] else { return };
        let (frame, around) = &apart.at;
        let variables = [variable];
        let mut window = Window::new(joint.numbers.subject(Subject::SameBefore), NOTHING, frame, 0);
        window.around = Some(around);
        window.variables = &variables;
        window.now = ranks[at].scene.now;
        (window.began, window.why) = (Some(apart.since), apart.why);
        joint.window(&window, ranks, at, &apart.departing, &apart.digests);
    }
}

impl Found<'_> {
    /// The place of the rank that it is reported at.
    fn reported_at(&self) -> usize {
        self.departing.and_then(|departing| departing.first().copied()).unwrap_or(0)
    }

    fn tell(&self, subject: SubjectId, joint: &mut Joint<'_>) {
        let (Here { shared, meeting, cut, .. }, at) = (self.here, self.reported_at());
        let (Some(variable), look) = (shared.ids[at], &meeting.looks[at]) else { return };
        let same = [joint.numbers.outcome(Outcome::SameOnAllRanks)];
        let depth = meeting.ranks[at].scene.depth(&look.frame);
        let variables = [variable];
        let mut window = Window::new(subject, NOTHING, &look.frame, depth);
        window.variables = &variables;
        window.now = (look.iteration, look.step);
        (window.cut, window.why) = (cut, self.why);
        if self.departing.is_none() {
            window.held = &same;
        }
        joint.window(&window, meeting.ranks, at, self.departing.unwrap_or_default(), self.digests);
    }
}
