//! A program that `scripts/lib.sh` gets from a package is there as a whole or not at all: an installation that fails is not
//! taken for one, and two at once are one after the other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use traincheck_tests::{Finished, finish, folder, repository};

/// Runs `commands` with what `scripts/lib.sh` defines, and with a stand-in for Python whose pip does what `pip` says.
fn shell(folder: &Path, pip: &str, commands: &str) -> Finished {
    let python = folder.join("python");
    fs::write(&python, format!("#!/bin/sh\nmkdir -p $3/bin\ncp {}/pip $3/bin\n", folder.display())).unwrap();
    fs::write(folder.join("pip"), format!("#!/bin/sh\n{pip}\n")).unwrap();
    for program in ["python", "pip"] {
        fs::set_permissions(folder.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let library = repository().join("scripts/lib.sh");
    let script =
        format!("source {}\nfind_python() {{ echo {}; }}\n{commands}", library.display(), python.display());
    finish(Command::new("bash").args(["-c", &script]).env("XDG_CACHE_HOME", folder.join("cache")))
}

#[test]
fn one_that_fails_is_tried_anew() {
    let temporary = folder();
    let at = |name: &str| temporary.path().join("cache/traincheck").join(name);
    let install = "tool=$(packaged tool package==1)\necho $tool";
    shell(temporary.path(), "exit 1", install).exited(1);
    assert!(!at("package-1/complete").exists());
    let done = shell(temporary.path(), "exit 0", install).exited(0);
    assert_eq!(done.stdout.trim(), at("package-1/bin/tool").to_str().unwrap());
}

#[test]
fn two_at_once_install_it_once() {
    let temporary = folder();
    let installed = temporary.path().join("installed");
    let pip = format!("sleep 1\necho installed >>{}", installed.display());
    let install = "packaged tool package==1 & packaged tool package==1\nwait";
    let done = shell(temporary.path(), &pip, install).exited(0);
    assert_eq!(done.stdout.lines().count(), 2, "{}", done.stdout);
    assert_eq!(fs::read_to_string(installed).unwrap(), "installed\n");
}
