//! The options of a command line, and which of them switch something on or off that others leave as it is.

use std::collections::BTreeMap;

/// What an option says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Setting {
    /// It is not given.
    Absent,
    /// It is given without a value, or with one like `true`.
    On,
    /// Its value is one like `false`.
    Off,
    /// Its value is the number 0.
    Zero,
    /// Its value is another number.
    Amount,
    /// Its value is something else, or was not recorded.
    Other,
}

impl Setting {
    fn of(value: Option<&str>) -> Setting {
        let Some(value) = value else { return Setting::On };
        match value.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Setting::On,
            "false" | "no" | "off" | "none" | "null" => Setting::Off,
            number => match number.parse::<f64>() {
                Ok(0.0) => Setting::Zero,
                Ok(_) => Setting::Amount,
                Err(_) => Setting::Other,
            },
        }
    }
}

/// An option as it was given.
#[derive(Clone, Debug)]
struct Given {
    setting: Setting,
    text: String,
}

/// By name, without dashes and in one spelling.
fn options(arguments: &[String]) -> BTreeMap<String, Given> {
    let mut all = BTreeMap::new();
    let mut rest = arguments.iter().map(String::as_str).peekable();
    let is_option = |text: &str| text.starts_with('-') && text.parse::<f64>().is_err();
    while let Some(argument) = rest.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None if is_option(argument) => {
                (argument, rest.next_if(|next| !is_option(next) && !next.contains('=')))
            }
            None => continue,
        };
        let text = match value {
            Some(value) if !argument.contains('=') => format!("{argument} {value}"),
            _ => argument.to_owned(),
        };
        let name = name.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
        all.insert(name, Given { setting: Setting::of(value), text });
    }
    all
}

/// The options of a command line with their values, in one spelling and without seeds.
pub fn configuration(arguments: &[String]) -> BTreeMap<String, String> {
    let all = options(arguments).into_iter().filter(|(name, _)| !name.contains("seed"));
    let value = |given: Given| given.text.split_once(['=', ' ']).map(|(_, value)| value.to_owned());
    all.map(|(name, given)| (name, value(given).unwrap_or_default())).collect()
}

/// How the options of a command line (its arguments behind the script) differ from those of all `others` in what they
/// switch on or off, in words.
///
/// A flag switches something, whatever it is called. Where a number decides (`--clip 0`), only names with one of `words`
/// in them count (words of three letters as words of their own): another seed, batch size or number of epochs switches
/// nothing.
pub fn switched(arguments: &[String], others: &[&[String]], words: &[&str]) -> Vec<String> {
    let own = options(arguments);
    let others: Vec<BTreeMap<String, Given>> = others.iter().map(|other| options(other)).collect();
    let mut names: Vec<&String> = own.keys().chain(others.iter().flat_map(BTreeMap::keys)).collect();
    names.sort_unstable();
    names.dedup();
    let mut found = Vec::new();
    for name in names {
        let of = |options: &BTreeMap<String, Given>| {
            options.get(name).map_or(Setting::Absent, |given| given.setting)
        };
        let setting = of(&own);
        let theirs: Vec<Setting> = others.iter().map(of).collect();
        if theirs.is_empty() || theirs.contains(&setting) {
            continue;
        }
        let is_flag = |setting: &Setting| matches!(setting, Setting::Absent | Setting::On | Setting::Off);
        let is_word = |word: &str| name.split(['-', '.']).any(|part| part == word);
        let is_meant =
            || words.iter().any(|&word| if word.len() > 3 { name.contains(word) } else { is_word(word) });
        if is_flag(&setting) && theirs.iter().all(is_flag) || is_meant() {
            found.push(match own.get(name) {
                Some(given) => format!("`{}`", given.text),
                None => format!("no `--{name}`"),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(run: &str, references: &[&str]) -> Vec<String> {
        let split = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let references: Vec<Vec<String>> = references.iter().map(|line| split(line)).collect();
        let references: Vec<&[String]> = references.iter().map(Vec::as_slice).collect();
        switched(&split(run), &references, &["clip"])
    }

    #[test]
    fn flags_and_amounts_that_no_reference_has_are_named() {
        for (run, references, says) in [
            ("--no_clip --seed 3", &["--seed 1", "--seed 2"][..], &["`--no_clip`"][..]),
            ("--seed 3", &["--clip --seed 1", "--clip"], &["no `--clip`"]),
            ("--clip 0 --seed 0", &["--clip 1 --seed 1", "--clip 5 --seed 1"], &["`--clip 0`"]),
            ("clip.norm=0 lr=0", &["clip.norm=1 lr=1"], &["`clip.norm=0`"]),
            ("--clip=false", &["--clip=True"], &["`--clip=false`"]),
            ("--bs 64", &["--seed 1", "--seed 2"], &[]),
            ("--seed 0", &["--bs 8 --seed 1"], &[]),
            ("--clip -1.5 --fast", &["--clip 2 --fast"], &[]),
            ("--fast", &["--fast", "--slow"], &[]),
            ("--no-clip", &[], &[]),
        ] {
            assert_eq!(found(run, references), says, "{run}");
        }
    }
}
