//! Input-output: a property of what a call gives back equals the same property of what it was given; and two tensors that it
//! is given have the same number of rows.
//!
//! The number of rows (the first dimension of the first tensor), and the type of floating-point numbers. Equal numbers
//! are equal by chance often enough, so a claim needs that the references saw the property vary.
pub mod claim;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Argument, Role, flags};

use crate::call::roles::Roles;
use crate::relation::needs::Needs;
use crate::relation::numbers::SubjectId;
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::relation::support::tensor::Described;
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Outcome, Property, Subject};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(InputOutput::default()),
    together: None,
    structural: false,
    values_needed: 2,
    needs: NEEDS,
    told: Told::NOTHING,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::ModuleCall, Role::User]),
    arguments: Roles::of(&[Role::ModuleCall, Role::User]),
    results: Roles::of(&[Role::ModuleCall, Role::User]),
    ..Needs::NOTHING
};

/// Results of one call that are looked at.
const MOST_RESULTS: usize = 8;
/// Open calls that are remembered.
const MOST_OPEN: usize = 1024;
/// Tensors of one call that are compared with one another.
const MOST_TENSORS: usize = 4;
/// Values of a property that are told apart: two say that it varies.
const MOST_VALUES: usize = 2;

#[derive(Default)]
struct InputOutput {
    /// Rows and type of the first tensor that open calls were given.
    given: FxHashMap<u64, (Option<u64>, Option<String>)>,
    seen: FxHashMap<SubjectId, Seen>,
}

/// What there was of a subject.
#[derive(Default)]
struct Seen {
    windows: u32,
    values: Vec<String>,
    /// At the end, in so many windows one of two tensors had a single row.
    collapsed: Streak,
}

/// Whether two properties are the same.
#[derive(Clone, Copy, PartialEq)]
enum Compared {
    Same,
    Different,
    /// They are not, and that may be right.
    Otherwise,
}

impl Observer for InputOutput {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Given(frame, arguments) if is_asked(frame) => {
                self.rows(frame, arguments, cx);
                let first = arguments.iter().find_map(|argument| Described::of(argument, cx.source));
                if let Some(first) = first.filter(|_| self.given.len() < MOST_OPEN) {
                    let dtype = first.is_float().then(|| first.dtype.to_owned());
                    self.given.insert(frame.call, (first.rows(), dtype));
                }
            }
            TraceEvent::Gave(frame, results) if is_asked(frame) => {
                if let Some((rows, dtype)) = self.given.remove(&frame.call) {
                    self.gave(frame, rows, dtype, results, cx);
                }
            }
            // It gave nothing back that was recorded; what it gives back is told after it is left.
            TraceEvent::IterationBegan(_) => self.given.retain(|call, _| cx.scene.is_open(*call)),
            _ => {}
        }
    }
}

/// Whether what the call does with tensors is of interest.
fn is_asked(frame: &Frame) -> bool {
    match frame.target.role {
        Role::ModuleCall => frame.flags & flags::OUTERMOST != 0,
        Role::User => frame.counts,
        _ => false,
    }
}

impl InputOutput {
    fn gave(
        &mut self,
        frame: &Frame,
        rows: Option<u64>,
        dtype: Option<String>,
        results: &[Argument],
        cx: &mut Context<'_>,
    ) {
        for result in results.iter().take(MOST_RESULTS) {
            let Some(described) = Described::of(result, cx.source) else { continue };
            if let (Some(given), Some(gave)) = (rows, described.rows()) {
                let subject = mapping(frame, result, Property::Rows, cx);
                self.example(frame, subject, &given.to_string(), Compared::of(given == gave), cx);
            }
            if let Some(given) = dtype.as_ref().filter(|_| described.is_float()) {
                let subject = mapping(frame, result, Property::Dtype, cx);
                self.example(frame, subject, given, Compared::of(given == described.dtype), cx);
            }
        }
    }

    /// What two tensors have in common that a call is given. Where they differ in one way or another, the one may be of other
    /// things than the other; a single row is what a batch becomes that is reduced by mistake.
    fn rows(&mut self, frame: &Frame, arguments: &[Argument], cx: &mut Context<'_>) {
        let source = cx.source;
        let rows = |argument: &Argument| {
            let rows = Described::of(argument, source)?.rows()?;
            Some((source.entry(argument.name)?.text.clone(), rows))
        };
        let tensors: Vec<(String, u64)> = arguments.iter().filter_map(rows).take(MOST_TENSORS).collect();
        for (number, (one, rows)) in tensors.iter().enumerate() {
            for (other, others) in &tensors[number + 1..] {
                let call = cx.numbers.calls.get(frame.target.plain).clone();
                let subject = Subject::Rows { call, one: one.clone(), other: other.clone() };
                let subject = cx.numbers.subject(subject);
                let seen = self.seen.entry(subject).or_default();
                let collapsed = rows != others && (*rows == 1 || *others == 1);
                seen.collapsed.add(collapsed, (frame.iteration, frame.step));
                let compared = match collapsed && !seen.collapsed.is_accident() {
                    true => Compared::Different,
                    false if rows == others => Compared::Same,
                    false => Compared::Otherwise,
                };
                self.example(frame, subject, &rows.to_string(), compared, cx);
            }
        }
    }

    fn example(
        &mut self,
        frame: &Frame,
        subject: SubjectId,
        value: &str,
        compared: Compared,
        cx: &mut Context<'_>,
    ) {
        let Seen { windows, values, collapsed } = self.seen.entry(subject).or_default();
        *windows = windows.saturating_add(1);
        let known = values.iter().any(|known| known == value);
        if !known && values.len() < MOST_VALUES {
            values.push(value.to_owned());
        }
        let kept = [cx.numbers.outcome(Outcome::Kept)];
        let mut held = Vec::new();
        if values.iter().any(|known| known == value) {
            held.push(cx.numbers.outcome(Outcome::Saw { value: value.to_owned() }));
        }
        if compared == Compared::Same {
            held.extend(kept);
        }
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = &held;
        window.inconclusive = if compared == Compared::Otherwise { &kept } else { &[] };
        window.began = collapsed.began();
        window.cut = Scene::too_early(frame.iteration, *windows);
        cx.window(&window);
    }
}

impl Compared {
    fn of(same: bool) -> Compared {
        if same { Compared::Same } else { Compared::Different }
    }
}

fn mapping(frame: &Frame, result: &Argument, property: Property, cx: &mut Context<'_>) -> SubjectId {
    let place = cx.source.entry(result.name).map(|entry| entry.text.clone()).unwrap_or_default();
    let call = cx.numbers.calls.get(frame.target.plain).clone();
    cx.numbers.subject(Subject::Mapping { call, place, property })
}
