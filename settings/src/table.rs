//! The table of settings, and how a value of each kind is read and shown.

use std::path::Path;

use crate::file::Value;
use crate::problem::Place;
use crate::rule::rules;
use crate::words::Word;
use crate::{CodeRoot, Pattern, Profile, Settings};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name; in the file its key, if it can be set there.
    pub name: &'static str,
    /// What its values are, and where they go.
    pub kind: Kind,
    /// The default, as it would be written in the variable; empty: none.
    pub default: &'static str,
    /// The variable of the environment; empty: none.
    pub variable: &'static str,
    /// The long option of `traincheck collect`; empty: none.
    pub option: &'static str,
    /// The letter of the option.
    pub letter: Option<char>,
    /// Whether it can be set in the file.
    pub in_file: bool,
    /// What it is, in one line.
    pub help: &'static str,
    /// What it does, for the guide: Markdown.
    pub about: &'static str,
}

/// The kind of a setting's values, with the field that they are kept in.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The name of a profile.
    Profile,
    /// A number between these two.
    Number(u32, u32, fn(&mut Settings) -> &mut u32),
    /// A percentage.
    Percentage(fn(&mut Settings) -> &mut Option<f64>),
    /// Patterns of function names.
    Patterns(fn(&mut Settings) -> &mut Vec<Pattern>),
    /// Paths and packages.
    Code,
    /// Tables of a rule each.
    Rules,
    /// A path that is not part of [`Settings`]: who needs it reads it.
    Path,
}

const SETTING: Setting = Setting {
    name: "",
    kind: Kind::Path,
    default: "",
    variable: "",
    option: "",
    letter: None,
    in_file: true,
    help: "",
    about: "",
};

/// All settings.
pub static TABLE: &[Setting] = &[
    Setting {
        name: "profile",
        kind: Kind::Profile,
        default: "training",
        variable: "TRAINCHECK_PROFILE",
        option: "profile",
        help: "How much is recorded: minimal, training or full",
        about: "`minimal` records iterations, steps and the state of variables, and of Python only what they are \
                derived from: outermost module calls, backward, optimizers, schedulers, gradient scalers, \
                loading, saving, collectives. No functions of the script, no ops. `training` adds the Python surface \
                of PyTorch that matters for correctness, the script's own functions, and every op in sampled \
                iterations. `full` records every Python function of `torch` and every op.",
        ..SETTING
    },
    Setting {
        name: "include",
        kind: Kind::Patterns(|settings| &mut settings.include),
        variable: "TRAINCHECK_INCLUDE",
        option: "include",
        help: "Functions to record beside those of the profile (patterns)",
        about: "Names are `module.qualname` of the function that runs, as `traincheck inspect` shows them; `*` stands \
                for any text, dots included: `mylib.*` is every function of a package. Functions that are included \
                have no role of their own (see `rules`), and are thinned as those of the script are (see \
                `max_calls_per_iteration`). Comprehensions, lambdas and bodies of modules and classes are part of \
                the function around them and cannot be included.",
        ..SETTING
    },
    Setting {
        name: "exclude",
        kind: Kind::Patterns(|settings| &mut settings.exclude),
        variable: "TRAINCHECK_EXCLUDE",
        option: "exclude",
        help: "Functions not to record (patterns); wins over include",
        about: "Matches the name of the code that runs (`torch.optim.optimizer.Optimizer.zero_grad`) and the name \
                under which `traincheck inspect` shows the call (`torch.optim.adamw.AdamW.zero_grad`). A pattern \
                with a `*` leaves alone what iterations, steps and stages are derived from: calls of modules, \
                backward, optimizers' construction and step, train() and eval(). A name without `*` excludes those \
                too; then the trace may have no iterations, and nothing can be learned from it.",
        ..SETTING
    },
    Setting {
        name: "user_code",
        kind: Kind::Code,
        variable: "TRAINCHECK_USER_CODE",
        option: "user-code",
        help: "Folders, files or packages that are your own code",
        about: "Functions of your own code are recorded, and places in it are what findings point to. It is \
                everything that lies neither in `site-packages` or `dist-packages` nor in the standard library; this \
                adds to it. An entry with a slash is a path (in the file: relative to the file's folder), any other \
                the dotted name of a package. What PyTorch itself is known by keeps its roles, whatever is declared.",
        ..SETTING
    },
    Setting {
        name: "sample_first",
        kind: Kind::Number(0, u32::MAX, |settings| &mut settings.sample_first),
        default: "3",
        variable: "TRAINCHECK_SAMPLE_FIRST",
        option: "sample-first",
        help: "Record every op in this many iterations at the beginning",
        about: "In sampled iterations every op is recorded, and gradients are looked at wherever they may change. \
                Counts are never learned from iterations of which only a part was recorded.",
        ..SETTING
    },
    Setting {
        name: "sample_every",
        kind: Kind::Number(0, u32::MAX, |settings| &mut settings.sample_every),
        default: "100",
        variable: "TRAINCHECK_SAMPLE_EVERY",
        option: "sample-every",
        help: "Of later iterations, record every op in one of this many (0: none)",
        about: "With 1 every iteration is sampled.",
        ..SETTING
    },
    Setting {
        name: "max_calls_per_iteration",
        kind: Kind::Number(1, u32::MAX, |settings| &mut settings.max_calls_per_iteration),
        default: "64",
        variable: "TRAINCHECK_MAX_CALLS_PER_ITERATION",
        option: "max-calls-per-iteration",
        help: "No longer record a function that one iteration calls more often",
        about: "It holds for functions of your own code and for those that are included. From the call that is one \
                too many on, the function is not recorded any more; the trace says so.",
        ..SETTING
    },
    Setting {
        name: "overhead",
        kind: Kind::Percentage(|settings| &mut settings.overhead),
        variable: "TRAINCHECK_OVERHEAD",
        option: "overhead",
        help: "What recording may cost, as a percentage of the job's time: 2%",
        about: "Kept by the agent's own account of what it costs, from the first iteration on: variables are looked at in \
                fewer iterations, and where that is not enough the recording pauses for some. The trace says what was \
                left out, and nothing is concluded about it. Not set: recording costs what it costs.",
        ..SETTING
    },
    Setting {
        name: "rules",
        kind: Kind::Rules,
        help: "What functions of other libraries do",
        about: "Each `[[rules]]` table says what the calls of the functions mean whose module matches `module` and \
                whose qualified name matches `function`: all that traincheck's own table says of those that it knows, \
                which come first. What a rule leaves out follows from its role. Of the rules the first that matches \
                counts; a class that inherits from one of PyTorch's needs none.",
        ..SETTING
    },
    Setting {
        name: "run_dir",
        variable: "TRAINCHECK_RUN_DIR",
        option: "output",
        letter: Some('o'),
        in_file: false,
        help: "Folder to record into; a run needs one of its own",
        about: "The folder is made at the first sign of training. Not set: one that is new, under \
                `./traincheck-runs`; ranks that are started one by one meet in one that is named after their job. Every \
                process of a job records into the same folder. Given to `collect` as an option it must be new or \
                empty, or hold the other ranks of the job of which `collect` is started as one.",
        ..SETTING
    },
    Setting {
        name: "config",
        variable: "TRAINCHECK_CONFIG",
        option: "config",
        in_file: false,
        help: "File to read settings from",
        about: "Not set: `traincheck.toml` in the working directory, if there is one. To read no file at all, set it \
                to `/dev/null`.",
        ..SETTING
    },
    Setting {
        name: "agent",
        variable: "TRAINCHECK_AGENT",
        in_file: false,
        help: "The agent that collect preloads",
        about: "Not set: `libtraincheck.so` beside the command, else in `../lib/` from there.",
        ..SETTING
    },
];

/// What is wrong with a value: where, if it is known better than for the value as a whole, and what.
pub(crate) type Fault = (Option<Place>, String);

impl Setting {
    /// Takes over `value`. What is wrong is left out and given back; paths are relative to `base`.
    pub(crate) fn set(&self, settings: &mut Settings, value: &Value, base: &Path) -> Vec<Fault> {
        let mut faults = Vec::new();
        match self.kind {
            Kind::Profile => match value {
                Value::Text(text) => match <Profile as Word>::read(text.trim()) {
                    Ok(profile) => settings.profile = profile,
                    Err(what) => faults.push((None, what)),
                },
                other => faults.push((None, self.wrong(other))),
            },
            Kind::Number(least, most, field) => {
                let number = match value {
                    Value::Text(text) => text.trim().parse().ok(),
                    Value::Integer(number) => u32::try_from(*number).ok(),
                    _ => None,
                };
                match number {
                    Some(number) if (least..=most).contains(&number) => *field(settings) = number,
                    _ => faults.push((None, self.wrong(value))),
                }
            }
            Kind::Percentage(field) => {
                let number = match value {
                    Value::Text(text) => {
                        text.trim().strip_suffix('%').and_then(|text| text.trim().parse().ok())
                    }
                    _ => None,
                };
                match number {
                    Some(number) if 0.0 < number && number <= 100.0 => *field(settings) = Some(number),
                    _ => faults.push((None, self.wrong(value))),
                }
            }
            Kind::Patterns(field) => {
                let entries = self.entries(value, &mut faults, Pattern::new);
                *field(settings) = entries;
            }
            Kind::Code => {
                settings.user_code = self.entries(value, &mut faults, |text| CodeRoot::new(text, base));
            }
            Kind::Rules => settings.rules = rules(value, &mut faults),
            Kind::Path => {}
        }
        faults
    }

    /// The entries of a list that are right.
    fn entries<T>(
        &self,
        value: &Value,
        faults: &mut Vec<Fault>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut entries = Vec::new();
        let mut take = |text: &str, place: Option<Place>, faults: &mut Vec<Fault>| match read(text) {
            Ok(entry) => entries.push(entry),
            Err(what) => faults.push((place, what)),
        };
        match value {
            Value::Text(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.for_each(|part| take(part, None, faults));
            }
            Value::List(values) => {
                for (value, place) in values {
                    match value {
                        Value::Text(text) => take(text, Some(place.clone()), faults),
                        other => faults.push((Some(place.clone()), self.wrong(other))),
                    }
                }
            }
            other => faults.push((None, self.wrong(other))),
        }
        entries
    }

    /// That `value` is not what is asked for.
    fn wrong(&self, value: &Value) -> String {
        let (wanted, example) = match self.kind {
            Kind::Profile => ("a text", r#""training""#.to_owned()),
            Kind::Number(least, u32::MAX, _) => {
                return format!(
                    "{value} is not a whole number of at least {least}; write for example {}",
                    self.default
                );
            }
            Kind::Number(least, most, _) => {
                return format!(
                    "{value} is not a whole number from {least} to {most}; write for example {}",
                    self.default
                );
            }
            Kind::Percentage(_) => ("a percentage above 0 and up to 100", r#""2%""#.to_owned()),
            Kind::Patterns(_) => ("a list of texts", r#"["package.module.*"]"#.to_owned()),
            Kind::Code => ("a list of texts", r#"["/path/to/code", "package"]"#.to_owned()),
            Kind::Rules => ("a list of tables", "[[rules]]".to_owned()),
            Kind::Path => ("a path", "a path".to_owned()),
        };
        format!("{value} is not {wanted}; write for example {example}")
    }

    /// The kind of its values, for the guide.
    pub fn values(&self) -> String {
        match self.kind {
            Kind::Profile => Profile::ALL.map(|profile| format!("`{}`", profile.name())).join(", "),
            Kind::Number(least, u32::MAX, _) => format!("a whole number, at least {least}"),
            Kind::Number(least, most, _) => format!("a whole number from {least} to {most}"),
            Kind::Percentage(_) => "a percentage, `\"2%\"`".to_owned(),
            Kind::Patterns(_) => "a list of patterns".to_owned(),
            Kind::Code => "a list of paths and packages".to_owned(),
            Kind::Rules => "tables with `module`, `function`, `role`, ...".to_owned(),
            Kind::Path => "a path".to_owned(),
        }
    }

    /// What stands for its value in the help of the option.
    pub fn value_name(&self) -> &'static str {
        match self.kind {
            Kind::Profile => "NAME",
            Kind::Number(..) => "N",
            Kind::Percentage(_) => "PERCENT",
            Kind::Patterns(_) => "PATTERN",
            Kind::Code => "PATH|PACKAGE",
            Kind::Rules => "RULE",
            Kind::Path if self.name == "config" => "FILE",
            Kind::Path => "DIR",
        }
    }

    /// Whether it has several values.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, Kind::Patterns(_) | Kind::Code | Kind::Rules)
    }

    /// The value in force, as text; none for what [`Settings`] has not.
    pub(crate) fn show(&self, settings: &mut Settings) -> Option<String> {
        fn list<T: ToString>(entries: &[T]) -> String {
            entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Some(match self.kind {
            Kind::Profile => settings.profile.name().to_owned(),
            Kind::Number(_, _, field) => field(settings).to_string(),
            Kind::Percentage(field) => {
                field(settings).map_or_else(String::new, |number| format!("{number}%"))
            }
            Kind::Patterns(field) => list(field(settings)),
            Kind::Code => list(&settings.user_code),
            Kind::Rules => list(&settings.rules),
            Kind::Path => return None,
        })
    }
}
