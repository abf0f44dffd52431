//! The command line of the process, and what of it may be written down.
//!
//! Arguments carry passwords, tokens and addresses. So nothing is kept because it looks harmless: an argument
//! is kept only where it is on the list of [`redact`], and everything else becomes [`REDACTED`].

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Stands for every argument, or part of one, that is not on the list.
pub const REDACTED: &str = "<redacted>";

/// The longest number that is kept: enough for a seed or a learning rate, too short for a card or an account.
const LONGEST_NUMBER: usize = 12;
/// The longest name of an option that is kept.
const LONGEST_NAME: usize = 48;
/// How many arguments are kept at most.
const MOST_ARGUMENTS: usize = 512;

/// Names of options with one of these in them have no value that is kept, not even a number.
const SECRET_NAMES: [&str; 14] = [
    "pass", "pwd", "secret", "token", "key", "auth", "cred", "pin", "otp", "session", "cookie", "cert",
    "account", "user",
];
/// Those of them that training also counts: the number behind `--max-tokens` or `--key-dim` is no secret.
const COUNTABLE: [&str; 5] = ["token", "key", "user", "session", "auth"];
/// Words of a name that make a number behind it an amount.
const AMOUNTS: [&str; 22] = [
    "max", "min", "num", "n", "total", "count", "per", "limit", "size", "len", "length", "dim", "dims",
    "heads", "ratio", "rate", "prob", "dropout", "freq", "interval", "workers", "threads",
];

/// The command line of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    arguments: Vec<String>,
    script: Script,
}

/// What the interpreter was told to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Script {
    /// Not an interpreter, or an interactive one.
    #[default]
    None,
    /// `python train.py`: the index of the path.
    File(usize),
    /// `python -m package.module`: the index of the name.
    Module(usize),
    /// `python -c CODE`: the index of the code.
    Code(usize),
}

impl Command {
    /// That of the running process; empty where `/proc` is not mounted.
    pub fn of_process() -> Command {
        let bytes = std::fs::read("/proc/self/cmdline").unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        Command::new(bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()))
    }

    /// The command line with these arguments, the program first.
    pub fn new(arguments: impl IntoIterator<Item = String>) -> Command {
        let arguments: Vec<String> = arguments.into_iter().collect();
        let script = find_script(&arguments);
        Command { arguments, script }
    }

    /// The path of the script, or the name of the module given with `-m`; empty where there is neither.
    pub fn script(&self) -> &str {
        match self.script {
            Script::File(at) | Script::Module(at) => self.arguments.get(at).map_or("", String::as_str),
            Script::None | Script::Code(_) => "",
        }
    }

    /// A short name of what runs, fit for a file name.
    pub fn stem(&self) -> String {
        let name = match self.script {
            Script::Module(_) => self.script(),
            Script::File(_) => file_stem(self.script()),
            Script::Code(_) => "command",
            Script::None => self.arguments.first().map_or("", |program| file_stem(program)),
        };
        let stem: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' })
            .take(48)
            .collect();
        if stem.trim_matches('.').is_empty() { "process".into() } else { stem }
    }

    /// The command line after the list: see [`redact`].
    pub fn redacted(&self) -> Vec<String> {
        let script = match self.script {
            Script::None => 0,
            Script::File(at) | Script::Module(at) | Script::Code(at) => at,
        };
        let mut kept = Vec::new();
        let mut before = Value::Plain;
        for (at, argument) in self.arguments.iter().take(MOST_ARGUMENTS).enumerate() {
            let is_code = self.script == Script::Code(at);
            if at == 0 || at == script && !is_code {
                kept.push(argument.clone());
            } else if is_code {
                kept.push(REDACTED.into());
            } else {
                let (text, next) = redact(argument, before);
                kept.push(text);
                before = next;
                continue;
            }
            before = Value::Plain;
        }
        kept
    }
}

/// What may be known of the value of an option, going by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Numbers, booleans and paths of Python files.
    Plain,
    /// No more than whether it is on.
    Secret,
}

impl Value {
    /// Whether `text` may be kept as such a value.
    fn may_be(self, text: &str) -> bool {
        is_boolean(text) || self == Value::Plain && is_numeric(text)
    }
}

/// What is kept of one argument: a number, a boolean, the name of an option (with its value if that is one of
/// these), a path of a Python file. `value`: what it may be where it belongs to the option before it. Also gives
/// back what the argument behind it may be.
fn redact(argument: &str, value: Value) -> (String, Value) {
    if value.may_be(argument) || argument == "--" {
        return (argument.into(), Value::Plain);
    }
    if let Some(option) = argument.strip_prefix("--") {
        let (name, glued) = match option.split_once('=') {
            Some((name, glued)) => (name, Some(glued)),
            None => (option, None),
        };
        if !is_name(name) {
            return (format!("--{REDACTED}"), Value::Secret);
        }
        let value = value_of(name);
        return match glued {
            None => (argument.into(), value),
            Some(glued) if value.may_be(glued) => (argument.into(), Value::Plain),
            Some(_) => (format!("--{name}={REDACTED}"), Value::Plain),
        };
    }
    if let Some(option) = argument.strip_prefix('-') {
        // Behind one letter may stand its value (`-phunter2`), so no more than the letter is taken for a name.
        let mut letters = option.chars();
        let Some(letter) = letters.next().filter(char::is_ascii_alphabetic) else {
            return (REDACTED.into(), Value::Plain);
        };
        let secret = matches!(letter, 'p' | 'P' | 'k' | 'K' | 't' | 'T');
        return if letters.as_str().is_empty() {
            (argument.into(), if secret { Value::Secret } else { Value::Plain })
        } else {
            (format!("-{letter}{REDACTED}"), Value::Plain)
        };
    }
    if value == Value::Secret {
        return (REDACTED.into(), Value::Plain);
    }
    // `trainer.lr=0.1`; with any other value even the left side may be one half of a secret.
    if let Some((name, glued)) = argument.split_once('=')
        && is_name(name.trim_start_matches('+'))
        && value_of(name).may_be(glued)
    {
        return (argument.into(), Value::Plain);
    }
    if is_python_file(argument) {
        return (argument.into(), Value::Plain);
    }
    (REDACTED.into(), Value::Plain)
}

fn is_boolean(value: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// A number, or several with commas between them.
fn is_numeric(value: &str) -> bool {
    !value.is_empty() && value.split(',').count() <= 8 && value.split(',').all(is_number)
}

/// A path, and no address with a password in it, nor anything with parameters.
fn is_python_file(argument: &str) -> bool {
    argument.ends_with(".py")
        && argument.len() < 256
        && argument
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ' ' | '+' | ','))
}

fn is_number(text: &str) -> bool {
    text.len() <= LONGEST_NUMBER
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok()
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        // Words have few digits; keys have many.
        && name.bytes().filter(u8::is_ascii_digit).count() <= 4
}

fn value_of(name: &str) -> Value {
    let name = name.to_ascii_lowercase();
    let is_amount = name.split(['-', '_', '.']).any(|word| AMOUNTS.contains(&word));
    let mut secrets = SECRET_NAMES.iter().filter(|part| name.contains(**part));
    if secrets.all(|part| is_amount && COUNTABLE.contains(part)) { Value::Plain } else { Value::Secret }
}

/// Where in the arguments of an interpreter the thing to run stands.
fn find_script(arguments: &[String]) -> Script {
    let Some(program) = arguments.first() else { return Script::None };
    if !file_name(program).starts_with("python") && !file_name(program).starts_with("pypy") {
        return Script::None;
    }
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        let Some(letters) = argument.strip_prefix('-') else { return Script::File(at) };
        if letters.starts_with('-') {
            // `--check-hash-based-pycs` is the only one with a value behind it.
            at += if argument == "--check-hash-based-pycs" { 2 } else { 1 };
            continue;
        }
        // Single letters may stand together (`-um module`); the last may have its value glued to it.
        let taking = letters.find(['c', 'm', 'W', 'X']);
        let Some(place) = taking else {
            at += 1;
            continue;
        };
        let glued = place + 1 < letters.len();
        match letters.as_bytes().get(place) {
            Some(b'c') => return Script::Code(if glued { at } else { at + 1 }),
            Some(b'm') if !glued => return Script::Module(at + 1),
            // Glued to its letter the name is not an argument of its own; it is left out.
            Some(b'm') => return Script::None,
            _ => at += if glued { 1 } else { 2 },
        }
    }
    Script::None
}

fn file_name(path: &str) -> &str {
    Path::new(path).file_name().and_then(OsStr::to_str).unwrap_or(path)
}

fn file_stem(path: &str) -> &str {
    let stem = Path::new(path).file_stem().unwrap_or(OsStr::from_bytes(path.as_bytes()));
    stem.to_str().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        Command::new(line.split_whitespace().map(String::from))
    }

    #[test]
    fn what_is_on_the_list_is_kept() {
        let line = "/usr/bin/python3.11 -u /home/ann/train.py --lr 1e-4 --epochs=3 --amp True -j 8 --gpus 0,1 -1 \
                    model.depth=12 --resume --max-tokens 512 --num_key_value_heads=8 --pin-memory true data.max_tokens=1e6 \
                    --tokens-per-batch 4096 tools/second.py";
        assert_eq!(command(line).redacted().join(" "), line.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn nothing_else_is_kept() {
        let line = "python train.py --api-key sk-live-51H --token=hf_abcdef -phunter2 --password 12345 \
                    --db=postgres://bob:s3cret@host/x s3cr3t c2VjcmV0cGFzcw== --name ann --AKIAIOSFODNN7EXAMPLE12345 \
                    wandb.entity=acme 4111111111111111 -k 99 key=17 --account-number 66 --max-password 77 --per-user-pin 88 \
                    --max-token-key=hf_abcdef --num-tokens hf_abcdef https://bob:s3cret@host/x.py?key=hf_abcdef.py";
        let redacted = command(line).redacted().join(" ");
        for secret in [
            "sk-live", "hf_", "hunter2", "12345", "bob", "s3cret", "s3cr3t", "c2Vj", "ann", "AKIA", "acme",
            "4111", "99", "17", "66", "77", "88",
        ] {
            assert!(!redacted.contains(secret), "{secret} is left in {redacted}");
        }
        assert!(redacted.starts_with("python train.py --api-key <redacted> --token=<redacted> -p<redacted>"));
    }

    #[test]
    fn code_given_on_the_command_line_is_a_value() {
        let spaced = Command::new(["python", "-c", "import torch; key='x'", "--lr", "1"].map(String::from));
        assert_eq!(spaced.redacted(), ["python", "-c", "<redacted>", "--lr", "1"]);
        let glued = Command::new(["python", "-cimport torch; key='x'", "s"].map(String::from));
        assert_eq!(glued.redacted(), ["python", "<redacted>", "<redacted>"]);
    }

    #[test]
    fn the_script_is_found_behind_the_options_of_the_interpreter() {
        for (line, script, stem) in [
            ("python train.py a.py", "train.py", "train"),
            ("/usr/bin/python3 -u -W ignore -X dev /a/b/train_it.py", "/a/b/train_it.py", "train_it"),
            ("python -Wignore -um pkg.train --x", "pkg.train", "pkg.train"),
            ("python -c pass", "", "command"),
            ("python", "", "python"),
            ("./closed-trainer --fast", "", "closed-trainer"),
            (
                "/venv/bin/python /venv/bin/torchrun --nproc-per-node 2 train.py",
                "/venv/bin/torchrun",
                "torchrun",
            ),
        ] {
            let command = command(line);
            assert_eq!((command.script(), command.stem().as_str()), (script, stem), "{line}");
        }
    }

    #[test]
    fn the_stem_is_fit_for_a_file_name() {
        let odd = Command::new(["python", "/tmp/my run\n(1)/..", ""].map(String::from));
        assert!(!odd.stem().contains(['/', '\n', ' ']));
        assert_eq!(Command::default().stem(), "process");
        assert_eq!(Command::new(["python", "/x/träin 1.py"].map(String::from)).stem(), "tr_in_1");
    }
}
