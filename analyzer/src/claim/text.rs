//! Claims in words.

use traincheck_schema::record::Role;

use super::{Cadence, Call, Claim, Level, Living, Outcome, Property, Stretch, Subject};

/// Class and method only: `torch.optim.adamw.AdamW.step` is `AdamW.step`. Functions of the script keep their name.
pub fn short(function: &str) -> &str {
    let function = function.strip_prefix("__main__.").unwrap_or(function);
    if !function.starts_with("torch.") {
        return function;
    }
    let mut dots = function.rmatch_indices('.').map(|(at, _)| at);
    let _ = dots.next();
    dots.next().map_or(function, |at| &function[at + 1..])
}

/// The class alone: `torch.optim.adamw.AdamW` is `AdamW`.
fn class_name(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

impl Claim {
    /// In words, without the precondition.
    pub fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Iteration => "in every training iteration".to_owned(),
            Subject::Call { call } => format!("in every call of {call}"),
            Subject::Update { call } => format!("in every call of {call}"),
            Subject::Before { call, level, first } => {
                let place = match level {
                    Level::Same => " at the same level",
                    Level::Thread => "",
                };
                if *first {
                    format!("before every {call}{place}, since the one before it or the start")
                } else {
                    format!("between every two successive {call}{place}")
                }
            }
            Subject::Between { earlier, later } => {
                format!("between every {later} and the last {earlier} before it")
            }
            Subject::After { call } => format!("after every {call} at the same level, before the next one"),
            Subject::Root { class } => format!("in `{}`", class_name(class)),
            Subject::Optimizer { class } => format!("in every step of `{}`", class_name(class)),
            Subject::Object { kind, class, cadence } => match cadence {
                Cadence::OptimizerStep => {
                    format!("between every two steps of the optimizer of a `{}`", class_name(class))
                }
                Cadence::Pass => {
                    format!("in every pass over the training data, for a `{}`", class_name(class))
                }
                Cadence::Once => {
                    format!("before the second pass over the training data, for a `{}`", class_name(class))
                }
                Cadence::Resumed if *kind == Living::Optimizer => {
                    format!(
                        "before the first step of a `{}` whose model's state was loaded",
                        class_name(class)
                    )
                }
                Cadence::Resumed => {
                    format!(
                        "before the first step of a `{}` whose model's or optimizer's state was loaded",
                        class_name(class)
                    )
                }
                Cadence::Evaluated => {
                    format!(
                        "before the first call of a `{}` with spectral norm in evaluation mode",
                        class_name(class)
                    )
                }
                Cadence::Within { steps } if *kind == Living::Optimizer => {
                    format!("within {steps} iterations with a backward, for a `{}`", class_name(class))
                }
                Cadence::Within { steps } => {
                    format!("within {steps} steps of the optimizer of a `{}`", class_name(class))
                }
            },
            Subject::Variable { name } => format!("in every training step, `{name}`"),
            Subject::Gradient { name } => format!("whenever a backward returns, the gradient of `{name}`"),
            Subject::Inference { caller: Some(caller), class } => {
                format!("whenever {caller} calls a `{}` without gradients", class_name(class))
            }
            Subject::Inference { caller: None, class } => {
                format!("whenever a `{}` is called without gradients", class_name(class))
            }
            Subject::Result { module, place, under } => {
                let under =
                    under.as_ref().map_or(String::new(), |under| format!(" in iterations with {under}"));
                format!("whenever `{module}` is called with gradients{under}, its {place}")
            }
            Subject::Mapping { call, place, property } => {
                let what = match property {
                    Property::Rows => "the first dimension of",
                    Property::Dtype => "the type of",
                };
                format!("in every call of {call}, {what} its {place}")
            }
            Subject::Bound { call, argument } if call.role == Role::ClipGrad => {
                format!("after every call of {call}, the norm of all gradients is no more than `{argument}`")
            }
            Subject::Bound { call, argument } if argument.starts_with("max_new") => {
                format!("in every call of {call}, the result is longer by no more than `{argument}`")
            }
            Subject::Bound { call, argument } => {
                format!("in every call of {call}, the result is no longer than `{argument}`")
            }
            Subject::Around { calls } => {
                let calls: Vec<String> = calls.iter().map(Call::to_string).collect();
                format!("between the steps around every call of {}", calls.join(" and "))
            }
            Subject::Loader { name } => format!("of `{name}`"),
            Subject::Workers { loader } => format!("of `{loader}`"),
            Subject::RateChange { name } => format!("where `{name}` changes"),
            Subject::RateInPass { name } => format!("within a pass over the training data, `{name}`"),
            Subject::Calls { call, per } => {
                let per = match per {
                    Stretch::Iteration => "training iteration".to_owned(),
                    Stretch::Step => "stretch from one step of an optimizer to its next".to_owned(),
                    Stretch::Call { call } => format!("call of {call}"),
                };
                format!("in every {per}, {call}")
            }
            Subject::Scheduler { class, model } => {
                format!("in the training of a `{}`, the `{}`", class_name(model), class_name(class))
            }
            Subject::Accumulation { model } => {
                format!("where gradients of a `{}` are accumulated over several batches", class_name(model))
            }
            Subject::AccumulatedLoss { model, node } => format!(
                "where gradients of the loss (`{node}`) of a `{}` are accumulated over several batches",
                class_name(model)
            ),
            Subject::Scheduled { name, steps: 1 } => format!("after the first step of schedulers, `{name}`"),
            Subject::Scheduled { name, steps } => format!("after {steps} steps of schedulers, `{name}`"),
        };
        let outcome = match &self.outcome {
            Outcome::Called { call } => format!("{call} is called"),
            Outcome::CalledInTraining { call } => format!("{call} is called in training mode"),
            Outcome::BeginsInTraining => "the module is in training mode".into(),
            Outcome::ParameterChanges => "at least one parameter it holds changes".into(),
            Outcome::Held => "every parameter that got a gradient is held by an optimizer".into(),
            Outcome::HeldOnce => {
                "every parameter that got a gradient is held by no more than one optimizer".into()
            }
            Outcome::Reached => "every parameter it holds belongs to a module that ran".into(),
            Outcome::Stepped => "`step` is called".into(),
            Outcome::Loaded => "`load_state_dict` is called".into(),
            Outcome::RanInTraining => "it is called in training mode".into(),
            Outcome::Moves => return format!("{subject} changes"),
            Outcome::StaysFrozen => return format!("{subject}, which requires no gradient, does not change"),
            Outcome::StaysConstant => return format!("{subject}, a buffer, does not change"),
            Outcome::ParametersStay => "no parameter changes during evaluation".into(),
            Outcome::BuffersStay => "no buffer changes during evaluation".into(),
            Outcome::LossFinite => "the loss that backward began at is finite".into(),
            Outcome::GradientsFinite => "the gradients that backward left are finite".into(),
            Outcome::ParametersFinite => "the parameters it leaves are finite".into(),
            Outcome::GradientLives => return format!("{subject} is not exactly zero"),
            Outcome::InEvaluation => "the module is in evaluation mode".into(),
            Outcome::Written => "a parameter changes".into(),
            Outcome::SharesStorage { with } => return format!("{subject} is the same tensor as `{with}`"),
            Outcome::StaysLoaded => {
                "every parameter that `load_state_dict` set is still so at the step that follows".into()
            }
            Outcome::SharesNothing => "no parameter is also that of another model".into(),
            Outcome::GradientDiffers => {
                return format!("{subject} has another gradient than in the step before");
            }
            Outcome::BatchDiffers => {
                return format!("{subject}, every batch trained on differs from the one before");
            }
            Outcome::WorkersDiffer => match &self.subject {
                Subject::Variable { name } => return format!("`{name}` differs from worker to worker"),
                _ => return format!("{subject}, batches differ from worker to worker"),
            },
            Outcome::Happens { times } => match self.subject {
                Subject::Calls { .. } => return format!("{subject} is called {times}"),
                _ => return format!("{subject} steps {times} in every pass over the data"),
            },
            Outcome::WorksOnWhatSteps => {
                return format!("{subject} steps only where its optimizer has stepped, not another one");
            }
            Outcome::LossesDiffer => "no backward begins at a loss that another one has begun at".into(),
            Outcome::StepsInTime => "the optimizer steps after as many of them as before".into(),
            Outcome::Scaled => "the loss is divided (or multiplied) before backward".into(),
            Outcome::Thousandths { of_first } => {
                return format!("{subject} is {} times what it was at first", f64::from(*of_first) / 1000.0);
            }
            Outcome::ByScheduler => "a step of a scheduler does it".into(),
            Outcome::Stays => return format!("{subject} does not change"),
            Outcome::Dtype { dtype } => return format!("{subject} is of type {dtype}"),
            Outcome::Device { device } => return format!("{subject} is on a device of type {device}"),
            Outcome::RequiresGrad => return format!("{subject} requires a gradient"),
            Outcome::Kept => return format!("{subject} is that of the first tensor it is given"),
            Outcome::Within => return subject,
            Outcome::Saw { value } => return format!("{subject}: {value}"),
        };
        format!("{subject}, {outcome}")
    }
}
