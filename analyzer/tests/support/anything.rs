//! Traces in which anything happens: calls of every role in one another, and at their entries and returns whatever can
//! be found, given and given back. No script does that. But what is in none of its windows, a relation does not read.

use traincheck_analyzer::call::role_word;
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{
    Attribute, Direction, EventKind, ObjectKind, Role, Stage, VariableKind, flags,
};

use super::record::{Passed, Recorder, Value};

/// Calls that are made by none, of a trace. What can only happen once wants many short ones; what must happen three
/// times in a row, a long one.
const CALLS: [usize; 2] = [10, 50];
const DEEPEST: u32 = 4;

/// What comes often enough for three in a row.
const COMMON: [Role; 11] = [
    Role::ModuleCall,
    Role::Backward,
    Role::OptimizerStep,
    Role::OptimizerStep,
    Role::ZeroGrad,
    Role::User,
    Role::LoaderNext,
    Role::SchedulerStep,
    Role::OptimizerInit,
    Role::ModeChange,
    Role::LoadState,
];

const CONTEXTS: [&str; 8] = [
    "",
    "autocast(cpu, bfloat16)",
    "autocast(cuda, float16)",
    "autocast(cpu, bfloat16) autocast(cuda, bfloat16) no_sync",
    "deterministic",
    "deterministic(warn) matmul=high",
    "matmul=medium default_dtype=float64",
    "no_sync default_dtype=float16",
];

/// The trace with this number, always the same.
pub fn anything(seed: u64) -> MemoryTrace {
    let mut record = Recorder::default();
    let mut objects = Vec::new();
    let mut variables = Vec::new();
    for (name, kind, class, of) in [
        ("Net", ObjectKind::Module, "__main__.Net", PARTS),
        ("Net#2", ObjectKind::Module, "__main__.Net", PARTS),
        ("SGD", ObjectKind::Optimizer, "torch.optim.SGD", GROUPS),
        ("Adam", ObjectKind::Optimizer, "torch.optim.Adam", GROUPS),
        ("StepLR", ObjectKind::Scheduler, "torch.optim.lr_scheduler.StepLR", &[]),
        ("StepLR#2", ObjectKind::Scheduler, "torch.optim.lr_scheduler.StepLR", &[]),
        ("GradScaler", ObjectKind::Scaler, "torch.amp.GradScaler", &[]),
        ("DataLoader", ObjectKind::Loader, "torch.utils.data.DataLoader", BATCH),
    ] {
        let object = record.object(name, kind, class);
        objects.push((object, kind));
        if kind == ObjectKind::Module {
            let class = "torch.nn.modules.dropout.Dropout";
            objects.push((record.module_below(object, &format!("{name}.drop"), class), kind));
        }
        let of =
            of.iter().map(|(part, kind)| (record.variable(&format!("{name}{part}"), *kind, object), *kind));
        variables.extend(of);
    }
    for (name, kind) in [("loss", VariableKind::Loss), ("torch.default_generator", VariableKind::Rng)] {
        variables.push((record.variable(name, kind, 0), kind));
    }
    for (variable, _) in variables.iter().filter(|(_, kind)| *kind == VariableKind::Parameter) {
        record.filled(*variable, "aten::normal_", "__main__.Net.__init__");
    }
    let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut made = Anything { record, random, rarely: 1, objects, variables };
    for _ in 0..CALLS[seed as usize % 2] {
        made.create();
        made.call(0);
    }
    made.record.finish(97, None)
}

const PARTS: &[(&str, VariableKind)] = &[
    (".weight_orig", VariableKind::Parameter),
    (".bias", VariableKind::Parameter),
    (".drop.scale", VariableKind::Parameter),
    (".weight_u", VariableKind::Buffer),
    (".training", VariableKind::Mode),
];
const GROUPS: &[(&str, VariableKind)] = &[
    (".param_groups[0].lr", VariableKind::Hyperparameter),
    (".param_groups[0].params[0]", VariableKind::Unreached),
    (".state[Net.bias].exp_avg", VariableKind::OptimizerState),
];
const BATCH: &[(&str, VariableKind)] = &[
    (".batch[0]", VariableKind::Batch),
    (".batch[1]", VariableKind::Batch),
    (".worker", VariableKind::Worker),
    (".worker[1].random", VariableKind::Worker),
];

struct Anything {
    record: Recorder,
    random: u64,
    /// A look finds another than the usual contents in one of so many tensors.
    rarely: usize,
    objects: Vec<(u32, ObjectKind)>,
    variables: Vec<(u32, VariableKind)>,
}

impl Anything {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) as usize % end
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn object(&mut self, kinds: &[ObjectKind]) -> u32 {
        let fitting: Vec<u32> =
            self.objects.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(id, _)| *id).collect();
        if fitting.is_empty() { 0 } else { self.one_of(&fitting) }
    }

    fn create(&mut self) {
        if self.one_in(4) {
            let all = self.objects.clone();
            let (object, kind) = self.one_of(&all);
            let of = if kind == ObjectKind::Scheduler { self.object(&[ObjectKind::Optimizer]) } else { 0 };
            self.record.event(EventKind::Created, 0, 0, object, 0, of.into());
        }
    }

    fn call(&mut self, depth: u32) {
        let role = if self.one_in(3) { self.one_of(Role::ALL) } else { self.one_of(&COMMON) };
        let object = self.object(match role {
            Role::ModuleCall | Role::ModeChange => &[ObjectKind::Module],
            Role::LoadState => &[ObjectKind::Module, ObjectKind::Optimizer, ObjectKind::Scheduler],
            Role::ZeroGrad => &[ObjectKind::Module, ObjectKind::Optimizer],
            Role::OptimizerStep | Role::OptimizerInit => &[ObjectKind::Optimizer],
            Role::SchedulerStep | Role::SchedulerInit => &[ObjectKind::Scheduler],
            Role::ScalerScale | Role::ScalerUnscale | Role::ScalerStep | Role::ScalerUpdate => {
                &[ObjectKind::Scaler]
            }
            Role::LoaderInit | Role::LoaderIter | Role::LoaderNext => &[ObjectKind::Loader],
            _ => &[],
        });
        let line = self.below(4) as u32;
        self.record.at(line);
        self.record.grad = !self.one_in(4);
        self.record.stage = self.one_of(&[Stage::Training, Stage::Training, Stage::Evaluation, Stage::Init]);
        let context = self.one_of(&CONTEXTS);
        self.record.under(context);
        if role == Role::ModuleCall && self.record.grad && self.one_in(4) {
            self.record.iteration += 1;
            self.record.event(EventKind::Iteration, 0, 0, 0, 0, 0);
        }
        let mut all = self.one_of(&[flags::MODULE_TRAIN, flags::MODULE_EVAL, 0]) | flags::ALL_OPS;
        for (flag, many) in
            [(flags::OUTERMOST, 2), (flags::INFERENCE, 4), (flags::AUTOCAST, 4), (flags::IN_INIT, 16)]
        {
            all |= if self.one_in(many) { flag } else { 0 };
        }
        let word = role_word::word(role);
        let name = if role == Role::User { "__main__.f".to_owned() } else { format!("torch.{word}") };
        self.record.enter(&name, role, object, all);
        self.values(Direction::Argument);
        self.look(role, true);
        if role == Role::OptimizerStep {
            self.record.step += 1;
        }
        let inside = if depth < DEEPEST { self.below(4) } else { 0 };
        for _ in 0..inside {
            match self.below(6) {
                0 => self.record.op("aten::mul"),
                1 => self.record.op("autograd::engine::evaluate_function: MulBackward0"),
                2 => self.record.op("autograd::engine::evaluate_function: NllLossBackward0"),
                _ => self.call(depth + 1),
            }
        }
        self.look(role, false);
        let raised = self.one_in(8);
        self.record.exit(raised);
        self.values(Direction::Result);
    }

    fn look(&mut self, role: Role, at_entry: bool) {
        if self.one_in(4) {
            return;
        }
        self.record.look(at_entry);
        self.rarely = self.one_of(&[1, 2, 6, 20]);
        let mut variables = self.variables.clone();
        if self.one_in(3) {
            variables = vec![self.one_of(&variables)];
        }
        for (variable, kind) in variables {
            let attribute = match kind {
                VariableKind::Mode => Attribute::Training,
                VariableKind::Batch | VariableKind::Rng => Attribute::Data,
                VariableKind::Hyperparameter | VariableKind::Loss | VariableKind::Worker => Attribute::Value,
                _ if !self.one_in(4) => self.one_of(&[Attribute::Data, Attribute::Grad]),
                _ => self.one_of(&[
                    Attribute::RequiresGrad,
                    Attribute::Storage,
                    Attribute::Shape,
                    Attribute::HeldBy,
                    Attribute::ReachedFrom,
                ]),
            };
            let found = self.found(attribute, kind);
            // A step seldom changes a rate.
            let kept = role == Role::OptimizerStep && kind == VariableKind::Hyperparameter;
            if self.one_in(if kept { 4 } else { 2 }) {
                self.record.state(variable, attribute, found);
            }
        }
    }

    fn found(&mut self, attribute: Attribute, kind: VariableKind) -> Value {
        match attribute {
            Attribute::Data | Attribute::Grad if self.one_in(self.rarely) => match self.below(4) {
                0 => Value::None,
                1 => Value::NonFinite(1),
                number => Value::Tensor(2 * (number as u64 - 2)),
            },
            Attribute::Data | Attribute::Grad => Value::Tensor(1),
            Attribute::RequiresGrad | Attribute::Training => Value::Bool(self.one_in(2)),
            Attribute::Storage => Value::Int(self.below(3) as i64 + 1),
            Attribute::Shape => Value::Text(self.one_of(&["[8, 8] float32", "[8, 8] float16"]).into()),
            Attribute::HeldBy => self.objects_text(ObjectKind::Optimizer),
            Attribute::ReachedFrom => self.objects_text(ObjectKind::Module),
            Attribute::Value if kind == VariableKind::Worker => Value::Int(self.below(2) as i64),
            Attribute::Value => Value::Float(self.one_of(&[0.0, 0.0, 0.1, 1.0, f64::NAN])),
        }
    }

    /// None, one or all of them.
    fn objects_text(&mut self, kind: ObjectKind) -> Value {
        let mut of: Vec<String> =
            self.objects.iter().filter(|(_, other)| *other == kind).map(|(id, _)| id.to_string()).collect();
        let from = self.below(of.len() + 1);
        Value::Text(of.split_off(from).join(","))
    }

    fn values(&mut self, direction: Direction) {
        let tensor = self.one_of(&["[4, 3] float32 cpu", "[8, 3] bfloat16 cpu", "[4, 9] int64 cuda:1"]);
        let module = self.object(&[ObjectKind::Module]);
        let what = self.below(4);
        let storage = self.below(3) as u32 + 1;
        let mut pass = |name, value| self.record.argument(direction, name, value);
        match what {
            0 => {}
            _ if direction == Direction::Result => {
                pass(
                    "result",
                    if what == 1 {
                        Passed::Looked("[8, 4] float32 cpu", storage as f32 - 1.0)
                    } else {
                        Passed::Tensor(tensor, true)
                    },
                );
                pass("result[1]", Passed::Container(storage.into()));
            }
            1 => {
                pass("model", Passed::Object(module));
                pass("state_dict", Passed::Container(2));
                pass("state", Passed::Stored(storage));
            }
            _ => {
                pass("x", Passed::Tensor(tensor, false));
                pass("y", Passed::Tensor(tensor, false));
                pass("max_new_tokens", Passed::Int(5));
                pass("max_norm", Passed::Float(1.0));
            }
        }
    }
}
