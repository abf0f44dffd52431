//! What a program is, and when two runs are of one: a script is told by where it lies, however its path is typed, and a module
//! by its name.
//!
//! The name of a script is its path, resolved, in which `/./` stands behind the folder that the script and the working
//! directory share: `/home/me/project/./train.py`. What is behind it is the same in every check-out of the project.

use std::path::{Component, Path, PathBuf};

/// Stands behind the folder that the script and the working directory share.
const STARTED: &str = "/./";

/// The name of a program, from a script or module as it was typed, and the working directory, as far as that is known.
pub fn name(typed: &str, folder: Option<&str>) -> String {
    if !is_script(typed) {
        return typed.to_owned();
    }
    let folder = folder.filter(|folder| folder.starts_with('/')).map(|folder| resolved(Path::new(folder)));
    let Some(folder) = folder else { return text(&resolved(Path::new(typed))) };
    let script = resolved(&folder.join(typed));
    let shared: PathBuf = folder
        .components()
        .zip(script.components())
        .map_while(|(one, two)| (one == two).then_some(one))
        .collect();
    match (text(&shared), script.strip_prefix(&shared)) {
        (shared, Ok(rest)) if shared != "/" => format!("{shared}{STARTED}{}", text(rest)),
        _ => text(&script),
    }
}

/// A name for people: the path alone.
pub fn shown(name: &str) -> String {
    name.replacen(STARTED, "/", 1)
}

/// Which of them are one program: numbers from 0, in the order in which programs first come up.
pub fn numbered(names: &[Option<&str>]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..names.len()).collect();
    for later in 0..names.len() {
        for earlier in 0..later {
            let (from, to) = (numbers[later].max(numbers[earlier]), numbers[later].min(numbers[earlier]));
            if from != to && is_same(names[earlier], names[later]) {
                numbers.iter_mut().filter(|number| **number == from).for_each(|number| *number = to);
            }
        }
    }
    let mut first = Vec::new();
    for number in &mut numbers {
        let place = first.iter().position(|one| one == number).unwrap_or_else(|| {
            first.push(*number);
            first.len() - 1
        });
        *number = place;
    }
    numbers
}

/// Whether all of them are one program.
pub fn are_one<'a>(names: impl Iterator<Item = Option<&'a str>>) -> bool {
    numbered(&names.collect::<Vec<_>>()).into_iter().all(|number| number == 0)
}

/// Which of `others` are the same program as `name`.
pub fn same_as<'a>(name: Option<&'a str>, others: impl Iterator<Item = Option<&'a str>>) -> Vec<bool> {
    let all: Vec<Option<&str>> = [name].into_iter().chain(others).collect();
    numbered(&all).into_iter().skip(1).map(|number| number == 0).collect()
}

/// Whether two names are of one program: the script is the same file, or lies in the same place of another check-out, that
/// is, as seen from where it was started. Where that is not known of one of them, what is known of its path has to agree.
fn is_same(one: Option<&str>, two: Option<&str>) -> bool {
    let (Some(one), Some(two)) = (one, two) else { return one == two };
    if !is_script(one) || !is_script(two) {
        return one == two;
    }
    // Names of older files are as they were typed.
    let (one, two) = (Script::of(one), Script::of(two));
    let is_known = one.path.is_absolute() && two.path.is_absolute();
    one.path == two.path
        || one.rest.is_some() && one.rest == two.rest
        || !is_known && (one.path.ends_with(&two.path) || two.path.ends_with(&one.path))
}

/// A name, taken apart.
struct Script {
    path: PathBuf,
    /// What is behind the folder that the script and the working directory share.
    rest: Option<PathBuf>,
}

impl Script {
    fn of(name: &str) -> Script {
        let rest = name.starts_with('/').then(|| name.split_once(STARTED)).flatten();
        Script { path: resolved(Path::new(name)), rest: rest.map(|(_, rest)| resolved(Path::new(rest))) }
    }
}

fn is_script(name: &str) -> bool {
    name.ends_with(".py")
}

/// Without `.` and `..`; those that lead out of what is known are left out. Links are not followed: the run may be another
/// machine's.
fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            part => resolved.push(part),
        }
    }
    resolved
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_one(one: &str, two: &str) -> bool {
        numbered(&[Some(one), Some(two)]) == [0, 0]
    }

    #[test]
    fn a_script_has_one_name_however_it_is_typed() {
        for typed in ["train.py", "./train.py", "../project/train.py", "/home/me/project/train.py"] {
            assert_eq!(name(typed, Some("/home/me/project")), "/home/me/project/./train.py", "{typed}");
        }
        let elsewhere = name("../project/train.py", Some("/home/me/other"));
        assert_eq!(elsewhere, "/home/me/./project/train.py");
        assert_eq!(shown(&elsewhere), "/home/me/project/train.py");
        assert!(are_one(&elsewhere, "/home/me/project/./train.py"));
        assert_eq!(name("/opt/train.py", Some("/home/me")), "/opt/train.py");
        assert_eq!(name("./train.py", None), "train.py");
        assert_eq!(name("package.train", Some("/home/me")), "package.train");
    }

    #[test]
    fn one_script_in_two_check_outs_is_one_program() {
        let of = |folder, typed| name(typed, Some(folder));
        assert!(are_one(&of("/job/1/project", "train.py"), &of("/job/2/project", "./train.py")));
        assert!(are_one(&of("/job/1", "a/train.py"), &of("/job/2", "/job/2/a/train.py")));
        assert!(!are_one(&of("/examples", "mnist/main.py"), &of("/examples", "vae/main.py")));
        assert!(!are_one(&of("/examples/mnist", "main.py"), &of("/examples/mnist", "other.py")));
        // In two check-outs, and one of them started from elsewhere: the three are one.
        let all = [
            of("/a/x", "train.py"),
            of("/", "/a/x/train.py"),
            of("/b/x", "train.py"),
            of("/", "/c/train.py"),
        ];
        let all: Vec<Option<&str>> = all.iter().map(|name| Some(name.as_str())).collect();
        assert_eq!(numbered(&all), [0, 0, 0, 1]);
    }

    #[test]
    fn what_is_known_of_older_names_decides() {
        assert!(are_one("prog.py", "./prog.py"));
        assert!(are_one("prog.py", "/work/prog.py"));
        assert!(are_one("../clean/x.py", "/work/./clean/x.py"));
        assert!(!are_one("og.py", "/work/prog.py"));
        assert!(!are_one("/a/prog.py", "/b/prog.py"));
        assert!(!are_one("train", "package.train"));
        assert_eq!(numbered(&[None, Some("a.py"), None]), [0, 1, 0]);
    }
}
