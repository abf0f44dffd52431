//! Whether gradients are cleared between two steps is told by what is in them; by calls only where that was not looked at.
mod support;

use support::windows::windows;
use support::{Recorder, Value};
use traincheck_analyzer::relation::claim::RelationName;
use traincheck_analyzer::relation::kind;
use traincheck_analyzer::relation::listener::Listeners;
use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind};

const STEP: &str = "torch.optim.SGD.step";

/// A network of two parameters and its optimizer.
struct Network {
    model: u32,
    optimizer: u32,
    parameters: Vec<u32>,
    /// 0: none.
    gradients: Vec<u64>,
}

/// A program that trains two networks, `D` and `G`.
struct Program {
    record: Recorder,
    networks: Vec<Network>,
    /// Gradients are looked at where a step and where a backward begins.
    looks: bool,
    random: u64,
}

const D: usize = 0;
const G: usize = 1;

impl Program {
    fn new(looks: bool) -> Program {
        let mut record = Recorder::default();
        let networks = ["D", "G"].map(|name| {
            let model = record.object(name, ObjectKind::Module, &format!("__main__.{name}"));
            let optimizer =
                record.object(&format!("SGD of {name}"), ObjectKind::Optimizer, "torch.optim.SGD");
            let parameters = ["weight", "bias"]
                .map(|part| record.variable(&format!("{name}.{part}"), VariableKind::Parameter, model));
            Network { model, optimizer, parameters: parameters.into(), gradients: vec![0; 2] }
        });
        Program { record, networks: networks.into(), looks, random: 1 }
    }

    fn tell(&mut self, at_entry: bool) {
        self.record.look(at_entry);
        for network in &self.networks {
            for (parameter, gradient) in network.parameters.iter().zip(&network.gradients) {
                let holder = Value::Text(network.optimizer.to_string());
                self.record.state(*parameter, Attribute::HeldBy, holder);
                let value = if *gradient == 0 { Value::None } else { Value::Tensor(*gradient) };
                self.record.state(*parameter, Attribute::Grad, value);
            }
        }
    }

    /// A backward through these networks.
    fn backward(&mut self, through: &[usize]) {
        self.record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        if self.looks {
            self.tell(true);
        }
        for &network in through {
            for gradient in &mut self.networks[network].gradients {
                self.random += 1;
                *gradient += self.random << 8;
            }
        }
        self.tell(false);
        self.record.exit(false);
    }

    /// A step of the network's optimizer, which leaves its gradients as they are. `inside`: what it calls.
    fn step_with(&mut self, network: usize, inside: impl FnOnce(&mut Program)) {
        let optimizer = self.networks[network].optimizer;
        self.record.enter(STEP, Role::OptimizerStep, optimizer, 0);
        if self.looks {
            self.tell(true);
        }
        inside(self);
        self.record.exit(false);
    }

    fn step(&mut self, network: usize) {
        self.step_with(network, |_| {});
    }

    /// No call that is recorded clears this one's gradients.
    fn by_hand(&mut self, network: usize) {
        self.networks[network].gradients.fill(0);
    }

    fn zero_grad(&mut self, network: usize) {
        self.by_hand(network);
        let optimizer = self.networks[network].optimizer;
        self.record.call("torch.optim.SGD.zero_grad", Role::ZeroGrad, optimizer);
    }

    fn zero_grad_of_model(&mut self, network: usize) {
        self.by_hand(network);
        let model = self.networks[network].model;
        self.record.call("__main__.Net.zero_grad", Role::ZeroGrad, model);
    }
}

/// How many windows of ten iterations say that gradients are cleared, that they are left, and neither.
fn said(looks: bool, iteration: impl Fn(&mut Program)) -> [usize; 3] {
    let mut program = Program::new(looks);
    for number in 1..=10 {
        program.record.iteration = number;
        program.record.step = number;
        iteration(&mut program);
    }
    let trace = program.record.finish(97, None);
    let windows = windows(Listeners::new(&[kind(RelationName::Cover)]), &mut trace.source());
    let mut said = [0; 3];
    for window in windows.iter().filter(|window| window.contains("(Steps)")) {
        let cleared = window.contains("Cleared");
        match window.contains("cut None") {
            true => said[usize::from(!cleared)] += 1,
            false => said[2] += usize::from(window.contains("cut Some(Unclear)")),
        }
    }
    said
}

/// Of each of the two there are nine windows, of which the first iteration's says nothing.
#[track_caller]
fn assert_all(said: [usize; 3], of: usize) {
    let mut only = said;
    only[of] = 0;
    assert!(only == [0; 3] && said[of] >= 8, "cleared, left, neither: {said:?}");
}

const CLEARED: usize = 0;
const LEFT: usize = 1;
const NEITHER: usize = 2;

#[test]
fn a_call_that_clears_something_else_clears_nothing() {
    for clears in [Program::zero_grad, Program::zero_grad_of_model] {
        let wrong = |program: &mut Program| {
            clears(program, G);
            program.backward(&[D]);
            program.step(D);
        };
        assert_all(said(true, wrong), LEFT);
        assert_all(said(false, wrong), NEITHER);
        let right = |program: &mut Program| {
            clears(program, D);
            program.backward(&[D]);
            program.step(D);
        };
        assert_all(said(true, right), CLEARED);
        assert_all(said(false, right), CLEARED);
    }
}

#[test]
fn what_is_cleared_by_hand_is_cleared() {
    let by_hand = |program: &mut Program| {
        program.by_hand(D);
        program.backward(&[D]);
        program.step(D);
    };
    assert_all(said(true, by_hand), CLEARED);
    assert_all(said(false, by_hand), NEITHER);
}

#[test]
fn a_parameter_that_is_left_out_is_enough() {
    let one = |program: &mut Program| {
        program.networks[D].gradients[0] = 0;
        program.backward(&[D]);
        program.step(D);
    };
    assert_all(said(true, one), LEFT);
}

#[test]
fn only_the_first_of_several_backwards_finds_what_a_step_has_used() {
    for (cleared, expected) in [(true, CLEARED), (false, LEFT)] {
        let accumulates = |program: &mut Program| {
            if cleared {
                program.by_hand(D);
            }
            (0..4).for_each(|_| program.backward(&[D]));
            program.step(D);
        };
        assert_all(said(true, accumulates), expected);
    }
}

/// The generator's backward adds to gradients of the discriminator.
fn adversaries(program: &mut Program, clears: [fn(&mut Program, usize); 2]) {
    clears[D](program, D);
    program.backward(&[D]);
    program.backward(&[D]);
    program.step(D);
    clears[G](program, G);
    program.backward(&[D, G]);
    program.step(G);
}

#[test]
fn what_another_networks_backward_adds_is_cleared_before_its_own() {
    for clears in [Program::zero_grad, Program::zero_grad_of_model, Program::by_hand] {
        assert_all(said(true, |program| adversaries(program, [clears; 2])), CLEARED);
    }
    let calls: [fn(&mut Program, usize); 2] = [Program::zero_grad; 2];
    assert_all(said(false, |program| adversaries(program, calls)), CLEARED);
}

#[test]
fn clearing_one_of_two_networks_clears_nothing_of_the_other() {
    for clears in [Program::zero_grad, Program::zero_grad_of_model, Program::by_hand] {
        let nothing: fn(&mut Program, usize) = |_, _| {};
        for which in [[nothing, clears], [clears, nothing]] {
            let [cleared, left, neither] = said(true, |program| adversaries(program, which));
            assert!(cleared >= 8 && left >= 8 && neither == 0, "{cleared}, {left}, {neither}");
        }
    }
}

#[test]
fn a_closure_clears_inside_the_step() {
    for (clears, expected) in [
        (Program::zero_grad as fn(&mut Program, usize), CLEARED),
        (Program::by_hand, CLEARED),
        (|_, _| {}, LEFT),
        (|program, _| program.zero_grad(G), LEFT),
    ] {
        let with_closure = |program: &mut Program| {
            program.step_with(D, |program| {
                clears(program, D);
                program.backward(&[D]);
            });
        };
        assert_all(said(true, with_closure), expected);
    }
}

/// Clipping, or what is put in place of gradients by hand, is neither left nor cleared.
#[test]
fn gradients_that_something_else_changed_say_nothing() {
    let replaced = |program: &mut Program| {
        program.networks[D].gradients.fill(7);
        program.backward(&[D]);
        program.step(D);
    };
    assert_all(said(true, replaced), NEITHER);
    let clipped = |program: &mut Program| {
        program.backward(&[D]);
        program.networks[D].gradients.iter_mut().for_each(|gradient| *gradient ^= 1);
        program.step(D);
    };
    assert_all(said(true, clipped), LEFT);
}
