//! `traincheck levels`: makes from what was measured of clean runs the table by which levels are decided.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use traincheck_analyzer::difference::Difference;
use traincheck_analyzer::invariants::Doubt;
use traincheck_analyzer::library::calibration::{Calibration, Checked};
use traincheck_analyzer::library::levels::BUDGET;
use traincheck_analyzer::words::printable;

use super::share::share;

/// How many of the runs that violate claims of a family are named.
const NAMED: usize = 3;

/// The arguments of `traincheck levels`.
#[derive(clap::Args)]
#[command(
    after_help = "MEASURED is what scripts/calibrate writes: for each of `seed`, `configuration` and `program` the `runs` that \
                        were checked, named PROGRAM/RUN, and for each of the `families`, and by doubt of the `notices`, in which \
                        `runs` how many `claims` came up and which runs have `broken` one. What is printed is the table of \
                        docs/levels.md, in Markdown: families that some run violates, notices that are alarms, and how many runs \
                        raise a false alarm if each program is checked by what the others bear out."
)]
pub struct Args {
    /// What was measured
    #[arg(value_name = "MEASURED")]
    measured: PathBuf,
    /// File to write the table of all families to
    #[arg(short, long, value_name = "FILE", default_value = "levels.json")]
    output: PathBuf,
    /// The share of runs that may have a false alarm, in what is printed
    #[arg(long, value_name = "SHARE", default_value_t = BUDGET, value_parser = share, allow_negative_numbers = true)]
    alarm_budget: f64,
}

/// Reads what was measured, writes the file and prints how families fared.
///
/// # Errors
/// If what was measured cannot be read, or the file cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    let calibration = Calibration::read(&args.measured)?;
    calibration
        .levels()
        .write(&args.output)
        .with_context(|| format!("{}: cannot write the levels", args.output.display()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (difference, checked) in &calibration.differences {
        write_difference(&mut out, *difference, checked, args.alarm_budget)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// How families fared in runs that differ so, as Markdown.
fn write_difference(
    out: &mut impl Write,
    difference: Difference,
    checked: &Checked,
    budget: f64,
) -> io::Result<()> {
    let measured = checked.measurement();
    let runs = measured.runs;
    let broken: BTreeSet<&String> = measured.families.values().flat_map(|fared| &fared.broken).collect();
    writeln!(
        out,
        "Another {}: {runs} runs of {} programs, {} claims of {} families; {} runs violate one.",
        word_of_difference(difference),
        measured.programs,
        measured.families.values().fold(0u64, |sum, fared| sum.saturating_add(fared.claims)),
        measured.families.len(),
        broken.len()
    )?;
    if !broken.is_empty() {
        writeln!(
            out,
            "\n| family | runs in which it came up | claims | runs that violate it |\n|---|---|---|---|"
        )?;
    }
    for (family, fared) in measured.families.iter().filter(|(_, fared)| !fared.broken.is_empty()) {
        let named: Vec<String> = fared.broken.iter().take(NAMED).map(|run| printable(run)).collect();
        writeln!(
            out,
            "| {} | {} | {} | {}: {} |",
            printable(family),
            fared.runs,
            fared.claims,
            fared.broken.len(),
            named.join(", ")
        )?;
    }
    let decided = measured.decide(budget);
    let tried: usize = measured.notices.values().map(|families| families.len()).sum();
    writeln!(out, "\nOf {tried} families of notices {} are alarms.", decided.raised.len())?;
    if !decided.raised.is_empty() {
        writeln!(
            out,
            "\n| family | doubt | runs in which it came up | programs | claims | runs that violate it |\n\
             |---|---|---|---|---|---|"
        )?;
    }
    let mut raised: Vec<(&str, Doubt)> =
        decided.raised.keys().map(|(doubt, family)| (*family, *doubt)).collect();
    raised.sort_unstable();
    for (family, doubt) in raised {
        let Some(fared) = measured.notices.get(&doubt).and_then(|families| families.get(family)) else {
            continue;
        };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            printable(family),
            words_of_doubt(doubt),
            fared.runs,
            fared.programs,
            fared.claims,
            fared.broken.len()
        )?;
    }
    let left_out = checked.left_out(budget);
    writeln!(
        out,
        "\nEach program by what the others bear out: {} of {runs} runs raise a false alarm, at most {:.1} % (95 %); {} of them \
         only by what was a notice.\n",
        left_out.runs(),
        left_out.upper_bound(runs) * 100.0,
        left_out.only_by_notices()
    )
}

/// What is another one.
fn word_of_difference(difference: Difference) -> &'static str {
    match difference {
        Difference::Seed => "seed",
        Difference::Configuration => "configuration",
        Difference::Program => "program",
    }
}

fn words_of_doubt(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::FewExamples => "few examples",
        Doubt::FailsElsewhere => "fails elsewhere",
        Doubt::Ambiguous => "ambiguous",
    }
}
