//! Training scripts in the variants that people write, with the errors that they make.

use super::torch::{Loader, Model, Optimizer, Scheduler, Torch};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    None,
    NoZeroGrad,
    StaleOptimizer,
    NoScheduler,
    FrozenBackbone,
    EvalAfterFirstEvaluation,
    EvalFromTheStart,
    NoStep,
    NoBackward,
    HeadNotInOptimizer,
    ZeroLearningRate,
    ClipAfterStep,
    ZeroInsideAccumulation,
    ZeroBeforeStep,
}

/// Where gradients are cleared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    First,
    BeforeBackward,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Style {
    /// Everything at the top level of the script.
    Flat,
    /// `train_epoch` and `evaluate`.
    Epochs,
    /// `train_step` as well.
    Steps,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    None,
    Epoch,
    Iteration,
}

/// A script and its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub seed: u64,
    pub epochs: u32,
    pub batches: u32,
    pub accumulate: u32,
    pub evaluate: bool,
    pub loader: bool,
    pub resume: bool,
    pub clip: bool,
    pub order: Order,
    pub style: Style,
    pub schedule: Schedule,
    pub error: Error,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            seed: 1,
            epochs: 4,
            batches: 6,
            accumulate: 1,
            evaluate: true,
            loader: true,
            resume: false,
            clip: false,
            order: Order::First,
            style: Style::Epochs,
            schedule: Schedule::Epoch,
            error: Error::None,
        }
    }
}

pub const NAMES: &[&str] = &[
    "backbone.0.weight",
    "backbone.0.bias",
    "backbone.1.weight",
    "backbone.1.bias",
    "norm.weight",
    "norm.bias",
    "norm._running_mean",
    "norm._num_batches_tracked",
    "head.weight",
    "head.bias",
];

struct Parts {
    model: Model,
    optimizer: Optimizer,
    scheduler: Option<Scheduler>,
    loader: Option<Loader>,
    validation: Option<Loader>,
}

impl Script {
    /// Runs the script to its end.
    pub fn run(&self) -> Torch {
        let mut torch = Torch::new(self.seed);
        let t = &mut torch;
        let mut model = t.model("Net", NAMES);
        if self.error == Error::FrozenBackbone {
            t.freeze(model, ".backbone.");
        }
        let part = if self.error == Error::HeadNotInOptimizer { ".backbone" } else { "" };
        let optimizer = t.optimizer_of("AdamW", &[(model, part)]);
        if self.error == Error::StaleOptimizer {
            t.drop_model(model);
            model = t.model("Net", NAMES);
        }
        if self.error == Error::ZeroLearningRate {
            t.set_lr(optimizer, 0.0);
        }
        let scheduler = (self.schedule != Schedule::None).then(|| t.scheduler("StepLR", optimizer));
        let loader = self.loader.then(|| t.loader());
        let validation = (self.loader && self.evaluate).then(|| t.loader());
        if self.resume {
            t.load_state(model);
        }
        let parts = Parts { model, optimizer, scheduler, loader, validation };
        if self.error == Error::EvalFromTheStart {
            t.eval(model);
        }
        for epoch in 0..self.epochs {
            t.record.at(20);
            match self.style {
                Style::Flat => self.train(t, &parts, epoch),
                _ => t.within("train_epoch", |t| self.train(t, &parts, epoch)),
            }
            if self.schedule == Schedule::Epoch && self.error != Error::NoScheduler {
                t.record.at(22);
                t.scheduler_step(parts.scheduler.unwrap());
            }
            if self.evaluate {
                t.record.at(23);
                match self.style {
                    Style::Flat => self.evaluate(t, &parts),
                    _ => t.within("evaluate", |t| self.evaluate(t, &parts)),
                }
            }
            t.record.at(24);
            t.save();
        }
        torch
    }

    fn train(&self, t: &mut Torch, parts: &Parts, epoch: u32) {
        let left_on = self.error == Error::EvalAfterFirstEvaluation && epoch > 0;
        if !left_on && self.error != Error::EvalFromTheStart {
            t.record.at(29);
            t.train(parts.model);
        }
        let body = |t: &mut Torch, batch: u32| {
            match self.style {
                Style::Steps => {
                    t.record.at(31);
                    t.within("train_step", |t| self.batch(t, parts, batch));
                }
                _ => self.batch(t, parts, batch),
            }
            true
        };
        match parts.loader {
            Some(loader) => t.each(loader, 30, self.batches, body),
            None => (0..self.batches).for_each(|batch| {
                body(t, batch);
            }),
        }
    }

    fn batch(&self, t: &mut Torch, parts: &Parts, batch: u32) {
        let zero = |t: &mut Torch, order: Order, now: bool| {
            if self.order == order && now && self.error != Error::NoZeroGrad {
                t.record.at(32);
                t.zero_grad(parts.optimizer);
            }
        };
        let first = batch.is_multiple_of(self.accumulate);
        let last = (batch + 1).is_multiple_of(self.accumulate);
        zero(t, Order::First, first || self.error == Error::ZeroInsideAccumulation);
        t.forward(parts.model, 33);
        zero(t, Order::BeforeBackward, first || self.error == Error::ZeroInsideAccumulation);
        if self.error != Error::NoBackward {
            t.record.at(35);
            t.backward(&[parts.model]);
        }
        if self.error == Error::ZeroBeforeStep && last {
            t.record.at(36);
            t.zero_grad(parts.optimizer);
        }
        let clip = self.clip && last;
        if clip && self.error != Error::ClipAfterStep {
            t.record.at(36);
            t.clip();
        }
        if last && self.error != Error::NoStep {
            t.record.at(37);
            t.step(parts.optimizer);
        }
        if clip && self.error == Error::ClipAfterStep {
            t.record.at(38);
            t.clip();
        }
        if self.schedule == Schedule::Iteration && last && self.error != Error::NoScheduler {
            t.record.at(38);
            t.scheduler_step(parts.scheduler.unwrap());
        }
        zero(t, Order::Last, last || self.error == Error::ZeroInsideAccumulation);
    }

    fn evaluate(&self, t: &mut Torch, parts: &Parts) {
        t.record.at(50);
        t.eval(parts.model);
        t.no_grad(|t| match parts.validation {
            Some(loader) => t.each(loader, 51, 2, |t, _| {
                t.forward(parts.model, 52);
                true
            }),
            None => (0..2).for_each(|_| t.forward(parts.model, 52)),
        });
    }
}

/// Two models, two optimizers of one class.
pub fn gan(seed: u64, epochs: u32, batches: u32, error: Error) -> Torch {
    gan_with(seed, epochs, batches, 1, error)
}

/// The same with so many steps of the critic for one of the generator.
pub fn gan_with(seed: u64, epochs: u32, batches: u32, critic_steps: u32, error: Error) -> Torch {
    let mut torch = Torch::new(seed);
    let t = &mut torch;
    let generator = t.model("Generator", &["up.weight", "up.bias"]);
    let critic = t.model("Critic", &["down.weight", "down.bias"]);
    let of_generator = t.optimizer("Adam", &[generator]);
    let of_critic = t.optimizer("Adam", &[critic]);
    let loader = t.loader();
    for _ in 0..epochs {
        t.each(loader, 10, batches, |t, _| {
            for _ in 0..critic_steps {
                t.record.at(11);
                t.zero_grad(of_critic);
                t.forward(generator, 12);
                t.forward(critic, 13);
                t.record.at(14);
                t.backward(&[critic]);
                t.step(of_critic);
            }
            if error != Error::NoZeroGrad {
                t.record.at(15);
                t.zero_grad(of_generator);
            }
            t.forward(generator, 16);
            t.forward(critic, 17);
            t.record.at(18);
            t.backward(&[generator, critic]);
            t.step(of_generator);
            true
        });
    }
    torch
}
