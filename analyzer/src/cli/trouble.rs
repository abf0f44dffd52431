//! What went wrong, said alike by every command.

/// Exit code where there is no verdict: bad input or bad usage.
pub const EXIT_TROUBLE: u8 = 2;

/// Says on stderr what went wrong, with all its causes, in one line.
pub fn complain(error: &anyhow::Error) {
    eprintln!("traincheck: {}", in_one_line(error));
}

/// Says on stderr what is wrong with several things, a line each.
pub fn complain_of(bad: impl IntoIterator<Item = String>) {
    bad.into_iter().for_each(|line| eprintln!("traincheck: {line}"));
}

/// What went wrong and why. Errors of libraries are printed without their causes elsewhere, so they name them: what has
/// been said is not said again.
pub fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for said in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = said;
        } else if !line.contains(&said) {
            line = format!("{line}: {said}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use traincheck_schema::run::Run;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error =
            anyhow::Error::new(io::Error::other("no room")).context("cannot write").context("it failed");
        assert_eq!(in_one_line(&error), "it failed: cannot write: no room");
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("run.json")).unwrap();
        let line = in_one_line(&Run::open(folder.path()).unwrap_err().into());
        assert_eq!(line.matches("regular file").count(), 1, "{line}");
        let path = Path::new("/no/invariants.json");
        let missing = traincheck_analyzer::invariants::Invariants::read(path).unwrap_err();
        let line = in_one_line(&missing.into());
        assert_eq!(line.matches("No such file").count(), 1, "{line}");
    }
}
