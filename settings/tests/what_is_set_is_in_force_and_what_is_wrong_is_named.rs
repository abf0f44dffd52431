//! Values from files, variables and options: which wins, and what is said about mistakes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;
use traincheck_settings::{CodeRoot, Given, Loaded, Pattern, Place, Profile, Settings, Sources, TABLE, load};

/// With `file` as `traincheck.toml`.
fn with(file: &str, environment: &[(&str, &str)], options: &[(&'static str, &[&str])]) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("traincheck.toml"), file).unwrap();
    load(&Sources {
        folder: folder.path().to_owned(),
        environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        options: options
            .iter()
            .map(|(setting, values)| Given { setting, values: values.iter().map(OsString::from).collect() })
            .collect(),
    })
}

/// What is said about `file`, without the folder.
fn said(file: &str) -> Vec<String> {
    let loaded = with(file, &[], &[]);
    let folder = loaded.file.as_ref().and_then(|file| file.parent()).unwrap().display().to_string() + "/";
    loaded.problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let variables: Vec<_> = TABLE.iter().map(|row| (row.variable, row.default)).collect();
    let loaded =
        with("", &variables.into_iter().filter(|(name, _)| !name.is_empty()).collect::<Vec<_>>(), &[]);
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.settings, Settings::default());
    for row in TABLE.iter().filter(|row| row.in_file) {
        let shown = loaded.in_force.iter().find(|shown| shown.name == row.name).unwrap();
        assert_eq!(shown.value, row.default, "{}", row.name);
    }
}

#[test]
fn an_option_wins_over_a_variable_and_that_over_the_file() {
    let file = "profile = 'full'\nsample_first = 7\nsample_every = 11\ninclude = ['a.*']";
    let variables = [("TRAINCHECK_PROFILE", "training"), ("TRAINCHECK_SAMPLE_EVERY", "12")];
    let options: [(&str, &[&str]); 2] = [("profile", &["minimal"]), ("exclude", &["b.c", "d.*,e"])];
    let loaded = with(file, &variables, &options);
    assert_eq!(loaded.problems, []);
    let pattern = |text| Pattern::new(text).unwrap();
    assert_eq!(
        loaded.settings,
        Settings {
            profile: Profile::Minimal,
            sample_first: 7,
            sample_every: 12,
            include: vec![pattern("a.*")],
            exclude: vec![pattern("b.c"), pattern("d.*"), pattern("e")],
            ..Settings::default()
        }
    );
    let places: Vec<_> = loaded
        .in_force
        .iter()
        .map(|shown| (shown.name, shown.value.as_str(), shown.place.to_string()))
        .collect();
    let file = loaded.file.unwrap().display().to_string();
    assert_eq!(places[0], ("profile", "minimal", "--profile".to_owned()));
    assert_eq!(places[1], ("include", "a.*", format!("{file}:4")));
    assert_eq!(places[2], ("exclude", "b.c, d.*, e", "--exclude".to_owned()));
    assert_eq!(places[3], ("user_code", "", "default".to_owned()));
    assert_eq!(places[4], ("sample_first", "7", format!("{file}:2")));
    assert_eq!(places[5], ("sample_every", "12", "TRAINCHECK_SAMPLE_EVERY".to_owned()));
}

#[test]
fn everything_can_be_set_in_the_file() {
    let loaded = with(
        r#"
        profile = "minimal"
        include = ["lib.*"]
        exclude = ["lib.log", "*.debug"]
        user_code = ["lib", "."]
        sample_first = 0
        sample_every = 0
        max_calls_per_iteration = 1_000
        overhead = "2.5%"
        [[rules]]
        module = "lib.engine"
        function = "Engine.step"
        role = "optimizer_step"
        [[rules]]
        module = "lib.*"
        function = "Schedule.*"
        role = "other"
        object = "scheduler"
        constructs = true
        counted = "nothing"
        looks = ["attributes", "after_scheduler_step"]
        arguments = "both"
        capture = "from_user_code"
        profile = "minimal"
        "#,
        &[],
        &[],
    );
    assert_eq!(loaded.problems, []);
    let Settings { overhead, max_calls_per_iteration, sample_every, user_code, rules, .. } = loaded.settings;
    assert_eq!((overhead, max_calls_per_iteration, sample_every), (Some(2.5), 1000, 0));
    assert!(
        user_code[0].holds("/any/where.py", "lib.sub") && !user_code[0].holds("/any/where.py", "library")
    );
    assert_eq!(rules[0].to_string(), "lib.engine.Engine.step = optimizer_step");
    assert_eq!(
        rules[1].to_string(),
        "lib.*.Schedule.* = other object=scheduler constructs=true counted=nothing \
         looks=[after_scheduler_step attributes] arguments=both capture=from_user_code profile=minimal"
    );
}

#[test]
fn a_path_holds_what_lies_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("package/module.py").display().to_string();
    let root = CodeRoot::new("./", folder.path()).unwrap();
    assert!(root.holds(&below, "") && !root.holds("/elsewhere/module.py", ""));
    assert!(CodeRoot::new("./no/such/folder", folder.path()).is_err());
    assert!(CodeRoot::new("two words", folder.path()).is_err());
}

#[test]
fn a_mistake_in_the_file_is_named_with_line_and_remedy() {
    assert_eq!(
        said("\n\nexlude = ['a']"),
        ["traincheck.toml:3: unknown setting \"exlude\"; did you mean `exclude`?"]
    );
    let unknown = said("colour = 'red'").remove(0);
    assert!(
        unknown.starts_with("traincheck.toml:1: unknown setting \"colour\"; the settings are profile, "),
        "{unknown}"
    );
    assert_eq!(
        said("profile = 'ful'"),
        [
            "traincheck.toml:1: `profile`: \"ful\" is not a valid profile; did you mean `full`?; allowed are minimal, training, \
          full"
        ]
    );
    assert_eq!(
        said("sample_every = 'often'\nsample_first = -1\nmax_calls_per_iteration = 0"),
        [
            "traincheck.toml:1: `sample_every`: \"often\" is not a whole number of at least 0; write for example 100",
            "traincheck.toml:2: `sample_first`: -1 is not a whole number of at least 0; write for example 3",
            "traincheck.toml:3: `max_calls_per_iteration`: 0 is not a whole number of at least 1; write for example 64",
        ]
    );
    assert_eq!(
        said("overhead = 0.02"),
        [
            "traincheck.toml:1: `overhead`: 0.02 is not a percentage above 0 and up to 100; write for example \"2%\""
        ]
    );
    assert_eq!(
        said("exclude = [\n  'good',\n  'with blank',\n  3,\n]"),
        [
            "traincheck.toml:3: `exclude`: \"with blank\" has ' ' in it, which is in no name; write names as in \
             `package.module.Class.method`, with `*` for any text",
            "traincheck.toml:4: `exclude`: 3 is not a list of texts; write for example [\"package.module.*\"]",
        ]
    );
    assert_eq!(
        said("run_dir = '/runs'"),
        ["traincheck.toml:1: `run_dir` cannot be set in the file; set TRAINCHECK_RUN_DIR instead"]
    );
    let syntax = said("profile = 'full'\nexclude = [").remove(0);
    assert!(syntax.starts_with("traincheck.toml:2: this is not TOML: "), "{syntax}");
}

#[test]
fn a_mistake_in_a_rule_is_named_with_its_key_and_the_words_that_are_allowed() {
    let rule = "[[rules]]\nmodule = 'a'\nfunction = 'b'\n";
    let said_of = |rest: &str| said(&format!("{rule}{rest}"));
    let role = said_of("role = 'optimizer_stp'").remove(0);
    assert!(
        role.starts_with(
            "traincheck.toml:4: `rules`: `role`: \"optimizer_stp\" is not a valid role; did you mean `optimizer_step`?; \
             allowed are module_call, mode_change, "
        ),
        "{role}"
    );
    assert_eq!(
        said("[[rules]]\nmodule = 'a'\nname = 'b'"),
        [
            "traincheck.toml:3: `rules`: a rule has no \"name\"; its keys are module, function, role, object, constructs, \
          counted, looks, arguments, capture, profile"
        ]
    );
    assert_eq!(
        said("\n[[rules]]\nmodule = 'a'\nrole = 'save'"),
        ["traincheck.toml:2: `rules`: a rule needs `module`, `function` and `role`"]
    );
    let step = "role = 'optimizer_step'\n";
    for (wrong, expected) in [
        (
            "object = 'optimiser'",
            "`object`: \"optimiser\" is not a valid kind of object; did you mean `optimizer`?; allowed are module, optimizer, \
             scheduler, loader, loader_iterator, scaler",
        ),
        (
            "counted = 'steps'",
            "`counted`: \"steps\" is not a valid counter; allowed are module_calls, constructions, optimizer_steps, backwards, \
             mode_changes, nothing",
        ),
        (
            "arguments = 'all'",
            "`arguments`: \"all\" is not a valid choice of arguments; allowed are none, given, returned, both, \
             both_of_outermost, both_in_full, always_given, always_both",
        ),
        (
            "capture = 'sometimes'",
            "`capture`: \"sometimes\" is not a valid capture policy; allowed are every_call, no_recursion, rate_limited, \
             from_user_code, fills_only, never, stop_recording",
        ),
        (
            "profile = 'fast'",
            "`profile`: \"fast\" is not a valid profile; allowed are minimal, training, full",
        ),
        ("constructs = 1", "`constructs`: 1 is neither `true` nor `false`"),
        ("object = 1", "`object`: 1 is not a text"),
        (
            "looks = 'after_step'",
            "`looks`: \"after_step\" is not a list of texts; write for example [\"after_step\"]",
        ),
    ] {
        assert_eq!(said_of(&format!("{step}{wrong}")), [format!("traincheck.toml:5: `rules`: {expected}")]);
    }
    let point = said_of(&format!("{step}looks = [\n  'after_step',\n  'after_stp',\n]")).remove(0);
    assert!(
        point.starts_with(
            "traincheck.toml:7: `rules`: `looks`: \"after_stp\" is not a valid observation point; did you mean `after_step`?; \
             allowed are before_step, after_step, "
        ),
        "{point}"
    );
    assert_eq!(
        said_of(&format!("{step}looks = ['attributes']")),
        [
            "traincheck.toml:1: `rules`: `looks`: \"attributes\" needs `object = \"scheduler\"` or `\"scaler\"`"
        ]
    );
    assert_eq!(
        said_of(&format!("{step}constructs = true")),
        [
            "traincheck.toml:1: `rules`: `constructs`: needs an `object` that is an optimizer, scheduler, loader or \
          scaler; modules are found when they are called"
        ]
    );
}

#[test]
fn what_is_right_is_in_force_beside_what_is_wrong() {
    let loaded = with("exclude = ['good', 'with blank']\nprofile = 'ful'\nsample_first = 9", &[], &[]);
    assert_eq!(loaded.problems.len(), 2);
    assert_eq!(loaded.settings.exclude, [Pattern::new("good").unwrap()]);
    assert_eq!((loaded.settings.profile, loaded.settings.sample_first), (Profile::Training, 9));
}

#[test]
fn mistakes_in_variables_and_options_name_them() {
    let loaded = with(
        "",
        &[("TRAINCHECK_PROFIL", "full"), ("TRAINCHECK_SAMPLE_FIRST", "x"), ("TRAINCHECK_TEST_PYTHON", "x")],
        &[("overhead", &["200%"])],
    );
    let said: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "TRAINCHECK_SAMPLE_FIRST: `sample_first`: \"x\" is not a whole number of at least 0; write for example 3",
            "TRAINCHECK_PROFIL: no such variable; did you mean `TRAINCHECK_PROFILE`?",
            "--overhead: `overhead`: \"200%\" is not a percentage above 0 and up to 100; write for example \"2%\"",
        ]
    );
    let raw = Sources {
        environment: vec![("TRAINCHECK_PROFILE".to_owned(), OsString::from_vec(vec![0xff]))],
        ..Sources::default()
    };
    assert_eq!(load(&raw).problems[0].to_string(), "TRAINCHECK_PROFILE: `profile`: the value is not UTF-8");
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let named = |name: &str| {
        load(&Sources {
            folder: "/tmp".into(),
            environment: vec![("TRAINCHECK_CONFIG".to_owned(), name.into())],
            options: vec![],
        })
    };
    let missing = named("/no/such/file.toml");
    assert_eq!(missing.problems[0].place, Place::Variable("TRAINCHECK_CONFIG".to_owned()));
    assert!(missing.file.is_none());
    let folder = named("/tmp");
    assert!(folder.problems[0].to_string().starts_with("/tmp: cannot be read: "), "{:?}", folder.problems);
    assert_eq!(named("/dev/null").problems, []);
    assert_eq!(named("/dev/zero").problems[0].what, "is longer than 1 MiB: that is not a file of settings");
}

#[test]
fn a_star_stands_for_any_text() {
    let matches = |pattern: &str, name| Pattern::new(pattern).unwrap().matches(name);
    assert!(matches("a.*", "a.b.c") && !matches("a.*", "ab.c") && !matches("a", "a.b"));
    assert!(matches("*.step", "torch.optim.adamw.AdamW.step") && !matches("*.step", "a.stepper"));
    assert!(matches("a*b*c", "a-b-b-c") && !matches("a*b*c", "a-b-c-d") && matches("*", ""));
    assert!(matches("f.<locals>.*", "f.<locals>.g"));
}

/// Matching by its definition.
fn naive(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|taken| naive(rest, &name[taken..])),
        Some((byte, rest)) => name.first() == Some(byte) && naive(rest, &name[1..]),
    }
}

proptest! {
    #[test]
    fn matching_is_what_it_is_defined_to_be(pattern in "[ab*.]{1,8}", name in "[ab.]{0,10}") {
        let found = Pattern::new(&pattern).unwrap().matches(&name);
        prop_assert_eq!(found, naive(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn no_text_is_too_odd(text in "\\PC*", value in any::<String>()) {
        with(&text, &[("TRAINCHECK_EXCLUDE", &value.replace('\0', "")), ("TRAINCHECK_OVERHEAD", &text)], &[]);
    }

    #[test]
    fn no_file_that_looks_right_is_too_odd(
        lines in prop::collection::vec(
            ("(profile|include|exclude|rules|overhead|sample_first|[a-z_]{1,9}|\\[\\[rules\\]\\]|\\[[a-z.]+\\])",
             "( = |=|\n|)",
             "('[^']{0,9}'|-?[0-9]{1,25}|\\[.{0,9}\\]|\\{.{0,9}\\}|true|[0-9.e+]{1,9}|1979-05-27|.{0,9})"),
            0..6,
        )
    ) {
        let text: String = lines.iter().map(|(key, between, value)| format!("{key}{between}{value}\n")).collect();
        for problem in with(&text, &[], &[]).problems {
            prop_assert!(!problem.to_string().contains('\n'), "{problem}");
        }
    }
}
