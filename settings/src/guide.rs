//! `docs/configuration.md`, from the table.

use std::fmt::Write;

use traincheck_schema::record::Role;

use crate::{
    CapturePolicy, Counter, KEYS, ObservationPoint, Profile, Receiver, RecordedArguments, TABLE, Word,
};

const BEGINNING: &str = "\
<!-- Made from the table in settings/src/table.rs: cargo run -p traincheck-settings --example guide > docs/configuration.md -->

# Configuration

Nothing has to be set. What can be set is set in three places, of which the first that sets it wins:

1. an option of `traincheck collect`,
2. a variable `TRAINCHECK_*` of the environment; set to nothing it counts as not set,
3. a file in TOML: the one that `TRAINCHECK_CONFIG` names, else `traincheck.toml` in the working directory (that of
   the process when it imports `torch`), if there is one.

```toml
# traincheck.toml
profile = \"training\"
exclude = [\"mylib.logging.*\"]
user_code = [\"mylib\"]          # installed, and yours all the same
sample_every = 500

[[rules]]
module = \"mylib.engine\"
function = \"Engine.step\"
role = \"optimizer_step\"
```

`traincheck collect` refuses what it does not understand, with exit code 2, before it starts anything. A folder that it cannot record
into (a file, one that something is in, or one that it may not make or write) is 125, as for a command that cannot be started. The agent never
does: a setting that is wrong keeps its default (of a list, only the wrong entry is left out), and a note that says
which and why is in the trace and in `run.json`, where `traincheck inspect` shows it. The settings in force and where
each of them was set are there, too.

In variables and options the entries of a list are separated by commas, and an option can also be given several times; a
path with a comma in it goes into the file.

| setting | values | default | variable | option of `collect` | in the file |
|---|---|---|---|---|---|
";

const EXAMPLE: &str = "
An optimizer that inherits from nothing, its parameters in `param_groups` as PyTorch's have them:

```toml
[[rules]]
module = \"mylib.optim\"
function = \"Lion.__init__\"
role = \"optimizer_init\"
object = \"optimizer\"

[[rules]]
module = \"mylib.optim\"
function = \"Lion.step\"
role = \"optimizer_step\"
object = \"optimizer\"
arguments = \"given\"
```
";

const END: &str = "
## What cannot be set

The ring of a thread, through which its records reach the writer, has 4 MiB for the first four threads that record and
less for those that follow: together at most 56 MiB, for at most 128 threads at a time. What does not fit is dropped,
counted and said to be missing. Rings are files in the run folder while the job runs.
";

/// The whole page.
pub fn page() -> String {
    let mut page = BEGINNING.to_owned();
    for row in TABLE {
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        let option = match (row.option, row.letter) {
            ("", _) => String::new(),
            (option, Some(letter)) => format!("`-{letter}`, `--{option}`"),
            (option, None) => format!("`--{option}`"),
        };
        let _ = writeln!(
            page,
            "| [`{name}`](#{name}) | {} | {} | {} | {option} | {} |",
            row.values(),
            code(row.default),
            code(row.variable),
            if row.in_file { "yes" } else { "no" },
            name = row.name,
        );
    }
    for row in TABLE {
        let _ = write!(page, "\n## {}\n\n{}\n", row.name, wrapped(&format!("{}. {}", row.help, row.about)));
        if row.name == "rules" {
            rules(&mut page);
        }
    }
    page.push_str(END);
    page
}

/// What can be said in a rule.
fn rules(page: &mut String) {
    page.push_str("\n| key | what it says | if it is left out |\n|---|---|---|\n");
    for (key, says, otherwise) in KEYS {
        let _ = writeln!(page, "| `{key}` | {says} | {otherwise} |");
    }
    page.push_str(EXAMPLE);
    words::<Role>(page, "role", "the function");
    words::<Receiver>(page, "object", "`self`");
    words::<Counter>(page, "counted", "counts");
    words::<ObservationPoint>(page, "looks", "what is looked at, and when");
    words::<RecordedArguments>(page, "arguments", "recorded is");
    words::<CapturePolicy>(page, "capture", "recorded are");
    words::<Profile>(page, "profile", "the function is");
}

fn words<W: Word>(page: &mut String, key: &str, what: &str) {
    let _ = writeln!(page, "\n| {key} | {what} |\n|---|---|");
    for (word, _, means) in W::ALL {
        let _ = writeln!(page, "| `{word}` | {means} |");
    }
}

/// The text in lines of at most 120 characters.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let needed = word.chars().count();
        if length > 0 && length + 1 + needed > 118 {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += needed;
    }
    lines
}
