//! Collectives of the ranks of a job.

use traincheck_schema::record::{Collective, CollectiveEvent, CollectiveKind, ReduceKind, Role, collective};

use super::{Model, Torch};

/// The group of all ranks, as one of them has it.
#[derive(Clone, Copy)]
pub struct Group(u32);

/// What a collective of 64 `float32` is.
#[derive(Clone, Copy)]
pub struct Called {
    pub kind: CollectiveKind,
    pub reduce: ReduceKind,
    pub elements: u64,
    /// Rank in the group that is sent to or received from, or -1.
    pub peer: i32,
    pub waited: bool,
    /// What all elements are that it is given, and that come out; `None`: that was not looked at.
    pub contents: Option<(f64, f64)>,
}

/// A sum that is waited for.
pub const ALL_REDUCE: Called = Called {
    kind: CollectiveKind::AllReduce,
    reduce: ReduceKind::Sum,
    elements: 64,
    peer: -1,
    waited: true,
    contents: None,
};

/// The same record, of elements that all are this.
fn containing(record: Collective, element: Option<f64>) -> Collective {
    let Some(element) = element else { return record };
    let elements = record.elements_in as f64;
    Collective {
        flags: collective::CONTENTS | collective::SUM,
        hash_low: element.to_bits(),
        sum: element * elements,
        l2: (element.abs() * elements.sqrt()) as f32,
        ..record
    }
}

impl Torch {
    pub fn group(&mut self, rank: u32, size: u32) -> Group {
        Group(self.record.group("0", rank, size))
    }

    pub fn collective(&mut self, group: Group, called: Called) {
        self.begin(group, called);
    }

    /// The same; gives what was issued, which [`Torch::wait`] waits for.
    pub fn begin(&mut self, group: Group, called: Called) -> Collective {
        let name = format!("torch.distributed.distributed_c10d.{}", called.kind.word());
        let call = self.record.enter(&name, Role::Other, 0, 0);
        let record = Collective {
            op: called.kind as u8,
            reduce: called.reduce as u8,
            call,
            group: group.0,
            elements_in: called.elements,
            elements_out: called.elements,
            peer: called.peer,
            tensors: 1,
            element_type: 6,
            ..Collective::EMPTY
        };
        let record = if called.kind.is_point_to_point() {
            let count = self.counts.entry(format!("{} {}", called.kind.word(), called.peer)).or_default();
            *count += 1;
            Collective { message: *count, ..record }
        } else {
            record
        };
        let given = containing(record, called.contents.map(|(given, _)| given));
        let (number, sequence) = self.record.collective(CollectiveEvent::Issued, given);
        self.record.exit(false);
        let later = Collective { number, sequence, ..record };
        let got = containing(later, called.contents.map(|(_, got)| got));
        self.record.collective(CollectiveEvent::Completed, got);
        if called.waited {
            self.wait(later);
        }
        later
    }

    pub fn wait(&mut self, issued: Collective) {
        self.record.collective(CollectiveEvent::Waited, issued);
    }

    /// A backward pass that enters these.
    pub fn backward_entering(&mut self, models: &[Model], group: Group, called: &[Called]) {
        self.record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        called.iter().for_each(|called| self.collective(group, *called));
        self.backward(models);
        self.record.exit(false);
    }
}
