//! Owned: parameters, optimizers and modules belong together.
//!
//! Every parameter that got a gradient is held by an optimizer, and by one only of those that step behind one backward; every parameter that a
//! stepping optimizer holds belongs to a module that ran. Decided at the end of each training iteration with a step. What a
//! module calls is part of it.
//!
//! Not all that is trained is a parameter of a module that runs: an image is, a model whose copies run, a copy in full
//! precision of a model in half precision, which is written back by hand. Nor is all that gets gradients trained: a model
//! that a loss is computed with. None of it is at fault: what nobody holds and yet changes, what is in evaluation mode and
//! held by nobody as a whole, and what no module reaches and yet has a gradient or changes, is left out.
pub mod claim;
mod inside;
mod trained;

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind};

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::{Why, Window};
use crate::scene::variables::{VarId, Variable};
use crate::scene::{Cut, Iteration, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Outcome, Subject};
use inside::Inside;
use trained::Trained;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Owned::default()),
    together: None,
    structural: true,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::ModuleCall, Role::Backward, Role::OptimizerStep, Role::Other]),
    variables: &[
        States {
            attribute: Attribute::Grad,
            of: &[VariableKind::Parameter, VariableKind::Unreached],
            at: &[Point::Return(Role::Backward), Point::Entry(Role::OptimizerStep)],
        },
        States { attribute: Attribute::RequiresGrad, of: &[VariableKind::Parameter], at: &[] },
        States {
            attribute: Attribute::Data,
            of: &[VariableKind::Parameter, VariableKind::Unreached],
            at: &[],
        },
        States::HOLDERS,
        States {
            attribute: Attribute::ReachedFrom,
            of: &[VariableKind::Parameter, VariableKind::Unreached],
            at: &[],
        },
        States::STORAGES,
        States { attribute: Attribute::Training, of: &[VariableKind::Mode], at: &[] },
    ],
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: NEEDS.calls,
    returns: Roles::of(&[Role::OptimizerStep]),
    states: &[(Attribute::Grad, &[VariableKind::Parameter, VariableKind::Unreached])],
    ..Told::NOTHING
};

#[derive(Clone, Copy)]
struct Outcomes {
    held: OutcomeId,
    held_once: OutcomeId,
    reached: OutcomeId,
}

#[derive(Default)]
struct Owned {
    /// By number of the variable, whether it got a gradient in this iteration.
    with_gradient: Vec<bool>,
    iterations: u32,
    /// The optimizers that stepped in an earlier iteration, and those that did in the last one that had a step.
    stepped: FxHashSet<u32>,
    last_stepped: FxHashSet<u32>,
    /// Backwards in this iteration, and behind how many of them which optimizer stepped.
    backwards: u32,
    steps: Vec<(u32, u32)>,
    /// Since when a root module or optimizer has been at fault.
    since: FxHashMap<u32, (u32, u32)>,
    /// What windows are about, by root module or optimizer, and what may hold in them.
    subjects: FxHashMap<u32, SubjectId>,
    outcomes: Option<Outcomes>,
    inside: Inside,
    trained: Trained,
}

impl Observer for Owned {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        self.inside.observe(event, cx);
        self.trained.observe(event, cx);
        match event {
            TraceEvent::State(change, Some(look))
                if change.attribute == Attribute::Grad
                    && look.frame.target.role == Role::Backward
                    && !look.at_entry
                    && change.now.is_some_and(|now| now.kind == ValueKind::Tensor)
                    && cx.scene.variables.get(change.variable).kind == VariableKind::Parameter =>
            {
                let at = change.variable as usize;
                if at >= self.with_gradient.len() {
                    self.with_gradient.resize(at + 1, false);
                }
                self.with_gradient[at] = true;
            }
            TraceEvent::IterationBegan(_) => {
                self.with_gradient.fill(false);
                self.steps.clear();
                self.backwards = 0;
            }
            TraceEvent::Enter(frame) if frame.target.role == Role::Backward && frame.counts => {
                self.backwards = self.backwards.saturating_add(1);
            }
            // One that steps only within the step of another, which wraps it, takes no step of its own.
            TraceEvent::Enter(frame) if frame.target.role == Role::OptimizerStep && frame.counts => {
                self.steps.push((self.backwards, frame.object));
            }
            TraceEvent::IterationEnded(iteration, cut) => {
                if iteration.backward && !iteration.stepped.is_empty() {
                    self.iterations = self.iterations.saturating_add(1);
                    let cut = cut.or(Scene::too_early(iteration.number, self.iterations));
                    self.gradients(iteration, cut, cx);
                    for &optimizer in &iteration.stepped {
                        self.optimizer(optimizer, iteration, cut, cx);
                    }
                }
                self.stepped.extend(&iteration.stepped);
                if !iteration.stepped.is_empty() {
                    self.last_stepped = iteration.stepped.iter().copied().collect();
                }
            }
            _ => {}
        }
    }
}

/// What a root's parameters with a gradient look like from the optimizers' side.
#[derive(Default)]
struct Holding {
    known: bool,
    /// Some that nobody holds have changed: the script updates them itself, this time or another.
    by_hand: bool,
    by_none: Vec<VarId>,
    by_many: Vec<VarId>,
}

impl Owned {
    fn gradients(&mut self, iteration: &Iteration, cut: Option<Cut>, cx: &mut Context<'_>) {
        let mut roots: FxHashMap<u32, Holding> = FxHashMap::default();
        for (id, variable) in self.with_gradient(cx.scene) {
            let Some(holders) = &variable.held_by else { continue };
            let holding = roots.entry(variable.owner).or_default();
            if holders.is_empty() {
                // Since the first iteration began.
                holding.by_hand |= variable.changed > 0;
                holding.by_none.push(id);
            } else if !holders.iter().any(|holder| cx.scene.stepped.contains(holder)) {
                // Its optimizer may still come.
                continue;
            } else if holders.len() > 1 && self.steps_at_once(holders) > 1 {
                holding.by_many.push(id);
            }
            holding.known = true;
        }
        let is_judged = |root, holding: &Holding| holding.known && !is_evaluated_only(root, cx.scene);
        let mut roots: Vec<(u32, Holding)> =
            roots.into_iter().filter(|(root, holding)| is_judged(*root, holding)).collect();
        roots.sort_unstable_by_key(|(root, _)| *root);
        for (root, mut holding) in roots {
            if holding.by_hand {
                holding.by_none.clear();
            }
            let Some(object) = cx.scene.object(root) else { continue };
            let subject = || cx.numbers.subject(Subject::Root { class: object.class.clone() });
            let subject = *self.subjects.entry(root).or_insert_with(subject);
            let outcomes = self.outcomes(cx.numbers);
            let mut held = Vec::new();
            if holding.by_none.is_empty() {
                held.push(outcomes.held);
            }
            if holding.by_many.is_empty() {
                held.push(outcomes.held_once);
            }
            let (why, variables) = match (holding.by_none.is_empty(), holding.by_many.is_empty()) {
                (false, _) => (Why::HeldByNone, &holding.by_none),
                (true, false) => (Why::HeldByMany, &holding.by_many),
                (true, true) => (Why::Nothing, &holding.by_many),
            };
            let began = self.began(root, why != Why::Nothing, iteration);
            // Whether somebody else changes what nobody holds, as another rank that sends what it has stepped, is seen at the next
            // step.
            let too_early = self.iterations == 1 && !holding.by_none.is_empty();
            let mut window = Window::new(subject, NOTHING, &iteration.frame, iteration.depth);
            window.held = &held;
            window.cut = cut.or(too_early.then_some(Cut::First));
            window.began = began;
            window.why = why;
            window.variables = variables;
            cx.window(&window);
        }
    }

    /// How many of the holders step by what one backward has left: one may take over from another, and each may have a loss
    /// of its own. The first batch of a loop may be part of the last iteration of the loop before. One that steps now and then, behind several
    /// steps of another, is given gradients of its own: the way that those have gone (DiLoCo), or weights that look ahead.
    fn steps_at_once(&self, holders: &[u32]) -> usize {
        let is_known = |holder: &u32| self.stepped.contains(holder);
        let any_known = self.steps.iter().any(|(_, one)| holders.contains(one) && is_known(one));
        let is_steady = |one: &u32| self.last_stepped.is_empty() || self.last_stepped.contains(one);
        let stepping = |one: &u32| holders.contains(one) && (!any_known || is_known(one)) && is_steady(one);
        let by_one = |steps: &[(u32, u32)]| {
            steps.iter().map(|(_, one)| one).filter(|one| stepping(one)).collect::<FxHashSet<_>>().len()
        };
        self.steps.chunk_by(|one, other| one.0 == other.0).map(by_one).max().unwrap_or_default()
    }

    fn optimizer(&mut self, optimizer: u32, iteration: &Iteration, cut: Option<Cut>, cx: &mut Context<'_>) {
        let Some(object) = cx.scene.object(optimizer) else { return };
        let (mut reaches, mut by_hand, mut unclear, mut unreached) = (false, false, false, Vec::new());
        let held = || held_by(optimizer, cx.scene);
        // Maybe by another name: a module that was known before what wraps it was called has left its own behind.
        let mut others: Option<FxHashMap<i64, u64>> = None;
        for id in held() {
            let Some(mut reached) = is_reached(id, cx.scene) else { continue };
            if !reached {
                let others = others.get_or_insert_with(|| reached_storages(held(), cx.scene));
                let variable = cx.scene.variables.get(id);
                reached = others.get(&variable.storage).is_some_and(|looked| *looked >= variable.looked);
            }
            let moved = has_moved(id, iteration, cx.scene);
            if reached {
                reaches = true;
            } else if has_gradient(id, iteration.number, cx.scene) || moved == Some(true) {
                by_hand = true;
            } else {
                unclear |= moved.is_none();
                unreached.push(id);
            }
        }
        if !reaches && unreached.is_empty() {
            return;
        }
        // Part of what it trains may have its turn later: where nothing else is trained in its stead.
        unclear |= (reaches || by_hand) && !self.lacks_a_holder(cx.scene);
        let subject = || cx.numbers.subject(Subject::Optimizer { class: object.class.clone() });
        let subject = *self.subjects.entry(optimizer).or_insert_with(subject);
        let reached = [self.outcomes(cx.numbers).reached];
        let began = self.began(optimizer, !unreached.is_empty(), iteration);
        let mut window = Window::new(subject, NOTHING, &iteration.frame, iteration.depth);
        window.held = if unreached.is_empty() { &reached } else { &[] };
        window.cut = cut.or((unclear && !unreached.is_empty()).then_some(Cut::Unclear));
        window.began = began;
        window.why = if unreached.is_empty() { Why::Nothing } else { Why::Unreached };
        window.variables = &unreached;
        cx.window(&window);
    }

    fn outcomes(&mut self, numbers: &mut Numbers) -> Outcomes {
        *self.outcomes.get_or_insert_with(|| Outcomes {
            held: numbers.outcome(Outcome::Held),
            held_once: numbers.outcome(Outcome::HeldOnce),
            reached: numbers.outcome(Outcome::Reached),
        })
    }

    /// The parameters that got a gradient in this iteration.
    fn with_gradient<'a>(&'a self, scene: &'a Scene) -> impl Iterator<Item = (VarId, &'a Variable)> {
        let with_gradient = scene.variables.iter().zip(&self.with_gradient);
        with_gradient.filter(|(_, got)| **got).map(|(variable, _)| variable)
    }

    /// Whether a parameter that got a gradient is held by no optimizer.
    fn lacks_a_holder(&self, scene: &Scene) -> bool {
        self.with_gradient(scene).any(|(_, one)| one.held_by.as_ref().is_some_and(Vec::is_empty))
    }

    fn began(&mut self, object: u32, at_fault: bool, iteration: &Iteration) -> Option<(u32, u32)> {
        if !at_fault {
            self.since.remove(&object);
            return None;
        }
        let now = (iteration.number, iteration.frame.step);
        Some(*self.since.entry(object).or_insert(now))
    }
}

/// Whether the root module is in evaluation mode and none of its parameters is held: a loss is computed with it, or an input
/// trained, and gradients of its own go unused.
fn is_evaluated_only(root: u32, scene: &Scene) -> bool {
    let mut parameters = scene.variables.of_owner(root).iter().map(|&id| scene.variables.get(id));
    scene.variables.mode(root) == Some(false) && !parameters.any(Variable::is_held)
}

/// Whether the parameter had a gradient in `iteration`, be it zero: that of a copy may be too small for its type.
fn has_gradient(id: VarId, iteration: u32, scene: &Scene) -> bool {
    let variable = scene.variables.get(id);
    variable.grad_iteration == iteration && variable.grad.is_some_and(|grad| grad.kind == ValueKind::Tensor)
}

/// Whether the parameter has changed in `iteration`; `None`: there was nothing to compare its contents with.
fn has_moved(id: VarId, iteration: &Iteration, scene: &Scene) -> Option<bool> {
    let variable = scene.variables.get(id);
    let compared = variable.first_looked < iteration.number && variable.looked >= iteration.frame.time;
    compared.then_some(variable.changed == iteration.number)
}

/// What the optimizer holds.
fn held_by(optimizer: u32, scene: &Scene) -> impl Iterator<Item = VarId> {
    let variables = &scene.variables;
    variables.held_by(optimizer).iter().copied().filter(move |&id| variables.get(id).is_held_by(optimizer))
}

/// Which storages modules that ran reach by these names, and when that was seen last.
fn reached_storages(names: impl Iterator<Item = VarId>, scene: &Scene) -> FxHashMap<i64, u64> {
    let mut storages = FxHashMap::default();
    for variable in names.filter(|&id| is_reached(id, scene) == Some(true)).map(|id| scene.variables.get(id))
    {
        if variable.storage != 0 && variable.looked != 0 {
            let looked = storages.entry(variable.storage).or_default();
            *looked = variable.looked.max(*looked);
        }
    }
    storages
}

/// Whether a module that ran reaches the parameter under this name; `None`: cannot be said.
fn is_reached(id: VarId, scene: &Scene) -> Option<bool> {
    let variable = scene.variables.get(id);
    match (&variable.reached_from, variable.kind) {
        (Some(roots), _) => Some(roots.iter().any(|root| scene.ran.contains(root))),
        (None, VariableKind::Unreached) => Some(false),
        (None, VariableKind::Parameter) => scene.ran.contains(&variable.owner).then_some(true),
        _ => None,
    }
}
