//! The training that is recorded.

use traincheck_schema::record::*;

use super::recorder::{Call, Recorder, Value};
use super::{Error, Synthetic};

/// Batches of a pass, at least; half as many again at most.
const BATCHES: u64 = 18;
/// Batches of an evaluation.
const EVALUATION: u32 = 2;
/// The sampled iterations beyond the first three: one in so many.
const SAMPLED: u32 = 100;
/// Ops in a sampled iteration, for each call of a module.
const OPS: usize = 80;

struct Parameter {
    variable: u32,
    elements: u64,
    storage: i64,
    buffer: bool,
    requires_grad: bool,
    /// Tells contents apart.
    contents: u64,
    moments: [u32; 3],
}

/// A step of a forward pass.
#[derive(Clone, Copy)]
enum Forward {
    Enter(Call),
    Exit,
}

/// The functions that are called, each from its line.
struct Functions {
    main: Call,
    train_epoch: Call,
    evaluate: Call,
    save_checkpoint: Call,
    train: Call,
    eval: Call,
    iter: Call,
    next: Call,
    iter_of_evaluation: Call,
    next_of_evaluation: Call,
    zero_grad: Call,
    zero_grad_op: Call,
    backward: Call,
    autograd: Call,
    step: Call,
    step_op: Call,
    report: Call,
    tick: Call,
    scheduler: Call,
    state_dict: Call,
    save: Call,
    ops: Vec<Call>,
}

pub struct Training {
    pub record: Recorder,
    functions: Functions,
    forward: Vec<Forward>,
    parameters: Vec<Parameter>,
    mode: u32,
    rate: u32,
    loss: u32,
    batch: [u32; 2],
    shapes: [u32; 2],
    texts: [u32; 3],
    holders: [u32; 2],
    error: Option<Error>,
    /// Of all ranks; `None`: there is one alone.
    group: Option<u32>,
    epoch: u32,
    left_in_pass: u64,
    evaluating: bool,
    ended: bool,
}

impl Training {
    pub fn new(of: &Synthetic, rank: u32) -> Training {
        let mut record = Recorder::new(of.seed, rank);
        let r = &mut record;
        let group = (of.ranks > 1).then(|| r.group(rank, of.ranks));
        let loader = r.object("DataLoader", ObjectKind::Loader, "torch.utils.data.dataloader.DataLoader", 0);
        let other = r.object("DataLoader#2", ObjectKind::Loader, "torch.utils.data.dataloader.DataLoader", 0);
        let adam = r.object("AdamW", ObjectKind::Optimizer, "torch.optim.adamw.AdamW", 0);
        let schedule = "torch.optim.lr_scheduler.CosineAnnealingLR";
        let scheduler = r.object("CosineAnnealingLR", ObjectKind::Scheduler, schedule, 0);
        let net = r.object("Net", ObjectKind::Module, "__main__.Net", 0);
        let functions = Functions {
            main: r.function("__main__.main", Role::User, 173, 0),
            train_epoch: r.function("__main__.train_epoch", Role::User, 159, 0),
            evaluate: r.function("__main__.evaluate", Role::User, 162, 0),
            save_checkpoint: r.function("__main__.save_checkpoint", Role::User, 164, 0),
            train: r.function("__main__.Net.train", Role::ModeChange, 75, net),
            eval: r.function("__main__.Net.eval", Role::ModeChange, 91, net),
            iter: r.function("torch.utils.data.dataloader.DataLoader.__iter__", Role::LoaderIter, 77, loader),
            next: r.function("torch.utils.data.dataloader._Iter.__next__", Role::LoaderNext, 77, loader),
            iter_of_evaluation: r.function(
                "torch.utils.data.dataloader.DataLoader.__iter__",
                Role::LoaderIter,
                94,
                other,
            ),
            next_of_evaluation: r.function(
                "torch.utils.data.dataloader._Iter.__next__",
                Role::LoaderNext,
                94,
                other,
            ),
            zero_grad: r.function("torch.optim.adamw.AdamW.zero_grad", Role::ZeroGrad, 79, adam),
            zero_grad_op: r.op("Optimizer.zero_grad#AdamW.zero_grad"),
            backward: r.function("torch.Tensor.backward", Role::Backward, 81, 0),
            autograd: r.function("torch.autograd.backward", Role::Backward, 81, 0),
            step: r.function("torch.optim.adamw.AdamW.step", Role::OptimizerStep, 82, adam),
            step_op: r.op("Optimizer.step#AdamW.step"),
            report: r.function("pipeline.report", Role::User, 83, 0),
            tick: r.function("pipeline.Meter.tick", Role::User, 85, 0),
            scheduler: r.function(&format!("{schedule}.step"), Role::SchedulerStep, 161, scheduler),
            state_dict: r.function("__main__.Net.state_dict", Role::StateDict, 103, net),
            save: r.function("torch.serialization.save", Role::Save, 101, 0),
            ops: (0..60).map(|number| r.op(&format!("aten::op_{number}"))).collect(),
        };
        let (forward, parameters) = network(r, of, net, adam);
        let holders = [adam, net].map(|object| r.text(&object.to_string()));
        let mut training = Training {
            functions,
            forward,
            parameters,
            mode: record.variable("Net.training", VariableKind::Mode, net),
            rate: record.variable("AdamW.param_groups[0].lr", VariableKind::Hyperparameter, adam),
            loss: record.variable("loss", VariableKind::Loss, 0),
            batch: [0, 1]
                .map(|i| record.variable(&format!("DataLoader.batch[{i}]"), VariableKind::Batch, loader)),
            shapes: ["[64, 1, 8, 8] float32 cpu", "[64, 10] float32 cpu"].map(|text| record.text(text)),
            texts: ["x", "result", "value"].map(|text| record.text(text)),
            holders,
            error: of.error,
            group,
            epoch: 0,
            left_in_pass: 0,
            evaluating: false,
            ended: false,
            record,
        };
        training.begin([loader, other, adam, scheduler, net], schedule);
        training
    }

    /// What a script does before its loop.
    fn begin(&mut self, [loader, other, adam, scheduler, net]: [u32; 5], schedule: &str) {
        self.record.enter(self.functions.main);
        self.record.happened(EventKind::Created, loader, 0);
        self.record.happened(EventKind::Created, other, 0);
        self.record.happened(EventKind::Created, adam, 0);
        let init = self.record.function(&format!("{schedule}.__init__"), Role::SchedulerInit, 148, scheduler);
        self.record.enter(init);
        for setting in 0..120 {
            self.record.argument(Direction::Argument, self.texts[2], Value::Int(setting));
        }
        self.record.call(Call { site: init.site, ..self.functions.scheduler }.with(flags::IN_INIT));
        self.record.exit();
        self.record.happened(EventKind::Created, scheduler, adam.into());
        self.record.happened(EventKind::Created, net, 0);
        self.begin_pass();
        for parameter in &self.parameters {
            let (id, shape) = (parameter.variable, self.shapes[1]);
            if !parameter.buffer {
                let flag = Value::Bool(parameter.requires_grad);
                self.record.state(id, Attribute::RequiresGrad, flag);
                self.record.state(id, Attribute::ReachedFrom, Value::Text(self.holders[1]));
                self.record.state(id, Attribute::HeldBy, Value::Text(self.holders[0]));
            }
            self.record.state(id, Attribute::Storage, Value::Int(parameter.storage));
            self.record.state(id, Attribute::Shape, Value::Text(shape));
        }
    }

    /// One batch, with the end of a pass and the beginning of the next where it is due.
    pub fn iterate(&mut self) {
        if self.left_in_pass == 0 {
            self.end_pass();
            self.begin_pass();
        }
        self.left_in_pass -= 1;
        let f = &self.functions;
        let cleared = self.error != Some(Error::NoZeroGrad);
        self.record.enter(f.next);
        self.record.exit_and(|r| {
            for (variable, elements) in self.batch.into_iter().zip([4096, 64]) {
                let contents = r.own.next();
                r.state(variable, Attribute::Data, Value::Tensor(elements, contents));
            }
        });
        if cleared {
            self.record.enter(f.zero_grad);
            self.record.call(f.zero_grad_op);
            self.record.exit();
        }

        self.record.iteration += 1;
        self.record.sampled = self.record.iteration <= 3 || self.record.iteration.is_multiple_of(SAMPLED);
        self.record.stage = Stage::Training;
        self.record.happened(EventKind::Iteration, 0, 0);
        self.forward(!self.evaluating);

        let f = &self.functions;
        self.record.enter(f.backward);
        if self.record.sampled {
            for flag in [None, None, Some(false), None] {
                let value = flag.map_or(Value::None, Value::Bool);
                self.record.argument(Direction::Argument, self.texts[2], value);
            }
        }
        let loss = f64::from(self.record.own.share());
        self.record.state(self.loss, Attribute::Value, Value::Float(loss));
        self.record.enter(f.autograd);
        if let Some(group) = self.group {
            // Two buckets of gradients.
            let elements: u64 =
                self.parameters.iter().filter(|p| !p.buffer).map(|parameter| parameter.elements).sum();
            self.record.all_reduce(group, elements / 2);
            self.record.all_reduce(group, elements - elements / 2);
        }
        self.record.exit();
        self.record.exit_and(|r| {
            r.look(look::GRADIENTS);
            for parameter in self.parameters.iter().filter(|p| !p.buffer) {
                let contents = Value::Tensor(parameter.elements, r.noise.next());
                let gradient = if parameter.requires_grad { contents } else { Value::None };
                r.state(parameter.variable, Attribute::Grad, gradient);
            }
        });

        self.record.enter(f.step_op);
        let grad = std::mem::replace(&mut self.record.grad, false);
        self.record.enter(f.step);
        if self.record.sampled {
            self.record.look(look::PARAMETERS | look::AT_ENTRY);
            contents(&mut self.record, self.parameters.iter().filter(|p| !p.buffer));
        }
        for parameter in &mut self.parameters {
            let moves = if parameter.buffer { !self.evaluating } else { parameter.requires_grad };
            parameter.contents = parameter.contents.wrapping_add(u64::from(moves));
        }
        self.record.step += 1;
        self.record.exit_and(|r| {
            r.look(look::PARAMETERS | look::BUFFERS | look::HYPERPARAMETERS);
            contents(r, self.parameters.iter());
            if r.sampled {
                for parameter in self.parameters.iter().filter(|p| !p.buffer) {
                    r.state(parameter.moments[0], Attribute::Value, Value::Float(r.step.into()));
                    for moment in &parameter.moments[1..] {
                        let contents = r.noise.next();
                        r.state(*moment, Attribute::Data, Value::Tensor(parameter.elements, contents));
                    }
                }
            }
        });
        self.record.grad = grad;
        self.record.exit();
        self.record.enter(f.report);
        if self.record.sampled {
            self.record.argument(Direction::Argument, self.texts[0], Value::Text(self.texts[0]));
            self.record.argument(Direction::Argument, self.texts[2], Value::Float(loss));
        }
        self.record.exit();
        self.record.call(f.tick);
    }

    /// A call of the network.
    fn forward(&mut self, training: bool) {
        let mode = if training { flags::MODULE_TRAIN } else { flags::MODULE_EVAL };
        let sampled = self.record.sampled;
        for step in &self.forward {
            match step {
                Forward::Enter(call) => {
                    // Functions of the script, such as `forward`, are in no mode.
                    self.record.enter(if call.object == 0 { *call } else { call.with(mode) });
                    if sampled {
                        let tensor = Value::Tensor(self.shapes[0].into(), 7);
                        self.record.argument(Direction::Argument, self.texts[0], tensor);
                        for number in 0..OPS {
                            self.record.call(self.functions.ops[number % self.functions.ops.len()]);
                        }
                    }
                }
                Forward::Exit => self.record.exit_and(|r| {
                    if sampled {
                        let tensor = Value::Tensor(self.shapes[1].into(), 8);
                        r.argument(Direction::Result, self.texts[1], tensor);
                    }
                }),
            }
        }
    }

    /// Sets the mode, and looks at everything.
    fn set_mode(&mut self, training: bool) {
        self.evaluating = !training;
        self.record.enter(if training { self.functions.train } else { self.functions.eval });
        self.record.exit_and(|r| {
            r.look(look::PARAMETERS | look::BUFFERS);
            r.state(self.mode, Attribute::Training, Value::Bool(training));
            contents(r, self.parameters.iter());
        });
    }

    fn begin_pass(&mut self) {
        self.left_in_pass = BATCHES + self.record.noise.next() % (BATCHES / 2);
        self.record.enter(self.functions.train_epoch);
        if self.epoch == 0 || self.error != Some(Error::LeftInEvaluation) {
            self.set_mode(true);
        }
        self.record.call(self.functions.iter);
    }

    fn end_pass(&mut self) {
        self.epoch += 1;
        // Between iterations nothing is sampled.
        self.record.sampled = false;
        self.record.enter(self.functions.next);
        self.record.raise();
        self.record.exit_and(|r| {
            r.look(look::PARAMETERS | look::BUFFERS);
            contents(r, self.parameters.iter());
        });
        if self.error != Some(Error::NoSchedulerStep) {
            self.record.enter(self.functions.scheduler);
            let rate = 1e-3 * (1.0 + (f64::from(self.epoch) / 10.0).cos()) / 2.0;
            self.record.exit_and(|r| {
                r.look(look::HYPERPARAMETERS);
                r.state(self.rate, Attribute::Value, Value::Float(rate));
            });
        }
        self.evaluate();
        self.record.enter(self.functions.save_checkpoint);
        self.record.call(self.functions.state_dict);
        self.record.enter(self.functions.save);
        // What is saved: a dict of dicts.
        for number in 0..40 {
            let tensor = Value::Tensor(self.shapes[1].into(), number);
            self.record.argument(Direction::Argument, self.texts[0], tensor);
        }
        self.record.stage = Stage::Checkpointing;
        self.record.happened(EventKind::Stage, 0, 0);
        self.record.exit();
        self.record.stage = Stage::Evaluation;
        self.record.happened(EventKind::Stage, 0, 0);
        self.record.exit();
    }

    fn evaluate(&mut self) {
        self.record.grad = false;
        self.record.enter(self.functions.evaluate);
        self.record.stage = Stage::Evaluation;
        self.set_mode(false);
        self.record.happened(EventKind::Stage, 0, 0);
        self.record.call(self.functions.iter_of_evaluation);
        for _ in 0..EVALUATION {
            self.record.call(self.functions.next_of_evaluation);
            self.forward(false);
        }
        self.record.enter(self.functions.next_of_evaluation);
        self.record.raise();
        self.record.exit();
        self.record.grad = true;
    }

    /// The script ends in the middle of a pass, as one that has done as many steps as it was to do.
    pub fn finish(&mut self) {
        while !self.ended && self.record.has_open_calls() {
            self.record.exit();
        }
        self.ended = true;
    }
}

fn contents<'a>(record: &mut Recorder, of: impl Iterator<Item = &'a Parameter>) {
    for parameter in of {
        let contents = u64::from(parameter.variable) << 40 ^ parameter.contents;
        record.state(parameter.variable, Attribute::Data, Value::Tensor(parameter.elements, contents));
    }
}

/// Calls and variables of a network of blocks and a head.
fn network(record: &mut Recorder, of: &Synthetic, net: u32, adam: u32) -> (Vec<Forward>, Vec<Parameter>) {
    let (mut forward, mut parameters) = (Vec::new(), Vec::new());
    let mut parameter = |record: &mut Recorder, module: &str, name: &str, elements, block: Option<u32>| {
        let buffer = name.contains("running") || name.contains("tracked");
        let kind = if buffer { VariableKind::Buffer } else { VariableKind::Parameter };
        let full = format!("Net.{module}.{name}");
        let moments = ["step", "exp_avg", "exp_avg_sq"].map(|moment| {
            if buffer {
                return 0;
            }
            let name = format!("AdamW.state[{full}].{moment}");
            record.variable(&name, VariableKind::OptimizerState, adam)
        });
        let frozen = buffer || of.error == Some(Error::Frozen) && block == Some(0);
        parameters.push(Parameter {
            variable: record.variable(&full, kind, net),
            elements,
            storage: parameters.len() as i64 + 1,
            buffer,
            requires_grad: !frozen,
            contents: record.noise.next() >> 24,
            moments,
        });
    };
    let enter =
        |record: &mut Recorder, forward: &mut Vec<Forward>, module: &str, class: &str, line, flags| {
            let name = if module.is_empty() { "Net".to_owned() } else { format!("Net.{module}") };
            let object =
                record.object(&name, ObjectKind::Module, class, if module.is_empty() { 0 } else { net });
            let call = record.function(&format!("{class}.__call__"), Role::ModuleCall, line, object);
            forward.push(Forward::Enter(call.with(flags)));
            if class.starts_with("__main__") {
                let call = record.function(&format!("{class}.forward"), Role::User, line, 0);
                forward.push(Forward::Enter(call));
            }
        };
    enter(record, &mut forward, "", "__main__.Net", 80, flags::OUTERMOST);
    enter(record, &mut forward, "backbone", "__main__.Backbone", 56, 0);
    for block in 0..of.blocks {
        let (conv, norm) = (format!("backbone.conv{block}"), format!("backbone.norm{block}"));
        enter(record, &mut forward, &conv, "torch.nn.modules.conv.Conv2d", 32, 0);
        forward.push(Forward::Exit);
        enter(record, &mut forward, &norm, "torch.nn.modules.batchnorm.BatchNorm2d", 32, 0);
        forward.push(Forward::Exit);
        parameter(record, &conv, "weight", 4608, Some(block));
        parameter(record, &conv, "bias", 32, Some(block));
        for (name, elements) in [
            ("weight", 32),
            ("bias", 32),
            ("running_mean", 32),
            ("running_var", 32),
            ("num_batches_tracked", 1),
        ] {
            parameter(record, &norm, name, elements, Some(block));
        }
    }
    forward.extend([Forward::Exit, Forward::Exit]);
    enter(record, &mut forward, "head", "__main__.Head", 56, 0);
    for (layer, class, inputs) in [
        ("head.hidden", "torch.nn.modules.linear.Linear", 512),
        ("head.dropout", "torch.nn.modules.dropout.Dropout", 0),
        ("head.output", "torch.nn.modules.linear.Linear", 64),
    ] {
        enter(record, &mut forward, layer, class, 46, 0);
        forward.push(Forward::Exit);
        if inputs > 0 {
            parameter(record, layer, "weight", 64 * inputs, None);
            parameter(record, layer, "bias", 64, None);
        }
    }
    forward.extend([Forward::Exit; 4]);
    (forward, parameters)
}
