//! Settings come from a file, variables and options. They change what is recorded; a wrong one is refused by `collect`
//! and noted by the agent, and the job is none the worse for it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use traincheck_schema::record::{EventKind, Role, flags};
use traincheck_schema::run::{Run, RunInfo};
use traincheck_settings::{ObservationPoint, Receiver, Word};
use traincheck_tests::{
    ProcessTrace, Trace, finish, folder, interpreters, pipeline, plain, plain_in, preloaded, preloaded_in,
    python, script, traincheck,
};

/// The MLP, trained in `folder` for a few iterations.
fn train<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command.current_dir(folder).arg(pipeline("mlp.py")).args(["--iterations", "5"])
}

fn read(run: &Path) -> (RunInfo, ProcessTrace) {
    (Run::open(run).unwrap().info.unwrap(), Trace::read(run).only())
}

/// The value of a setting and where it comes from.
fn setting<'a>(info: &'a RunInfo, name: &str) -> (&'a str, &'a str) {
    let found = info.settings.iter().find(|setting| setting.name == name).expect("the setting");
    (&found.value, &found.from)
}

#[test]
fn a_file_says_what_is_recorded() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let file = temporary.path().join("traincheck.toml");
    fs::write(
        &file,
        r#"
profile = "full"
include = ["sklearn.utils._bunch.*"]
exclude = ["__main__.MLP.forward", "*.zero_grad"]
user_code = ["sklearn.datasets"]
sample_every = 4

[[rules]]
module = "sklearn.*"
function = "Bunch.__init__"
role = "load"
"#,
    )
    .unwrap();
    let mut command = preloaded(&run);
    command.env("TRAINCHECK_PROFILE", "training");
    finish(train(&mut command, temporary.path())).exited(0);

    let (info, process) = read(&run);
    assert_eq!((process.iterations(), process.steps()), (5, 5));
    assert!(process.called("__main__.main") && !process.called("__main__.MLP.forward"));
    assert_eq!(process.entered(Role::ZeroGrad).count(), 0);
    let role_of = |name: &str| {
        let mut entered =
            process.of_kind(EventKind::Enter).filter(|event| process.name(event.name).ends_with(name));
        entered.next().and_then(|event| process.role(event.name))
    };
    assert_eq!(role_of("_base.load_wine"), Some(Role::User), "declared to be the user's");
    assert_eq!(role_of("Bunch.__init__"), Some(Role::Load), "given a role");
    assert_eq!(role_of("Bunch.__setattr__").or(role_of("Bunch.__getattr__")), Some(Role::Other), "included");
    let sampled: Vec<_> = process
        .of_kind(EventKind::Iteration)
        .filter(|event| event.flags & flags::ALL_OPS != 0)
        .map(|event| event.iteration)
        .collect();
    assert_eq!(sampled, [1, 2, 3, 4]);

    // A variable wins over the file, and where it all comes from is on record.
    assert_eq!(info.profile, "training");
    assert_eq!(setting(&info, "profile"), ("training", "TRAINCHECK_PROFILE"));
    assert_eq!(setting(&info, "sample_every"), ("4", format!("{}:6", file.display()).as_str()));
    assert_eq!(setting(&info, "sample_first"), ("3", "default"));
}

#[test]
fn the_minimal_profile_has_iterations_and_states_and_little_else() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let mut command = preloaded(&run);
    command.env("TRAINCHECK_PROFILE", "minimal");
    finish(train(&mut command, temporary.path())).exited(0);

    let (_, process) = read(&run);
    process.assert_whole();
    assert_eq!((process.iterations(), process.steps()), (5, 5));
    assert_eq!(process.entered(Role::ModuleCall).count(), 5, "the outermost module's");
    assert_eq!(process.entered(Role::User).count() + process.entered(Role::ZeroGrad).count(), 0);
    assert_eq!(process.of_kind(EventKind::OpEnter).count(), 0);
    assert!(process.events.iter().all(|event| event.flags & flags::ALL_OPS == 0));
    assert!(
        process.of_kind(EventKind::Iteration).all(|event| event.site != 0),
        "places are known all the same"
    );
    assert!(process.states.iter().any(|state| process.name(state.variable) == "MLP.layers.0.weight"));
}

#[test]
fn a_wrong_file_is_noted_and_the_job_is_none_the_worse() {
    let temporary = folder();
    let expected = finish(train(&mut plain(), temporary.path())).exited(0);
    let run = temporary.path().join("run");
    let text = "exlude = ['a']\nprofile = 'ful'\nsample_first = 1";
    fs::write(temporary.path().join("traincheck.toml"), text).unwrap();
    let found = finish(train(&mut preloaded(&run), temporary.path())).exited(0);
    assert_eq!((&found.stdout, &found.stderr), (&expected.stdout, &expected.stderr));
    let (info, process) = read(&run);
    assert_eq!(info.profile, "training");
    assert_eq!(setting(&info, "sample_first").0, "1");
    for note in ["did you mean `exclude`?", "did you mean `full`?"] {
        assert!(info.hooks.iter().any(|hook| !hook.on && hook.why.contains(note)), "{:?}", info.hooks);
        assert!(process.of_kind(EventKind::HookOff).any(|event| process.name(event.name).contains(note)));
    }
    assert_eq!((process.iterations(), process.steps()), (5, 5));
}

/// A rule for each role and kind of object, with all that a rule can say, and the end of the names of its functions.
fn rules_of_every_kind() -> Vec<(String, String)> {
    let every_look = |attributes: bool| {
        let points = ObservationPoint::ALL.iter();
        let points = points.filter(|(_, point, _)| attributes || *point != ObservationPoint::Attributes);
        points.map(|(word, ..)| format!("{word:?}")).collect::<Vec<_>>().join(", ")
    };
    let mut rules = Vec::new();
    let receivers = Receiver::ALL.iter().map(|(word, receiver, _)| (*word, Some(*receiver)));
    for (object, receiver) in [("nothing", None)].into_iter().chain(receivers) {
        for (role, ..) in <Role as Word>::ALL {
            let suffix = format!("{role}_{object}");
            let mut rule = format!("[[rules]]\nmodule = 'odd'\nfunction = '*_{suffix}'\nrole = '{role}'\n");
            let has_attributes = matches!(receiver, Some(Receiver::Scheduler | Receiver::Scaler));
            rule += &format!("looks = [{}]\narguments = 'both'\n", every_look(has_attributes));
            rule += "capture = 'every_call'\nprofile = 'minimal'\n";
            if receiver.is_some() {
                rule += &format!("object = '{object}'\n");
            }
            if matches!(receiver, Some(Receiver::Optimizer | Receiver::Loader)) || has_attributes {
                rule += &format!("constructs = {}\n", !role.ends_with("_step"));
            }
            rules.push((suffix, rule));
        }
    }
    rules
}

#[test]
fn rules_that_fit_none_of_the_functions_they_name_harm_nothing() {
    let temporary = folder();
    let (suffixes, rules): (Vec<_>, Vec<_>) = rules_of_every_kind().into_iter().unzip();
    fs::write(temporary.path().join("traincheck.toml"), rules.concat()).unwrap();
    for (version, python) in interpreters() {
        let train = |mut command: Command| {
            finish(command.current_dir(temporary.path()).arg(script("odd_rules.py")).args(&suffixes))
        };
        let run = temporary.path().join(&version);
        train(preloaded_in(&python, &run)).assert_same(&train(plain_in(&python)).exited(0));
        let (info, process) = read(&run);
        let (_, rules) = setting(&info, "rules");
        assert!(rules.contains("traincheck.toml"), "{rules}");
        let called: HashSet<_> =
            process.of_kind(EventKind::Enter).map(|event| process.name(event.name)).collect();
        for suffix in &suffixes {
            let called = |name: &str| called.contains(format!("odd.{name}_{suffix}").as_str());
            assert!(called("nothing") && called("one"), "{version}: {suffix} is not recorded");
        }
        let lost = process.of_kind(EventKind::HookOff).find(|event| event.value != 0);
        assert!(lost.is_none(), "{version}: {}", process.name(lost.expect("a hook").name));
    }
}

#[test]
fn collect_refuses_what_is_wrong_and_hands_on_what_is_right() {
    let temporary = folder();
    let file = temporary.path().join("traincheck.toml");
    let started = temporary.path().join("started");
    let collect = |arguments: &[&str]| {
        let mut command = traincheck();
        command.current_dir(temporary.path()).arg("collect").args(arguments);
        command
    };
    fs::write(&file, "exlude = ['a']\nsample_first = 1").unwrap();
    let refused = finish(
        collect(&["--overhead", "2", "--", "touch"]).arg(&started).env("TRAINCHECK_SAMPLE_EVERY", "often"),
    )
    .exited(2);
    let said: Vec<_> = refused.stderr.lines().collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].ends_with("traincheck.toml:1: unknown setting \"exlude\"; did you mean `exclude`?"),
        "{said:?}"
    );
    assert!(said[1].starts_with("traincheck: TRAINCHECK_SAMPLE_EVERY: "), "{said:?}");
    assert!(said[2].starts_with("traincheck: --overhead: "), "{said:?}");
    assert!(!started.exists());

    fs::write(&file, "profile = 'full'\nsample_first = 1\nsample_every = 2").unwrap();
    let mut command =
        collect(&["-o", "run", "--profile", "minimal", "--exclude", "a.*", "--exclude", "b", "--"]);
    command.env("TRAINCHECK_PROFILE", "training").env("TRAINCHECK_SAMPLE_FIRST", "7").arg(python());
    finish(train(&mut command, temporary.path())).exited(0);
    let (info, _) = read(&temporary.path().join("run"));
    assert_eq!(setting(&info, "profile").0, "minimal");
    assert_eq!(setting(&info, "sample_first").0, "7");
    assert_eq!(setting(&info, "sample_every").0, "2");
    assert_eq!(setting(&info, "exclude").0, "a.*, b");
    let shown = finish(traincheck().arg("inspect").arg(temporary.path().join("run"))).exited(0).stdout;
    assert!(shown.contains("exclude = a.*, b (TRAINCHECK_EXCLUDE)"), "{shown}");
}

#[test]
fn its_help_lists_the_settings() {
    let help = finish(traincheck().args(["collect", "--help"])).exited(0).stdout;
    for option in
        ["--profile <NAME>", "--include <PATTERN>", "--overhead <PERCENT>", "TRAINCHECK_SAMPLE_EVERY"]
    {
        assert!(help.contains(option), "{option} in {help}");
    }
}
