//! Passes over the data.

use traincheck_schema::record::*;

use super::{Loader, Torch};
use crate::support::record::{Passed, Value};

impl Torch {
    pub fn loader(&mut self) -> Loader {
        let name = self.number("DataLoader");
        let object = self.record.object(&name, ObjectKind::Loader, "torch.utils.data.DataLoader");
        self.created(object, 0);
        Loader(object)
    }

    /// `for batch in loader:` over so many batches; `line` tells the loop from others. Stops early if the body says so.
    pub fn each(
        &mut self,
        loader: Loader,
        line: u32,
        batches: u32,
        mut body: impl FnMut(&mut Torch, u32) -> bool,
    ) {
        self.record.at(line).call("torch.utils.data.DataLoader.__iter__", Role::LoaderIter, loader.0);
        for batch in 0..batches {
            self.record.at(line).call("torch.utils.data._Iter.__next__", Role::LoaderNext, loader.0);
            if !body(self, batch) {
                return;
            }
        }
        self.record.at(line).enter("torch.utils.data._Iter.__next__", Role::LoaderNext, loader.0, 0);
        self.record.exit(true);
    }

    /// `iter(loader)`.
    pub fn iter(&mut self, loader: Loader, line: u32) {
        self.record.at(line).call("torch.utils.data.DataLoader.__iter__", Role::LoaderIter, loader.0);
    }

    /// The next batch of a pass, part by part, and the worker that made it.
    pub fn next(&mut self, loader: Loader, line: u32, parts: &[Value], worker: Option<i64>) {
        let name = self.record.name(loader.0);
        self.record.at(line).enter("torch.utils.data._Iter.__next__", Role::LoaderNext, loader.0, 0);
        for (index, part) in parts.iter().enumerate() {
            let id = self.record.variable(&format!("{name}.batch[{index}]"), VariableKind::Batch, loader.0);
            self.record.state(id, Attribute::Data, part.clone());
        }
        if let Some(worker) = worker {
            let id = self.record.variable(&format!("{name}.worker"), VariableKind::Worker, loader.0);
            self.record.state(id, Attribute::Value, Value::Int(worker));
        }
        self.record.exit(false);
    }

    /// There is no next one.
    pub fn exhausted(&mut self, loader: Loader, line: u32) {
        self.record.at(line).enter("torch.utils.data._Iter.__next__", Role::LoaderNext, loader.0, 0);
        self.record.exit(true);
    }
}
