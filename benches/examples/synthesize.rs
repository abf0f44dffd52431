//! Writes a made-up run: `synthesize [--events N] [--seed N] [--blocks N] [--ranks N] FOLDER`.

use std::path::PathBuf;
use std::process::ExitCode;

use traincheck_benches::synthetic::Synthetic;

fn main() -> ExitCode {
    let mut what = Synthetic::default();
    let mut folder = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        let set = match argument.as_str() {
            "--events" => number().map(|n| what.events = n),
            "--seed" => number().map(|n| what.seed = n),
            "--blocks" => number().and_then(|n| u32::try_from(n).ok()).map(|n| what.blocks = n),
            "--ranks" => number().and_then(|n| u32::try_from(n).ok()).map(|n| what.ranks = n),
            _ => {
                folder = Some(PathBuf::from(&argument));
                Some(())
            }
        };
        if set.is_none() {
            eprintln!("{argument} needs a number");
            return ExitCode::from(2);
        }
    }
    let Some(folder) = folder else {
        eprintln!("usage: synthesize [--events N] [--seed N] [--blocks N] [--ranks N] FOLDER");
        return ExitCode::from(2);
    };
    match what.write(&folder, true) {
        Ok(totals) => {
            println!("{} events, {} states, {} arguments", totals.events, totals.states, totals.arguments);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
