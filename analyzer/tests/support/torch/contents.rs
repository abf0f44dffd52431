//! What else becomes of the contents of variables: states that are saved and loaded, initialisation, ties.

use traincheck_schema::record::*;

use super::{Model, Optimizer, OptimizerState, Parameter, Scheduler, Torch};
use crate::support::record::Value;

impl Torch {
    pub fn save(&mut self) {
        self.record.call("torch.serialization.save", Role::Save, 0);
    }

    pub fn load_state(&mut self, model: Model) {
        let object = self.models[model.0].object;
        self.record.call("torch.serialization.load", Role::Load, 0);
        self.record.enter("torch.nn.Module.load_state_dict", Role::LoadState, object, 0);
        self.overwrite(model);
        self.record.look(false);
        self.tell(|_| true, Attribute::Data);
        self.record.exit(false);
    }

    /// `optimizer.load_state_dict(...)`, with what one has that has stepped, or one that has not.
    pub fn load_optimizer(&mut self, optimizer: Optimizer, empty: bool) {
        let OptimizerState { object, class, .. } = &self.optimizers[optimizer.0];
        let (object, name) = (*object, format!("torch.optim.{class}.load_state_dict"));
        let kept = format!("{class}.state[Net.weight].momentum_buffer");
        self.record.enter(&name, Role::LoadState, object, 0);
        self.record.look(false);
        if !empty {
            let kept = self.record.variable(&kept, VariableKind::OptimizerState, object);
            self.record.state(kept, Attribute::Data, Value::Tensor(7));
        }
        self.record.exit(false);
    }

    /// `scheduler.load_state_dict(...)`.
    pub fn load_scheduler(&mut self, scheduler: Scheduler) {
        let name = format!("torch.optim.lr_scheduler.{}.load_state_dict", scheduler.1);
        self.record.call(&name, Role::LoadState, scheduler.0);
    }

    /// The parameters are filled by an op in so many calls from a function of the script.
    pub fn initialise(&mut self, model: Model, by: &str, from: &str, times: usize) {
        self.initialise_part(model, "", by, from, times);
    }

    /// The same of the parameters with this in their names.
    pub fn initialise_part(&mut self, model: Model, part: &str, by: &str, from: &str, times: usize) {
        let names = self.names(model);
        let parameters = self.models[model.0].parameters.iter().zip(names);
        let named = parameters.filter(|(parameter, name)| !parameter.buffer && name.contains(part));
        for id in named.map(|(parameter, _)| parameter.id).collect::<Vec<_>>() {
            (0..times).for_each(|_| self.record.filled(id, by, from));
        }
    }

    /// Something that is not recorded writes to the parameters.
    pub fn overwrite(&mut self, model: Model) {
        let value = self.random();
        for parameter in &mut self.models[model.0].parameters {
            parameter.data ^= value;
        }
    }

    /// The parameters become what they are given, as by a broadcast: of each name another one.
    pub fn give(&mut self, model: Model, value: u64) {
        for (number, parameter) in (0..).zip(&mut self.models[model.0].parameters) {
            parameter.data = value + number;
        }
    }

    /// `model.half()`: other bits for the same numbers.
    pub fn half(&mut self, model: Model) {
        self.overwrite(model);
        for parameter in &mut self.models[model.0].parameters {
            parameter.shape = "[8, 8] float16";
        }
    }

    /// The parameter `name` of one model becomes the tensor that `of` is of another one.
    pub fn share(&mut self, (model, name): (Model, &str), (other, of): (Model, &str)) {
        let storage = self.parameter(other, of).storage;
        self.parameter(model, name).storage = storage;
    }

    /// It becomes a tensor of its own.
    pub fn separate(&mut self, model: Model, name: &str) {
        let storage = self.random() as i64;
        self.parameter(model, name).storage = storage;
    }

    fn parameter(&mut self, model: Model, name: &str) -> &mut Parameter {
        let names = self.names(model);
        let at = names.iter().position(|full| full.ends_with(name)).expect("the model has it");
        &mut self.models[model.0].parameters[at]
    }
}
