//! The agent exports names of functions of c10d. A program that has such functions elsewhere than in a libtorch, or has
//! several of one name, calls what it would call without the agent.

use std::path::{Path, PathBuf};
use std::process::Command;

use traincheck_tests::{agent, finish, folder, left_out_by_this_machine, script};

fn compile(arguments: &[&str], source: &str, into: &Path) {
    let mut compiler = Command::new("cc");
    compiler.args(arguments).args(["-O1", "-o"]).arg(into).arg(script(source)).arg("-ldl");
    finish(&mut compiler).exited(0);
}

#[test]
fn in_one_library_or_in_several() {
    if !cfg!(target_arch = "x86_64") {
        return left_out_by_this_machine(
            "functions of c10d in other libraries",
            "the agent exports none here",
        );
    }
    let temporary = folder();
    let [program, one, two]: [PathBuf; 3] =
        ["program", "one.so", "two.so"].map(|name| temporary.path().join(name));
    compile(&[], "calls_c10d.c", &program);
    for (which, library) in [("-DWHICH=1", &one), ("-DWHICH=2", &two)] {
        compile(&["-shared", "-fPIC", which], "another_c10d.c", library);
    }
    let libraries: [&[&PathBuf]; 3] = [&[&one], &[&two, &one], &[&one, &two]];
    for libraries in libraries {
        let expected = finish(Command::new(&program).args(libraries).env_remove("LD_PRELOAD")).exited(0);
        assert_eq!(expected.stdout.lines().count(), 4 * libraries.len(), "{}", expected.stdout);
        assert!(expected.stdout.contains("123456 0.75\n"), "{}", expected.stdout);
        let found = finish(Command::new(&program).args(libraries).env("LD_PRELOAD", agent()));
        found.assert_same(&expected);
    }
}
