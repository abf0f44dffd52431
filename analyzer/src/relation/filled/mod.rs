//! Filled: what initialises a parameter before the first iteration does so, and as often as in the references.
//!
//! A parameter that each of its ancestors initialises once more has the last one's values and has used up random numbers that
//! were meant for others; one that is left out has what its module was constructed with.
pub mod claim;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Event, VariableKind};

use crate::relation::needs::{Needs, States};
use crate::relation::numbers::OutcomeId;
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::scene::variables::VarId;
use crate::scene::{Cut, Frame, Iteration, TraceEvent, dictionary};
use crate::situation::NOTHING;
use claim::{Outcome, Subject};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Filled::default()),
    together: None,
    structural: true,
    values_needed: 0,
    needs: NEEDS,
    told: Told::NOTHING,
};

const NEEDS: Needs = Needs {
    variables: &[States { attribute: Attribute::Storage, of: &[VariableKind::Parameter], at: &[] }],
    fills: true,
    ..Needs::NOTHING
};

/// By the end of this iteration every parameter that runs has been looked at.
const DECIDED_AFTER: u32 = 2;
/// What the agent remembers of one parameter.
const MOST_TIMES: u64 = 32;

/// What fills without drawing random numbers: the same once more is the same.
const CONSTANT: &[&str] = &["zero_", "zeros_", "fill_", "ones_", "constant_", "eye_", "dirac_", "identity_"];

#[derive(Default)]
struct Filled {
    /// Parameters by root module.
    roots: BTreeMap<u32, BTreeMap<String, Parameter>>,
    decided: bool,
}

/// What a load of a state fills with, which is another matter.
const LOADED: &str = "copy_";

/// What fills, and from where.
type Filler = (String, String);

#[derive(Default)]
struct Parameter {
    /// How often each filled it, and the place of the last time.
    by: BTreeMap<Filler, (u64, u32)>,
    all: u64,
}

impl Observer for Filled {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Filled(fill) if !self.decided => self.filled(fill, cx),
            TraceEvent::IterationEnded(iteration, cut)
                if iteration.number >= DECIDED_AFTER && !self.decided =>
            {
                self.decided = true;
                self.decide(iteration, *cut, cx);
            }
            _ => {}
        }
    }
}

impl Filled {
    fn filled(&mut self, fill: &Event, cx: &Context<'_>) {
        let Ok(variable) = u32::try_from(fill.value) else { return };
        let Some((name, VariableKind::Parameter, owner)) = dictionary::variable(variable, cx.source) else {
            return;
        };
        let text = |id: u32| cx.source.entry(id).map(|entry| entry.text.clone()).unwrap_or_default();
        let parameter = self.roots.entry(owner).or_default().entry(name).or_default();
        parameter.all += 1;
        let by = text(fill.name);
        if !by.ends_with(LOADED) {
            let (times, site) = parameter.by.entry((by, text(fill.site))).or_default();
            *times += 1;
            *site = fill.site;
        }
    }

    fn decide(&mut self, iteration: &Iteration, cut: Option<Cut>, cx: &mut Context<'_>) {
        let cut = cut.or(cx.scene.fills_lost.then_some(Cut::Loss));
        let outcomes: Vec<OutcomeId> =
            (1..=MOST_TIMES).map(|times| cx.numbers.outcome(Outcome::FilledTimes { times })).collect();
        let filled = cx.numbers.outcome(Outcome::Filled);
        for (root, parameters) in std::mem::take(&mut self.roots) {
            let fillers: BTreeSet<&Filler> = parameters.values().flat_map(|one| one.by.keys()).collect();
            for (name, id) in parameters_of(root, cx) {
                let nothing = Parameter::default();
                let parameter = parameters.get(&name).unwrap_or(&nothing);
                for filler in fillers.iter().copied() {
                    let (times, site) = parameter.by.get(filler).copied().unwrap_or_default();
                    // What something else has filled was not left out.
                    if times == 0 && parameter.all > 1 {
                        continue;
                    }
                    let (by, from) = filler.clone();
                    let is_constant = CONSTANT.iter().any(|constant| by.ends_with(constant));
                    let subject = Subject::Parameter { name: name.clone(), by, from };
                    let subject = cx.numbers.subject(subject);
                    if !cx.wants(subject) {
                        continue;
                    }
                    let so_often = usize::try_from(times.min(MOST_TIMES)).unwrap_or_default();
                    let mut held = Vec::new();
                    if times > 0 {
                        held.push(filled);
                        // Whatever repeats it, a constant is what it was.
                        held.extend((!is_constant).then(|| outcomes[so_often - 1]));
                    }
                    let at = Frame { site, ..iteration.frame };
                    let mut window = Window::new(subject, NOTHING, &at, iteration.depth);
                    window.held = &held;
                    // Less often may be another way to initialise.
                    window.inconclusive = if is_constant { &outcomes } else { &outcomes[so_often..] };
                    window.cut = cut;
                    window.variables = std::slice::from_ref(&id);
                    cx.window(&window);
                }
            }
        }
    }
}

/// The parameters of a root module, but for those that are one tensor with another: they are initialised under each name.
fn parameters_of(root: u32, cx: &Context<'_>) -> BTreeMap<String, VarId> {
    let variables = &cx.scene.variables;
    let mut storages: FxHashMap<i64, u32> = FxHashMap::default();
    let parameters = variables.of_owner(root).iter().map(|&id| (id, variables.get(id)));
    let parameters = parameters.filter(|(_, variable)| variable.kind == VariableKind::Parameter);
    for (_, variable) in parameters.clone() {
        *storages.entry(variable.storage).or_default() += 1;
    }
    let alone = |storage: i64| storage == 0 || storages.get(&storage) == Some(&1);
    parameters
        .filter(|(_, variable)| alone(variable.storage))
        .map(|(id, variable)| (variable.name.clone(), id))
        .collect()
}
