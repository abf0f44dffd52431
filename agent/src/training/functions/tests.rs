use super::*;
use traincheck_settings::{Counter, FunctionRule, Pattern};

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

fn found(settings: &Settings, module: &str, qualname: &str, user_code: bool) -> Option<Role> {
    match decide(settings, module, qualname, user_code) {
        Decision::Record(means) => Some(means.role),
        _ => None,
    }
}

fn role(module: &str, qualname: &str) -> Option<Role> {
    found(&Settings::default(), module, qualname, false)
}

#[test]
fn the_code_that_runs_is_matched_and_its_wrappers_are_not() {
    assert_eq!(role("torch.optim.adamw", "AdamW.step"), Some(Role::OptimizerStep));
    assert_eq!(role("torch.optim.adam", "Adam.step"), Some(Role::OptimizerStep));
    assert_eq!(role("torch.optim.optimizer", "Optimizer.profile_hook_step.<locals>.wrapper"), None);
    assert_eq!(role("torch.optim.lr_scheduler", "LRScheduler.step"), Some(Role::SchedulerStep));
    assert_eq!(role("torch.optim.lr_scheduler", "StepLR.__init__"), Some(Role::SchedulerInit));
    assert_eq!(role("torch.optim.lr_scheduler", "StepLR.get_lr"), None);
    assert_eq!(role("torch.nn.modules.conv", "Conv2d.forward"), None);
    assert_eq!(role("transformers.optimization", "Adafactor.step"), Some(Role::OptimizerStep));
    assert_eq!(role("accelerate.optimizer", "AcceleratedOptimizer.step"), None);
    assert_eq!(role("pytorch_lightning.core.optimizer", "LightningOptimizer.step"), None);
}

#[test]
fn a_lambda_of_the_user_is_a_place_but_no_call() {
    let settings = Settings::default();
    assert!(matches!(decide(&settings, "__main__", "main.<locals>.<lambda>", true), Decision::UserPlace));
    assert_eq!(found(&settings, "__main__", "main", true), Some(Role::User));
}

#[test]
fn what_users_call_as_others_do_is_theirs() {
    let settings = Settings::default();
    assert_eq!(found(&settings, "lib.engine", "Engine.step", false), Some(Role::OptimizerStep));
    assert_eq!(found(&settings, "mine.engine", "Engine.step", true), Some(Role::User));
}

#[test]
fn pytorch_is_pytorch_wherever_it_lies() {
    let settings = Settings::default();
    let found = found(&settings, "torch.optim.adamw", "AdamW.step", true);
    assert_eq!(found, Some(Role::OptimizerStep));
}

#[test]
fn what_is_included_is_recorded_and_what_is_excluded_is_not() {
    let settings = Settings {
        include: vec![pattern("lib.*")],
        exclude: vec![pattern("lib.noise.*"), pattern("__main__.log"), pattern("torch.*")],
        ..Settings::default()
    };
    assert_eq!(found(&settings, "lib.engine", "Engine.run", false), Some(Role::Other));
    assert_eq!(found(&settings, "lib.noise", "Engine.run", false), None);
    assert_eq!(found(&settings, "lib.engine", "run.<locals>.<lambda>", false), None);
    assert!(matches!(decide(&settings, "__main__", "log", true), Decision::UserPlace));
    assert_eq!(found(&settings, "torch.serialization", "save", false), None);
}

#[test]
fn what_iterations_depend_on_is_only_excluded_by_its_full_name() {
    let all = Settings { exclude: vec![pattern("*")], ..Settings::default() };
    assert_eq!(found(&all, "torch._tensor", "Tensor.backward", false), Some(Role::Backward));
    let loader = ("torch.utils.data._utils.worker", "_worker_loop");
    assert!(matches!(decide(&all, loader.0, loader.1, false), Decision::Record(_)));
    let named = Settings { exclude: vec![pattern("torch._tensor.Tensor.backward")], ..Settings::default() };
    assert_eq!(found(&named, "torch._tensor", "Tensor.backward", false), None);
}

#[test]
fn minimal_has_what_iterations_and_states_need() {
    let minimal = Settings { profile: Profile::Minimal, ..Settings::default() };
    assert_eq!(found(&minimal, "torch.optim.adamw", "AdamW.step", false), Some(Role::OptimizerStep));
    assert_eq!(found(&minimal, "torch.optim.optimizer", "Optimizer.zero_grad", false), None);
    assert!(matches!(decide(&minimal, "__main__", "main", true), Decision::UserPlace));
    let more = Settings { include: vec![pattern("*.zero_grad"), pattern("__main__.*")], ..minimal };
    assert_eq!(found(&more, "torch.optim.optimizer", "Optimizer.zero_grad", false), Some(Role::ZeroGrad));
    assert_eq!(found(&more, "__main__", "main", true), Some(Role::User));
}

#[test]
fn a_rule_of_the_settings_gives_a_role_to_what_has_none() {
    let extra = |function, role| FunctionRule::new(pattern("*"), pattern(function), role);
    let settings = Settings {
        rules: vec![extra("Engine.step", Role::OptimizerStep), extra("*", Role::Other)],
        ..Settings::default()
    };
    assert_eq!(found(&settings, "lib.engine", "Engine.step", false), Some(Role::OptimizerStep));
    assert_eq!(found(&settings, "lib.engine", "Engine.run", true), Some(Role::Other));
    assert_eq!(found(&settings, "torch._tensor", "Tensor.backward", false), Some(Role::Backward));
}

#[test]
fn what_fills_parameters_is_only_recorded_where_its_calls_are_asked_for() {
    let means =
        |settings: &Settings, module: &str, qualname: &str| match decide(settings, module, qualname, false) {
            Decision::Record(means) => (means.signal, means.capture),
            other => panic!("{qualname}: {other:?}"),
        };
    let full = Settings { profile: Profile::Full, ..Settings::default() };
    let included = Settings { include: vec![pattern("torch.nn.*")], ..Settings::default() };
    for (module, qualname, signal) in [
        ("torch.nn.init", "normal_", Signal::Fill),
        ("torch.nn.init", "_no_grad_normal_", Signal::Fill),
        ("torch.nn.parameter", "Parameter.__new__", Signal::Parameter),
        (MODULE, "Module._apply", Signal::Move),
    ] {
        for (settings, capture) in [
            (&Settings::default(), CapturePolicy::FillsOnly),
            (&full, CapturePolicy::EveryCall),
            (&included, CapturePolicy::RateLimited),
        ] {
            assert_eq!(means(settings, module, qualname), (Some(signal), capture), "{qualname}");
        }
    }
    let rule = FunctionRule::new(pattern("lib.*"), pattern("*"), Role::Other);
    let rule = FunctionRule { capture: Some(CapturePolicy::FillsOnly), ..rule };
    let by_rule = Settings { rules: vec![rule], ..Settings::default() };
    assert_eq!(means(&by_rule, "lib.init", "normal"), (Some(Signal::Fill), CapturePolicy::FillsOnly));
}

#[test]
fn the_table_by_role_is_in_the_order_of_the_roles() {
    for role in Role::ALL {
        assert_eq!(Meaning::of(*role).role, *role);
    }
}

#[test]
fn a_rule_of_the_settings_says_all_that_a_row_says_and_the_role_what_it_leaves_out() {
    let settings = |rule| Settings { rules: vec![rule], ..Settings::default() };
    let meaning = |settings: &Settings| match decide(settings, "lib.engine", "Engine.go", false) {
        Decision::Record(means) => Some(means),
        _ => None,
    };
    let rule = FunctionRule::new(pattern("lib.*"), pattern("Engine.go"), Role::OptimizerStep);
    let by_role = meaning(&settings(rule.clone())).unwrap();
    assert_eq!(by_role.counted, Some(Counter::OptimizerSteps));
    assert_eq!(by_role.looks, Meaning::of(Role::OptimizerStep).looks);
    assert_eq!((by_role.object, by_role.inherits, by_role.profile), (None, false, Profile::Minimal));

    let looks = ObservationPoints::of(&[Point::AfterLoad]);
    let said = FunctionRule {
        object: Some(Receiver::Scheduler),
        constructs: Some(true),
        counted: Some(None),
        looks: Some(looks),
        arguments: Some(RecordedArguments::Both),
        capture: Some(CapturePolicy::FromUserCode),
        profile: Some(Profile::Full),
        ..rule.clone()
    };
    assert!(meaning(&settings(said.clone())).is_none(), "not in this profile");
    let means = meaning(&Settings { profile: Profile::Full, ..settings(said) }).unwrap();
    assert_eq!((means.object, means.constructs, means.counted), (Some(Receiver::Scheduler), true, None));
    assert_eq!((means.looks, means.arguments), (looks, RecordedArguments::Both));
    assert_eq!(means.capture, CapturePolicy::FromUserCode);
    let never = FunctionRule { capture: Some(CapturePolicy::Never), ..rule };
    assert!(meaning(&settings(never)).is_none());
}

#[test]
fn of_modules_inside_others_only_what_they_return_is_recorded() {
    let which = Meaning::of(Role::ModuleCall).arguments;
    assert_eq!(Recorded::of(which, false, true), Recorded { given: true, returned: true, always: false });
    assert_eq!(Recorded::of(which, false, false), Recorded { given: false, returned: true, always: false });
    let in_full = Meaning::of(Role::StateDict).arguments;
    assert_eq!(Recorded::of(in_full, false, true), Recorded::NOTHING);
    assert_eq!(Recorded::of(in_full, true, true), Recorded { given: true, returned: true, always: false });
}
