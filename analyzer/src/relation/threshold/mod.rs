//! Threshold: what a call leaves or gives back stays within a bound that it was given.
//!
//! After `clip_grad_norm_` the norm of all gradients is no more than `max_norm`; what a function of the script gives
//! back is no longer than its argument `max_...`, or has grown by no more where that speaks of new elements. A bound
//! that was never nearly reached in the references says nothing.
pub mod claim;
mod clipped;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Argument, ArgumentKind, Attribute, Role, VariableKind};

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::norm::Norm;
use crate::relation::support::tensor::Described;
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{OF_NEW, Outcome, Subject};
use clipped::{Clipped, euclidean_bound};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Threshold::default()),
    together: None,
    structural: false,
    values_needed: 1,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::ClipGrad, Role::User, Role::Backward, Role::OptimizerStep]),
    arguments: Roles::of(&[Role::ClipGrad, Role::User]),
    results: Roles::of(&[Role::User]),
    variables: &[
        States {
            attribute: Attribute::Grad,
            of: &[VariableKind::Parameter, VariableKind::Unreached],
            at: &[Point::Return(Role::ClipGrad)],
        },
        States::STORAGES,
        States::HOLDERS,
    ],
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: Roles::of(&[Role::Backward, Role::ClipGrad, Role::OptimizerStep]),
    states: &[(Attribute::Grad, &[VariableKind::Parameter, VariableKind::Unreached])],
    looks: true,
    ..Told::NOTHING
};

/// Half-precision gradients are rounded after they were clipped.
const ROUNDING: f64 = 1.01;
/// From this share of the bound on it is nearly reached.
const NEARLY: f64 = 0.8;

/// Open calls that are remembered.
const MOST_OPEN: usize = 1024;

#[derive(Default)]
struct Threshold {
    /// What open calls were given: bounds by name, and the length of the first tensor.
    given: FxHashMap<u64, Bounds>,
    /// That of the gradients which the look that is going on finds, or the last one has found.
    norm: Norm,
    ordinals: FxHashMap<SubjectId, u32>,
    clipped: Clipped,
}

#[derive(Debug, Default)]
struct Bounds {
    bounds: Vec<(String, f64)>,
    length: f64,
}

impl Observer for Threshold {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        self.clipped.observe(event, &self.norm, cx);
        match event {
            TraceEvent::Given(frame, arguments) => match frame.target.role {
                Role::ClipGrad => self.clips(frame, arguments, cx),
                Role::User if frame.counts => self.given(frame, arguments, cx),
                _ => {}
            },
            TraceEvent::Gave(frame, results) if frame.target.role == Role::User => {
                if let Some(bounds) = self.given.remove(&frame.call) {
                    self.gave(frame, &bounds, results, cx);
                }
            }
            TraceEvent::State(change, Some(look))
                if change.attribute == Attribute::Grad
                    && look.frame.target.role == Role::ClipGrad
                    && !look.at_entry =>
            {
                if let Some(now) = &change.now {
                    self.norm.add(change.variable, now, cx.scene);
                }
            }
            TraceEvent::Looked(look) if look.frame.target.role == Role::ClipGrad && !look.at_entry => {
                if let (Some(norm), Some(bounds)) = (self.norm.all(), self.given.remove(&look.call)) {
                    for (name, bound) in &bounds.bounds {
                        self.example(&look.frame, name, norm, *bound, cx);
                    }
                }
            }
            TraceEvent::IterationBegan(_) => self.given.retain(|call, _| cx.scene.is_open(*call)),
            _ => {}
        }
    }
}

impl Threshold {
    fn clips(&mut self, frame: &Frame, arguments: &[Argument], cx: &Context<'_>) {
        self.norm.begin();
        if let Some(bound) = euclidean_bound(arguments, cx).filter(|_| self.given.len() < MOST_OPEN) {
            let bounds = vec![("max_norm".to_owned(), bound)];
            self.given.insert(frame.call, Bounds { bounds, length: 0.0 });
        }
    }

    fn given(&mut self, frame: &Frame, arguments: &[Argument], cx: &Context<'_>) {
        let mut bounds = Bounds::default();
        for argument in arguments {
            if argument.value_kind == ArgumentKind::Int as u8
                && let (Some(name), Some(bound)) = (name_of(argument, cx), number(argument))
                && name.starts_with("max_")
                && bound > 0.0
            {
                bounds.bounds.push((name.to_owned(), bound));
            }
        }
        if !bounds.bounds.is_empty() && self.given.len() < MOST_OPEN {
            let first = arguments.iter().find_map(|argument| Described::of(argument, cx.source));
            bounds.length = first.and_then(|first| first.length()).unwrap_or(0) as f64;
            self.given.insert(frame.call, bounds);
        }
    }

    fn gave(&mut self, frame: &Frame, bounds: &Bounds, results: &[Argument], cx: &mut Context<'_>) {
        let Some(result) = results.first() else { return };
        let length = match ArgumentKind::try_from(result.value_kind) {
            // A function that gives back two things gives back a tuple of two.
            Ok(ArgumentKind::Container)
                if cx.source.entry(result.text).is_none_or(|entry| entry.text != "tuple") =>
            {
                result.value as f64
            }
            Ok(ArgumentKind::Tensor) => {
                match Described::of(result, cx.source).and_then(|described| described.length()) {
                    Some(length) => length as f64,
                    None => return,
                }
            }
            _ => return,
        };
        for (name, bound) in &bounds.bounds {
            let grown = if name.starts_with(OF_NEW) { length - bounds.length } else { length };
            self.example(frame, name, grown, *bound, cx);
        }
    }

    fn example(&mut self, frame: &Frame, name: &str, value: f64, bound: f64, cx: &mut Context<'_>) {
        let call = cx.numbers.calls.get(frame.target.plain).clone();
        let subject = Subject::Bound { call, argument: name.to_owned() };
        let subject = cx.numbers.subject(subject);
        let ordinal = self.ordinals.entry(subject).or_default();
        *ordinal = ordinal.saturating_add(1);
        let mut held = Vec::new();
        if value <= bound * ROUNDING {
            held.push(cx.numbers.outcome(Outcome::Within));
        }
        if value >= bound * NEARLY {
            held.push(cx.numbers.outcome(Outcome::Saw { value: name.to_owned() }));
        }
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = &held;
        window.cut = Scene::too_early(frame.iteration, *ordinal);
        cx.window(&window);
    }
}

fn name_of<'a>(argument: &Argument, cx: &Context<'a>) -> Option<&'a str> {
    cx.source.entry(argument.name).map(|entry| entry.text.as_str())
}

fn number(argument: &Argument) -> Option<f64> {
    match ArgumentKind::try_from(argument.value_kind) {
        Ok(ArgumentKind::Int) => Some(argument.value as i64 as f64),
        Ok(ArgumentKind::Float) => Some(f64::from_bits(argument.value)).filter(|value| value.is_finite()),
        _ => None,
    }
}
