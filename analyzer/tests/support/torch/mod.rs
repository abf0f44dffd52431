//! The parts of PyTorch that training scripts use, as far as a trace shows them.

pub mod collectives;
mod contents;
mod loaders;

use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::*;

use super::record::{Passed, Recorder, Value};

#[derive(Clone, Copy, PartialEq)]
pub struct Model(usize);
#[derive(Clone, Copy)]
pub struct Optimizer(usize);
#[derive(Clone, Copy)]
pub struct Scheduler(u32, &'static str);
#[derive(Clone, Copy)]
pub struct Loader(u32);

impl Loader {
    /// Its dictionary id.
    pub fn id(self) -> u32 {
        self.0
    }
}

/// What gradients become.
#[derive(Clone, Copy, PartialEq)]
pub enum Grads {
    Zero,
    NonFinite,
}

struct Parameter {
    id: u32,
    data: u64,
    grad: Option<u64>,
    non_finite: bool,
    /// The gradient before this one.
    kept: Option<u64>,
    storage: i64,
    shape: &'static str,
    told_tensor: Option<(i64, &'static str)>,
    requires_grad: bool,
    buffer: bool,
    holders: Vec<u32>,
    told: Option<(bool, Vec<u32>)>,
}

struct ModelState {
    object: u32,
    class: String,
    parameters: Vec<Parameter>,
    training: bool,
    told: Option<bool>,
    mode: u32,
    alive: bool,
    /// The class of the module that it calls.
    calls: Option<String>,
}

struct OptimizerState {
    object: u32,
    class: String,
    models: Vec<(usize, String)>,
    rate: u32,
    lr: f64,
}

/// A process that trains.
pub struct Torch {
    pub record: Recorder,
    models: Vec<ModelState>,
    optimizers: Vec<OptimizerState>,
    random: u64,
    iteration_site: Option<u32>,
    backward_since: bool,
    stepped: bool,
    /// What the gradients of parameters with this in their names become in the next backwards.
    pub gradients: Option<(&'static str, Grads)>,
    loss: Option<u32>,
    counts: std::collections::HashMap<String, u32>,
    /// Hooks give back the gradient before.
    pub stale: bool,
    /// What shares a storage are different parts of it.
    pub views: bool,
}

impl Torch {
    pub fn new(seed: u64) -> Torch {
        Torch {
            record: Recorder::default(),
            models: Vec::new(),
            optimizers: Vec::new(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            iteration_site: None,
            backward_since: false,
            stepped: false,
            gradients: None,
            loss: None,
            counts: Default::default(),
            stale: false,
            views: false,
        }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random | 1
    }

    fn number(&mut self, class: &str) -> String {
        let count = self.counts.entry(class.to_owned()).or_default();
        *count += 1;
        if *count == 1 { class.to_owned() } else { format!("{class}#{count}") }
    }

    fn created(&mut self, object: u32, of: u32) {
        self.record.event(EventKind::Created, 0, 0, object, 0, of.into());
    }

    /// A module of class `class` with these parameters, and buffers, whose names begin with an underscore.
    pub fn model(&mut self, class: &str, parameters: &[&str]) -> Model {
        let name = self.number(class);
        let object = self.record.object(&name, ObjectKind::Module, &format!("__main__.{class}"));
        let mut all = Vec::new();
        for parameter in parameters {
            let buffer = parameter.contains("._");
            let kind = if buffer { VariableKind::Buffer } else { VariableKind::Parameter };
            let id = self.record.variable(&format!("{name}.{}", parameter.replace("._", ".")), kind, object);
            let data = self.random();
            all.push(Parameter {
                id,
                data,
                grad: None,
                non_finite: false,
                kept: None,
                storage: id.into(),
                shape: "[8, 8] float32",
                told_tensor: None,
                requires_grad: !buffer,
                buffer,
                holders: Vec::new(),
                told: None,
            });
        }
        let mode = self.record.variable(&format!("{name}.training"), VariableKind::Mode, object);
        self.created(object, 0);
        self.models.push(ModelState {
            object,
            class: class.into(),
            parameters: all,
            training: true,
            told: None,
            mode,
            alive: true,
            calls: None,
        });
        Model(self.models.len() - 1)
    }

    /// A module of class `class` in the model, which has no parameters. Before anything else is defined.
    pub fn part(&mut self, model: Model, name: &str, class: &str) -> u32 {
        let root = self.models[model.0].object;
        let name = format!("{}.{name}", self.record.name(root));
        self.record.module_below(root, &name, class)
    }

    /// A module of class `class` around the model, whose parameters have other names from here on, and no others.
    pub fn wrap(&mut self, model: Model, class: &str) -> Model {
        let names: Vec<String> = self.names(model);
        let below = names.iter().map(|name| format!("net.{}", name.split_once('.').expect("a dot").1));
        let below: Vec<String> = below.collect();
        let wrapper = self.model(class, &below.iter().map(String::as_str).collect::<Vec<_>>());
        self.models[wrapper.0].calls = Some(self.models[model.0].class.clone());
        self.rename(model, wrapper);
        wrapper
    }

    /// The script no longer refers to the model, but its optimizer still holds its parameters: as which model.
    pub fn orphan(&mut self, model: Model, optimizer: Optimizer) -> Model {
        let owner = self.optimizers[optimizer.0].object;
        let count = self.models[model.0].parameters.len();
        let names: Vec<String> = (0..count).map(|n| format!("param_groups[0].params[{n}]")).collect();
        let orphans = self.model("Gone", &names.iter().map(String::as_str).collect::<Vec<_>>());
        self.models[orphans.0].alive = false;
        for (parameter, name) in self.models[orphans.0].parameters.iter_mut().zip(&names) {
            parameter.id = self.record.variable(name, VariableKind::Unreached, owner);
        }
        self.rename(model, orphans);
        for (of, part) in &mut self.optimizers[optimizer.0].models {
            (*of, *part) = (if *of == model.0 { orphans.0 } else { *of }, part.clone());
        }
        orphans
    }

    /// The tensors of one model go on under the names of another.
    fn rename(&mut self, from: Model, to: Model) {
        let old = std::mem::take(&mut self.models[from.0].parameters);
        for (old, new) in old.into_iter().zip(&mut self.models[to.0].parameters) {
            *new = Parameter { id: new.id, told: None, told_tensor: None, ..old };
        }
    }

    /// `requires_grad_(False)` on the parameters whose name has this prefix.
    pub fn freeze(&mut self, model: Model, prefix: &str) {
        let names = self.names(model);
        for (parameter, name) in self.models[model.0].parameters.iter_mut().zip(names) {
            if name.contains(prefix) {
                parameter.requires_grad = false;
            }
        }
    }

    fn names(&self, model: Model) -> Vec<String> {
        let trace = &self.record;
        self.models[model.0].parameters.iter().map(|p| trace.name(p.id)).collect()
    }

    /// The script no longer refers to the model.
    pub fn drop_model(&mut self, model: Model) {
        self.models[model.0].alive = false;
    }

    pub fn optimizer(&mut self, class: &str, models: &[Model]) -> Optimizer {
        let parts: Vec<(Model, &str)> = models.iter().map(|model| (*model, "")).collect();
        self.optimizer_of(class, &parts)
    }

    /// An optimizer over the parameters whose names contain the text beside each model.
    pub fn optimizer_of(&mut self, class: &str, parts: &[(Model, &str)]) -> Optimizer {
        let name = self.number(class);
        let object = self.record.object(&name, ObjectKind::Optimizer, &format!("torch.optim.{class}"));
        let rate =
            self.record.variable(&format!("{name}.param_groups[0].lr"), VariableKind::Hyperparameter, object);
        for (model, part) in parts {
            let names = self.names(*model);
            for (parameter, name) in self.models[model.0].parameters.iter_mut().zip(names) {
                if !parameter.buffer && name.contains(part) {
                    parameter.holders.push(object);
                }
            }
        }
        let models = parts.iter().map(|(model, part)| (model.0, part.to_string())).collect();
        self.created(object, 0);
        self.optimizers.push(OptimizerState { object, class: class.into(), models, rate, lr: 0.1 });
        Optimizer(self.optimizers.len() - 1)
    }

    pub fn set_lr(&mut self, optimizer: Optimizer, lr: f64) {
        self.optimizers[optimizer.0].lr = lr;
    }

    pub fn scheduler(&mut self, class: &'static str, optimizer: Optimizer) -> Scheduler {
        let name = self.number(class);
        let full = format!("torch.optim.lr_scheduler.{class}");
        let object = self.record.object(&name, ObjectKind::Scheduler, &full);
        self.record.enter(&format!("{full}.__init__"), Role::SchedulerInit, object, 0);
        self.record.enter(&format!("{full}.step"), Role::SchedulerStep, object, flags::IN_INIT);
        self.record.exit(false);
        self.record.exit(false);
        let of = self.optimizers[optimizer.0].object;
        self.created(object, of);
        Scheduler(object, class)
    }

    pub fn scheduler_step(&mut self, scheduler: Scheduler) {
        let name = format!("torch.optim.lr_scheduler.{}.step", scheduler.1);
        self.record.call(&name, Role::SchedulerStep, scheduler.0);
    }

    /// The same, which sets the learning rate of an optimizer.
    pub fn schedule(&mut self, scheduler: Scheduler, optimizer: Optimizer, lr: f64) {
        let name = format!("torch.optim.lr_scheduler.{}.step", scheduler.1);
        self.record.enter(&name, Role::SchedulerStep, scheduler.0, 0);
        self.set_lr(optimizer, lr);
        self.record.look(false);
        self.record.state(self.optimizers[optimizer.0].rate, Attribute::Value, Value::Float(lr));
        self.record.exit(false);
    }

    /// A function of the script's own.
    pub fn within<R>(&mut self, name: &str, body: impl FnOnce(&mut Torch) -> R) -> R {
        self.record.enter(&format!("__main__.{name}"), Role::User, 0, 0);
        let result = body(self);
        self.record.exit(false);
        result
    }

    /// The same, and it is given the model.
    pub fn given<R>(&mut self, name: &str, model: Model, body: impl FnOnce(&mut Torch) -> R) -> R {
        let object = self.models[model.0].object;
        self.record.enter(&format!("__main__.{name}"), Role::User, 0, 0);
        self.record.argument(Direction::Argument, "model", Passed::Object(object));
        let result = body(self);
        self.record.exit(false);
        result
    }

    /// The script writes to the parameters of the model.
    pub fn write(&mut self, model: Model) {
        let value = self.random();
        for parameter in self.models[model.0].parameters.iter_mut().filter(|p| !p.buffer) {
            parameter.data ^= value;
        }
    }

    /// A backward that begins at `loss` follows: it is looked at at its entry.
    fn look_at_loss(&mut self, loss: f64) {
        let variable = *self.loss.get_or_insert_with(|| self.record.variable("loss", VariableKind::Loss, 0));
        self.record.state(variable, Attribute::Value, Value::Float(loss));
    }

    /// `loss.backward()` with the loss that it begins at.
    pub fn backward_from(&mut self, loss: f64, models: &[Model]) {
        self.record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        self.look_at_loss(loss);
        self.backward(models);
        self.record.exit(false);
    }

    /// The same where every op is recorded: the graph begins with these nodes.
    pub fn backward_through(&mut self, nodes: &[&str], models: &[Model]) {
        self.record.enter("torch.Tensor.backward", Role::Backward, 0, flags::ALL_OPS);
        for node in nodes {
            self.record.op(&format!("autograd::engine::evaluate_function: {node}"));
            self.record.op("aten::mul");
        }
        self.backward(models);
        self.record.exit(false);
    }

    /// `scaler.scale(loss)` where every op is recorded.
    pub fn scale(&mut self) {
        self.record.enter("torch.amp.grad_scaler.GradScaler.scale", Role::ScalerScale, 0, flags::ALL_OPS);
        self.record.op("aten::mul");
        self.record.exit(false);
    }

    pub fn no_grad<R>(&mut self, body: impl FnOnce(&mut Torch) -> R) -> R {
        self.record.grad = false;
        let result = body(self);
        self.record.grad = true;
        result
    }

    /// `model(x)` on line `line`.
    pub fn forward(&mut self, model: Model, line: u32) {
        let mode = if self.models[model.0].training { flags::MODULE_TRAIN } else { flags::MODULE_EVAL };
        self.forward_around(model, line, mode, |_| {});
    }

    /// The same of a model in this mode, and what it does.
    pub fn forward_around(&mut self, model: Model, line: u32, mode: u16, body: impl FnOnce(&mut Torch)) {
        self.record.at(line);
        if self.record.grad
            && (self.iteration_site.is_none() || self.iteration_site == Some(line) && self.backward_since)
        {
            self.record.iteration += 1;
            self.iteration_site = Some(line);
            self.backward_since = false;
            self.stepped = false;
            self.record.stage = Stage::Training;
            self.record.event(EventKind::Iteration, 0, 0, 0, 0, 0);
        }
        let state = &self.models[model.0];
        let (name, object) = (format!("__main__.{}.__call__", state.class), state.object);
        self.record.enter(&name, Role::ModuleCall, object, mode | flags::OUTERMOST);
        if let Some(class) = self.models[model.0].calls.clone() {
            let name = format!("{}.net", self.record.name(object));
            let inner = self.record.object(&name, ObjectKind::Module, &format!("__main__.{class}"));
            self.record.enter(&format!("__main__.{class}.__call__"), Role::ModuleCall, inner, mode);
            self.record.exit(false);
        }
        body(self);
        if self.models[model.0].training {
            let value = self.random();
            for parameter in self.models[model.0].parameters.iter_mut().filter(|p| p.buffer) {
                parameter.data = value ^ u64::from(parameter.id);
            }
        }
        self.record.exit(false);
    }

    /// `model(x)` without gradients, with PyTorch's stream of random numbers at its entry and its return.
    pub fn evaluate(&mut self, model: Model, line: u32, streams: [u64; 2]) {
        let stream = self.record.variable("torch.default_generator", VariableKind::Rng, 0);
        self.no_grad(|torch| {
            let state = &torch.models[model.0];
            let mode = if state.training { flags::MODULE_TRAIN } else { flags::MODULE_EVAL };
            let (name, object) = (format!("__main__.{}.__call__", state.class), state.object);
            torch.record.at(line).enter(&name, Role::ModuleCall, object, mode | flags::OUTERMOST);
            for words in streams {
                torch.record.state(stream, Attribute::Data, Value::Tensor(words));
            }
            torch.record.exit(false);
        });
    }

    /// `loss.backward()` through these models.
    pub fn backward(&mut self, models: &[Model]) {
        self.backward_since = true;
        self.record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        self.record.call("torch.autograd.backward", Role::Backward, 0);
        for model in models {
            let (value, names) = (self.random(), self.names(*model));
            let parameters = self.models[model.0].parameters.iter_mut().zip(names);
            for (parameter, name) in parameters.filter(|(p, _)| p.requires_grad) {
                let special = self.gradients.filter(|(part, _)| name.contains(part)).map(|(_, grads)| grads);
                parameter.non_finite = special == Some(Grads::NonFinite);
                parameter.grad = match (special, parameter.kept) {
                    (Some(Grads::Zero), _) => Some(0),
                    (_, Some(kept)) if self.stale => Some(kept),
                    _ => Some(value ^ u64::from(parameter.id) << 8 | 1),
                };
                parameter.kept = parameter.grad;
            }
        }
        self.record.look(false);
        self.tell(|_| true, Attribute::Grad);
        self.record.exit(false);
    }

    /// The script gives the parameters of the model gradients that it computed otherwise.
    pub fn give_gradients(&mut self, model: Model) {
        let value = self.random();
        for parameter in self.models[model.0].parameters.iter_mut().filter(|p| !p.buffer) {
            parameter.grad = Some(value ^ u64::from(parameter.id) << 8 | 1);
        }
    }

    pub fn zero_grad(&mut self, optimizer: Optimizer) {
        let object = self.optimizers[optimizer.0].object;
        let name = format!("torch.optim.{}.zero_grad", self.optimizers[optimizer.0].class);
        self.record.enter(&name, Role::ZeroGrad, object, 0);
        for model in &mut self.models {
            for parameter in model.parameters.iter_mut().filter(|p| p.holders.contains(&object)) {
                parameter.grad = None;
            }
        }
        self.record.exit(false);
    }

    /// `model.zero_grad()`.
    pub fn zero_grad_of(&mut self, model: Model) {
        let state = &mut self.models[model.0];
        let (name, object) = (format!("__main__.{}.zero_grad", state.class), state.object);
        state.parameters.iter_mut().for_each(|parameter| parameter.grad = None);
        self.record.call(&name, Role::ZeroGrad, object);
    }

    /// `optimizer.step()` with a look at entry and return.
    pub fn step(&mut self, optimizer: Optimizer) {
        self.step_around(optimizer, |_| {});
    }

    /// A step within which something else is done.
    pub fn step_around(&mut self, optimizer: Optimizer, within: impl FnOnce(&mut Torch)) {
        let object = self.optimizers[optimizer.0].object;
        let name = format!("torch.optim.{}.step", self.optimizers[optimizer.0].class);
        self.record.enter(&name, Role::OptimizerStep, object, 0);
        self.record.look(true);
        self.tell(|p| !p.buffer, Attribute::Data);
        within(self);
        if self.optimizers[optimizer.0].lr != 0.0 {
            for model in &mut self.models {
                let held = model.parameters.iter_mut().filter(|p| p.holders.contains(&object));
                for parameter in held {
                    if let Some(grad) = parameter.grad.filter(|&grad| grad != 0) {
                        parameter.data = parameter.data.wrapping_mul(31) ^ grad;
                    }
                }
            }
        }
        if !self.stepped {
            self.record.step += 1;
            self.stepped = true;
        }
        self.record.look(false);
        self.tell(|_| true, Attribute::Data);
        let (rate, lr) = (self.optimizers[optimizer.0].rate, self.optimizers[optimizer.0].lr);
        self.record.state(rate, Attribute::Value, Value::Float(lr));
        self.record.exit(false);
    }

    pub fn clip(&mut self) {
        self.record.call("torch.nn.utils.clip_grad.clip_grad_norm_", Role::ClipGrad, 0);
    }

    pub fn eval(&mut self, model: Model) {
        self.mode(model, "eval", false);
    }

    pub fn train(&mut self, model: Model) {
        self.mode(model, "train", true);
    }

    fn mode(&mut self, model: Model, method: &str, training: bool) {
        let (class, object) = (self.models[model.0].class.clone(), self.models[model.0].object);
        self.record.enter(&format!("__main__.{class}.{method}"), Role::ModeChange, object, 0);
        if !training {
            self.record.call(&format!("__main__.{class}.train"), Role::ModeChange, object);
        }
        self.models[model.0].training = training;
        self.record.stage = if training { Stage::Training } else { Stage::Evaluation };
        self.record.look(false);
        self.tell(|_| true, Attribute::Data);
        let (mode, told) = (self.models[model.0].mode, self.models[model.0].told);
        if told != Some(training) {
            self.models[model.0].told = Some(training);
            self.record.state(mode, Attribute::Training, Value::Bool(training));
        }
        self.record.exit(false);
    }

    /// What a look at the variables finds. Who holds and reaches a variable is told when it has changed.
    fn tell(&mut self, which: impl Fn(&Parameter) -> bool, attribute: Attribute) {
        let mut storages = std::collections::HashMap::new();
        for model in &mut self.models {
            for parameter in model.parameters.iter_mut().filter(|p| which(p)) {
                if !model.alive && attribute == Attribute::Grad && parameter.holders.is_empty() {
                    continue;
                }
                let now = (parameter.requires_grad, parameter.holders.clone());
                if parameter.told.as_ref() != Some(&now) {
                    let holders: Vec<String> = now.1.iter().map(u32::to_string).collect();
                    let reached = if model.alive { model.object.to_string() } else { String::new() };
                    self.record.state(parameter.id, Attribute::RequiresGrad, Value::Bool(now.0));
                    self.record.state(parameter.id, Attribute::HeldBy, Value::Text(holders.join(",")));
                    self.record.state(parameter.id, Attribute::ReachedFrom, Value::Text(reached));
                    parameter.told = Some(now);
                }
                let tensor = (parameter.storage, parameter.shape);
                if parameter.told_tensor != Some(tensor) {
                    self.record.state(parameter.id, Attribute::Storage, Value::Int(parameter.storage));
                    self.record.state(parameter.id, Attribute::Shape, Value::Text(parameter.shape.into()));
                    parameter.told_tensor = Some(tensor);
                }
                if !self.views {
                    parameter.data = *storages.entry(parameter.storage).or_insert(parameter.data);
                }
                let value = match attribute {
                    Attribute::Grad if parameter.buffer => continue,
                    Attribute::Grad if parameter.non_finite => Value::NonFinite(1),
                    Attribute::Grad => parameter.grad.map_or(Value::None, Value::Tensor),
                    _ => Value::Tensor(parameter.data),
                };
                self.record.state(parameter.id, attribute, value);
            }
        }
    }

    pub fn finish(self) -> MemoryTrace {
        self.record.finish(97, None)
    }

    /// The same, killed after this share of its records.
    pub fn killed(self, share: f64) -> MemoryTrace {
        let mut trace = self.record.finish(11, Some("not sealed"));
        let keep = (trace.batches.len() as f64 * share) as usize;
        trace.batches.truncate(keep);
        trace
    }
}
