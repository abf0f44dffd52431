//! Where a job stands: the state machine of iterations, steps and stages. No globals and no clocks: what happens comes
//! in as an [`Event`], what follows goes out as a [`Follows`].
//!
//! The phases of an iteration:
//!
//! ```text
//!           begins               gradients
//!     Init --------> Forward -----------------> Backward
//!                    |  ^ ^                      |    |
//!               step |  | +------- begins -------+    | step
//!                    v  |                             v
//!          SteppedAlone +--------- begins ----------- Done
//!                    |                                ^
//!                    +------------ gradients ---------+
//! ```
//!
//! An iteration *begins* at a `ModuleCalled`: the first one at any, later ones after gradients, where a place repeats or
//! the loop has returned. *Gradients* are computed when a backward returns; or `torch.autograd.grad`, in jobs that know
//! no other. The first *step* of an iteration counts.
//!
//! After a pause (`Resumed`) the iteration is `Done`: the next one begins where one is known to begin.
//!
//! The stage, which is init until the first iteration begins:
//!
//! ```text
//!     ModuleCalled that begins an iteration, or in training mode;
//!     BackwardReturned; ModeChanged to training                      ->  training
//!     ModeChanged to evaluation; ModuleCalledWithoutGradients of a
//!     module that the iteration trains, after its backward           ->  evaluation
//!     SaveBegins                                                     ->  checkpointing
//!     SaveEnds                                                       ->  what it was before
//! ```

use traincheck_schema::record::Stage;

/// What has happened in the current iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// There is none yet.
    #[default]
    Init,
    /// It began.
    Forward,
    /// Gradients were computed.
    Backward,
    /// An optimizer stepped, and no gradients were computed.
    SteppedAlone,
    /// Both.
    Done,
}

impl Phase {
    /// All of them.
    #[cfg(test)]
    const ALL: [Phase; 5] = [Phase::Init, Phase::Forward, Phase::Backward, Phase::SteppedAlone, Phase::Done];

    /// Whether gradients were computed since the iteration began.
    pub fn has_gradients(self) -> bool {
        matches!(self, Phase::Backward | Phase::Done)
    }

    fn has_stepped(self) -> bool {
        matches!(self, Phase::SteppedAlone | Phase::Done)
    }

    fn with_gradients(self) -> Phase {
        match self {
            Phase::Init => Phase::Init,
            Phase::Forward | Phase::Backward => Phase::Backward,
            Phase::SteppedAlone | Phase::Done => Phase::Done,
        }
    }
}

/// Where the job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Of the current iteration.
    pub phase: Phase,
    /// What part of the job it is in.
    pub stage: Stage,
    /// The iteration, from 1; 0 before the first.
    pub iteration: u32,
    /// How many iterations have seen a step.
    pub step: u32,
    /// How many iterations in a row have had no step before this one.
    pub micro_step: u32,
    /// A backward has run in this job, not only `torch.autograd.grad`.
    pub any_backward: bool,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An outermost module with parameters is about to be called with gradients enabled.
    ModuleCalled {
        /// From a place that was called from before the last backward of the iteration, or that has repeated in an
        /// earlier one (the loop takes turns with another).
        repeats: bool,
        /// The call in which the last two iterations began has returned: another loop begins. Not in evaluation mode,
        /// though: models are also evaluated with gradients enabled.
        loop_returned: bool,
        /// The module is in training mode.
        training: bool,
        /// An iteration may begin here: not inside an optimizer step (a closure that is evaluated several times) in
        /// which one has begun already.
        may_begin: bool,
    },
    /// An outermost module is about to be called without gradients.
    ModuleCalledWithoutGradients {
        /// The current iteration has called it, or part of the same root, with gradients. If it has not, it may as
        /// well be a teacher whose answer is learned from.
        trained: bool,
    },
    /// An outermost backward returned.
    BackwardReturned,
    /// `torch.autograd.grad` returned. In jobs with a backward it is part of the loss (a gradient penalty, inner steps).
    GradientsReturned,
    /// An outermost optimizer step returned. One before the first iteration (to have the optimizer make its state) does
    /// not count.
    Stepped,
    /// A root was switched to training or evaluation.
    ModeChanged {
        /// To training.
        training: bool,
    },
    /// A checkpoint is about to be written.
    SaveBegins,
    /// It is written, or will never be.
    SaveEnds {
        /// The stage in which it began.
        before: Stage,
    },
    /// The recording goes on after a pause.
    Resumed {
        /// Iterations that began meanwhile.
        unseen: u32,
    },
}

/// What follows from an event, beside the new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Nothing.
    Nothing,
    /// The iteration begins that is the current one now.
    IterationBegins,
    /// The gradients of the iteration are computed: places called from so far begin the next one when they repeat.
    GradientsComputed,
}

impl State {
    /// The state after `event`, and what else follows from it.
    pub fn after(self, event: Event) -> (State, Follows) {
        let started = self.phase != Phase::Init;
        // Before the first iteration everything is init.
        let stage = |stage| if started { stage } else { self.stage };
        match event {
            Event::ModuleCalled { repeats, loop_returned, training, may_begin } => {
                let another = self.phase.has_gradients() && (repeats || loop_returned && training);
                if may_begin && (!started || another) {
                    let micro_step =
                        if !started || self.phase.has_stepped() { 0 } else { self.micro_step + 1 };
                    let iteration = self.iteration.wrapping_add(1);
                    let begun = State {
                        phase: Phase::Forward,
                        stage: Stage::Training,
                        iteration,
                        micro_step,
                        ..self
                    };
                    (begun, Follows::IterationBegins)
                } else if training {
                    (State { stage: stage(Stage::Training), ..self }, Follows::Nothing)
                } else {
                    (self, Follows::Nothing)
                }
            }
            Event::ModuleCalledWithoutGradients { trained } => {
                let evaluates = trained && self.phase.has_gradients();
                let stage = if evaluates { Stage::Evaluation } else { self.stage };
                (State { stage, ..self }, Follows::Nothing)
            }
            Event::BackwardReturned => {
                let phase = self.phase.with_gradients();
                let state = State { phase, stage: stage(Stage::Training), any_backward: true, ..self };
                (state, Follows::GradientsComputed)
            }
            Event::GradientsReturned if self.any_backward => (self, Follows::Nothing),
            Event::GradientsReturned => {
                (State { phase: self.phase.with_gradients(), ..self }, Follows::GradientsComputed)
            }
            Event::Stepped => {
                let phase = match self.phase {
                    Phase::Forward => Phase::SteppedAlone,
                    Phase::Backward => Phase::Done,
                    as_it_was => return (State { phase: as_it_was, ..self }, Follows::Nothing),
                };
                (State { phase, step: self.step.wrapping_add(1), ..self }, Follows::Nothing)
            }
            Event::ModeChanged { training } => {
                let to = if training { Stage::Training } else { Stage::Evaluation };
                (State { stage: stage(to), ..self }, Follows::Nothing)
            }
            Event::SaveBegins => (State { stage: stage(Stage::Checkpointing), ..self }, Follows::Nothing),
            Event::SaveEnds { before } => (State { stage: stage(before), ..self }, Follows::Nothing),
            Event::Resumed { unseen } => {
                let phase = if started || unseen > 0 { Phase::Done } else { Phase::Init };
                let (iteration, step) = (self.iteration.wrapping_add(unseen), self.step.wrapping_add(unseen));
                (State { phase, iteration, step, ..self }, Follows::GradientsComputed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state in the middle of a job: the fourth iteration, the second of an accumulation.
    fn at(phase: Phase, stage: Stage) -> State {
        if phase == Phase::Init {
            return State::default();
        }
        State { phase, stage, iteration: 4, step: 2, micro_step: 1, any_backward: true }
    }

    const CALLED: Event =
        Event::ModuleCalled { repeats: false, loop_returned: false, training: true, may_begin: true };

    fn called(repeats: bool, loop_returned: bool, training: bool, may_begin: bool) -> Event {
        Event::ModuleCalled { repeats, loop_returned, training, may_begin }
    }

    /// What is to become of the phase and of the counts, and whether an iteration begins, for each phase in the order
    /// Init, Forward, Backward, SteppedAlone, Done.
    #[test]
    fn every_phase_goes_on_as_the_table_says() {
        use Phase::{Backward, Done, Forward, Init, SteppedAlone};
        let stay = [Init, Forward, Backward, SteppedAlone, Done];
        let no = [false; 5];
        // Event, next phase, whether an iteration begins, whether a step counts.
        type Row = (Event, [Phase; 5], [bool; 5], [bool; 5]);
        let table: &[Row] = &[
            (
                CALLED,
                [Forward, Forward, Backward, SteppedAlone, Done],
                [true, false, false, false, false],
                no,
            ),
            (
                called(true, false, true, true),
                [Forward, Forward, Forward, SteppedAlone, Forward],
                [true, false, true, false, true],
                no,
            ),
            (
                called(true, false, false, true),
                [Forward, Forward, Forward, SteppedAlone, Forward],
                [true, false, true, false, true],
                no,
            ),
            (
                called(false, true, true, true),
                [Forward, Forward, Forward, SteppedAlone, Forward],
                [true, false, true, false, true],
                no,
            ),
            (
                called(false, true, false, true),
                [Forward, Forward, Backward, SteppedAlone, Done],
                [true, false, false, false, false],
                no,
            ),
            (called(true, true, true, false), stay, no, no),
            (Event::ModuleCalledWithoutGradients { trained: true }, stay, no, no),
            (Event::ModuleCalledWithoutGradients { trained: false }, stay, no, no),
            (Event::BackwardReturned, [Init, Backward, Backward, Done, Done], no, no),
            (Event::GradientsReturned, stay, no, no),
            (
                Event::Stepped,
                [Init, SteppedAlone, Done, SteppedAlone, Done],
                no,
                [false, true, true, false, false],
            ),
            (Event::ModeChanged { training: true }, stay, no, no),
            (Event::ModeChanged { training: false }, stay, no, no),
            (Event::SaveBegins, stay, no, no),
            (Event::SaveEnds { before: Stage::Evaluation }, stay, no, no),
            (Event::Resumed { unseen: 0 }, [Init, Done, Done, Done, Done], no, no),
        ];
        for (event, phases, begins, steps) in table {
            for (number, phase) in Phase::ALL.into_iter().enumerate() {
                let before = at(phase, Stage::Training);
                // The phase Init is that of jobs that have seen no backward; the others have.
                let (after, follows) = before.after(*event);
                let told = format!("{event:?} in {phase:?}");
                if phase == Init && *event == Event::GradientsReturned {
                    assert_eq!(follows, Follows::GradientsComputed, "{told}");
                    continue;
                }
                assert_eq!(after.phase, phases[number], "{told}");
                assert_eq!(follows == Follows::IterationBegins, begins[number], "{told}");
                assert_eq!(after.iteration - before.iteration, u32::from(begins[number]), "{told}");
                assert_eq!(after.step - before.step, u32::from(steps[number]), "{told}");
            }
        }
    }

    /// The stage after each event, in the middle of an iteration, from training, evaluation and checkpointing.
    #[test]
    fn every_stage_goes_on_as_the_table_says() {
        use Stage::{Checkpointing, Evaluation, Training};
        let stages = [Training, Evaluation, Checkpointing];
        let table: &[(Phase, Event, [Stage; 3])] = &[
            (Phase::Done, called(true, false, false, true), [Training; 3]),
            (Phase::Done, CALLED, [Training; 3]),
            (Phase::Done, called(false, false, false, true), stages),
            (Phase::Done, Event::ModuleCalledWithoutGradients { trained: true }, [Evaluation; 3]),
            (Phase::Done, Event::ModuleCalledWithoutGradients { trained: false }, stages),
            (Phase::Forward, Event::ModuleCalledWithoutGradients { trained: true }, stages),
            (Phase::Forward, Event::BackwardReturned, [Training; 3]),
            (Phase::Forward, Event::GradientsReturned, stages),
            (Phase::Backward, Event::Stepped, stages),
            (Phase::Done, Event::ModeChanged { training: true }, [Training; 3]),
            (Phase::Done, Event::ModeChanged { training: false }, [Evaluation; 3]),
            (Phase::Done, Event::SaveBegins, [Checkpointing; 3]),
            (Phase::Done, Event::SaveEnds { before: Evaluation }, [Evaluation; 3]),
            (Phase::Backward, Event::Resumed { unseen: 3 }, stages),
        ];
        for (phase, event, expected) in table {
            for (before, expected) in stages.into_iter().zip(expected) {
                let after = at(*phase, before).after(*event).0;
                assert_eq!(after.stage, *expected, "{event:?} in {phase:?}, {before:?}");
            }
        }
    }

    #[test]
    fn everything_is_init_until_the_first_iteration_begins() {
        for event in [
            called(true, true, true, false),
            Event::ModuleCalledWithoutGradients { trained: true },
            Event::BackwardReturned,
            Event::GradientsReturned,
            Event::Stepped,
            Event::ModeChanged { training: true },
            Event::ModeChanged { training: false },
            Event::SaveBegins,
            Event::SaveEnds { before: Stage::Training },
        ] {
            let (after, follows) = State::default().after(event);
            assert_eq!(
                (after.stage, after.phase, after.iteration),
                (Stage::Init, Phase::Init, 0),
                "{event:?}"
            );
            assert_ne!(follows, Follows::IterationBegins, "{event:?}");
        }
    }

    #[test]
    fn iterations_without_a_step_are_micro_steps() {
        let again = called(true, false, true, true);
        let mut state = State::default();
        let mut micro_steps = Vec::new();
        for steps in [false, false, true, true, false, true] {
            state = state.after(again).0;
            micro_steps.push(state.micro_step);
            state = state.after(Event::BackwardReturned).0;
            if steps {
                state = state.after(Event::Stepped).0.after(Event::Stepped).0;
            }
        }
        assert_eq!(micro_steps, [0, 1, 2, 0, 0, 1]);
        assert_eq!((state.iteration, state.step), (6, 3));
    }

    #[test]
    fn gradients_alone_are_the_backward_of_jobs_that_know_no_other() {
        let forward = State::default().after(CALLED).0;
        let (alone, follows) = forward.after(Event::GradientsReturned);
        assert_eq!((alone.phase, follows), (Phase::Backward, Follows::GradientsComputed));
        let (penalty, follows) = forward.after(Event::BackwardReturned).0.after(Event::GradientsReturned);
        assert_eq!((penalty.phase, follows), (Phase::Backward, Follows::Nothing));
        let begun = alone.after(Event::BackwardReturned).0.after(called(true, false, true, true)).0;
        assert_eq!(begun.after(Event::GradientsReturned), (begun, Follows::Nothing), "part of a loss now");
    }

    #[test]
    fn after_a_pause_the_next_iteration_begins_where_one_is_known_to_begin() {
        let (after, _) = at(Phase::Forward, Stage::Training).after(Event::Resumed { unseen: 5 });
        assert_eq!((after.iteration, after.step, after.phase), (9, 7, Phase::Done));
        let (next, follows) = after.after(called(true, false, true, true));
        assert_eq!((next.iteration, next.micro_step, follows), (10, 0, Follows::IterationBegins));
    }
}
