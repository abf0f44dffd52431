//! What a run does without because its command line says so is a notice that names the options. An error in a run that is
//! told the same as the references, or something else, is an alarm.
mod support;

use support::torch::Torch;
use support::{checked, learn};
use traincheck_analyzer::invariants::{Invariants, Level};
use traincheck_analyzer::report::{Report, configured, text};
use traincheck_analyzer::source::MemoryTrace;

/// How a run trains.
#[derive(Clone, Copy)]
struct Run {
    seed: u64,
    /// Gradients are clipped in iterations below.
    clips_until: u32,
    clears: bool,
    freezes: bool,
}

const RUN: Run = Run { seed: 3, clips_until: u32::MAX, clears: true, freezes: false };

impl Run {
    fn trace(self) -> MemoryTrace {
        let mut torch = Torch::new(self.seed);
        let model = torch.model("Net", &["backbone.weight", "head.weight"]);
        if self.freezes {
            torch.freeze(model, "backbone");
        }
        let optimizer = torch.optimizer("AdamW", &[model]);
        for iteration in 0..30 {
            if self.clears {
                torch.zero_grad(optimizer);
            }
            torch.forward(model, 10);
            torch.backward(&[model]);
            if iteration < self.clips_until {
                torch.clip();
            }
            torch.step(optimizer);
        }
        torch.finish()
    }
}

fn arguments(line: &str) -> Vec<String> {
    line.split_whitespace().map(Into::into).collect()
}

/// From two runs of `train.py` with these arguments.
fn learned(lines: [&str; 2]) -> Invariants {
    let mut invariants = learn(&[Run { seed: 1, ..RUN }.trace(), Run { seed: 2, ..RUN }.trace()]);
    for (run, line) in invariants.runs.iter_mut().zip(lines) {
        run.program = Some("train.py".into());
        run.arguments = arguments(line);
    }
    invariants
}

/// The causes of the alarms and what the report says, notices included.
fn report(invariants: &Invariants, run: Run, program: &str, line: &str) -> (Vec<String>, String) {
    let checked = checked(invariants, &run.trace());
    let explained = configured::explained(invariants, &checked, Some(program), &arguments(line));
    let invariants = configured::lowered(invariants.clone(), &explained);
    let mut report = Report::new("run".into(), &invariants, &checked);
    report.explained = explained;
    let alarms = report.findings.iter().filter(|finding| finding.level == Level::Alarm);
    let causes = alarms.map(|finding| finding.cause.map_or("", |cause| &cause.id).to_owned()).collect();
    let mut page = String::new();
    text::write(&report, true, &mut page).unwrap();
    (causes, page)
}

#[test]
fn a_part_that_an_option_switches_off() {
    let invariants = learned(["--seed 1", "--seed 2 --verbose"]);
    let without_clipping = Run { clips_until: 0, ..RUN };
    let frozen = Run { freezes: true, ..RUN };
    for (run, line, says) in [
        (without_clipping, "--seed 3 --no-clip", "`--no-clip`"),
        (without_clipping, "--grad_clip=0", "`--grad_clip=0`"),
        (frozen, "--freeze-backbone", "`--freeze-backbone`"),
        (frozen, "--freeze 2", "`--freeze 2`"),
    ] {
        let (alarms, page) = report(&invariants, run, "train.py", line);
        assert!(alarms.is_empty(), "{line}: {alarms:?}");
        let says = format!("The command line differs from that of every reference run: {says}.");
        assert!(page.contains(&says) && page.contains("Verdict: clean"), "{line}: {page}");
    }
}

#[test]
fn an_error_whatever_the_options() {
    let invariants = learned(["--seed 1 --bs 8", "--seed 2 --bs 8"]);
    let without_clipping = Run { clips_until: 0, ..RUN };
    for (run, program, line, cause) in [
        (without_clipping, "train.py", "--seed 1 --bs 8", "clipping-missing"),
        (without_clipping, "train.py", "--seed 0 --bs 64 --epochs 5", "clipping-missing"),
        (without_clipping, "other.py", "--no-clip", "clipping-missing"),
        (Run { clips_until: 12, ..RUN }, "train.py", "--no-clip", "clipping-missing"),
        (Run { clears: false, ..RUN }, "train.py", "--no-clip", "gradients-not-cleared"),
        (Run { freezes: true, ..RUN }, "train.py", "--seed 4 --bs 8", "frozen-parameters"),
    ] {
        let (alarms, page) = report(&invariants, run, program, line);
        assert_eq!(alarms, [cause], "{program} {line}: {page}");
    }
}
