//! Arguments are recorded under the names of the parameters they were bound to, results as results, and neither makes
//! any code of the program run.

use std::sync::LazyLock;

use traincheck_schema::record::{Direction, EventKind, tensor};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, plain, preloaded, script, traincheck};

struct Recorded {
    process: ProcessTrace,
    /// All bytes that were written, unpacked: of the dictionary.
    texts: String,
    inspected: String,
}

static RECORDED: LazyLock<Recorded> = LazyLock::new(|| {
    let temporary = folder();
    let run = temporary.path().join("run");
    let with = finish(preloaded(&run).arg(script("arguments.py"))).exited(0);
    let without = finish(plain().arg(script("arguments.py"))).exited(0);
    assert_eq!((&with.stdout, &with.stderr), (&without.stdout, &without.stderr));
    let process = Trace::read(&run).only();
    process.assert_whole();
    let off: Vec<&str> = process.of_kind(EventKind::HookOff).map(|event| process.name(event.name)).collect();
    assert!(off.is_empty(), "{off:?}");
    let texts =
        process.dictionary.iter().map(|entry| format!("{}\n{}\n", entry.text, entry.type_name)).collect();
    let inspected = finish(traincheck().arg("inspect").arg(&run)).exited(0).stdout;
    Recorded { process, texts, inspected }
});

/// Of the only call of a function of the script.
#[track_caller]
fn of(function: &str) -> Vec<String> {
    let mut calls = RECORDED.process.arguments_of(&format!("__main__.{function}"));
    assert_eq!(calls.len(), 1, "{function}: {calls:?}");
    calls.remove(0)
}

#[test]
fn positional_keyword_and_default_arguments_have_the_names_of_parameters() {
    assert_eq!(
        RECORDED.process.arguments_of("__main__.positional"),
        [
            vec!["a=1", "b=2", "c=3.5", "d=\"mean\" of 4", "e=None", "result=3"],
            vec![
                "a=1.5",
                "b=2",
                "c=true",
                "d=\"sum\" of 3",
                "e=tuple of 2",
                "e[0]=1",
                "e[1]=\"two\" of 3",
                "result=3.5"
            ],
        ]
    );
    assert_eq!(
        of("rest"),
        [
            "first=1",
            "args[0]=2",
            "args[1]=\"three\" of 5",
            "kwargs['x']=4",
            "kwargs['y']=list of 1",
            "kwargs['y'][0]=5",
            "result=list of 3",
            "result[0]=1",
            "result[1]=tuple of 2",
            "result[1][0]=2",
            "result[1][1]=\"three\" of 5",
            "result[2]=dict of 2",
            "result[2]['x']=4",
            "result[2]['y']=list of 1",
            "result[2]['y']=1 more",
        ]
    );
    assert_eq!(
        of("closed"),
        ["shared=list of 1", "shared[0]=1", "other=2", "result=list of 1", "result[0]=1"]
    );
}

#[test]
fn containers_are_recorded_two_levels_deep_and_so_far() {
    let nested = of("nested");
    assert_eq!(
        nested[..7],
        [
            "batch=dict of 4",
            "batch['x']=tensor [8, 3] float32 cpu leaf",
            "batch['meta']=list of 2",
            "batch['meta'][0]=1",
            "batch['meta'][1]=dict of 1",
            "batch['meta'][1]=1 more",
            "batch[3]=\"three\" of 5"
        ]
    );
    assert_eq!(nested[7], "batch[<__main__.Key 3>]=1");
    assert_eq!(
        nested[8..],
        [
            "result=dict of 2",
            "result['loss']=tensor [] float32 cpu leaf",
            "result['parts']=tuple of 3",
            "result['parts'][0]=1",
            "result['parts'][1]=2",
            "result['parts'][2]=3"
        ]
    );
    assert_eq!(
        of("deep"),
        ["tree=list of 1", "tree[0]=list of 1", "tree[0][0]=list of 1", "tree[0][0]=1 more", "result=None"]
    );
    let big = of("big");
    assert_eq!(big[0], "many=list of 1000");
    assert_eq!(big[8..10], ["many[7]=7", "many=992 more"]);
    assert_eq!(big[10], "mapping=dict of 100");
    assert_eq!(
        big[26..],
        ["mapping['15']=15", "mapping=84 more", "group=set of 3", "group=3 more", "result=None"]
    );
}

#[test]
fn numbers_and_texts_are_what_they_are() {
    assert_eq!(
        of("numbers"),
        [
            "yes=true",
            "small=7",
            "large=4611686018427387904",
            "huge=big 0",
            "negative=big 1",
            "ratio=0.1",
            "nothing=None",
            "result=true"
        ]
    );
    let texts = of("texts");
    let word = "word ".repeat(100);
    assert_eq!(texts[0], "short=\"a\" of 1");
    assert_eq!(texts[1], format!("long={:?} of 500", &word[..64]));
    assert_eq!(texts[2], "odd=\"\" of 1", "lone surrogates cannot be written");
    assert_eq!(texts[3], format!("result={:?} of 100", "a".repeat(64)));
}

#[test]
fn tensors_are_described_and_not_read() {
    assert_eq!(
        of("tensors"),
        [
            "plain=tensor [2, 3] float32 cpu leaf",
            "parameter=tensor [2, 4] float32 cpu requires_grad leaf",
            "made=tensor [2, 4] float32 cpu requires_grad",
            "turned=tensor [3, 2] float32 cpu leaf not contiguous",
            "half=tensor [2, 2] bfloat16 cpu leaf",
            "meta=tensor [5, 6] float32 meta leaf",
            "sparse=tensor [3, 3] float32 cpu sparse_coo leaf",
            "compressed=tensor [3, 3] float32 cpu sparse_compressed leaf",
            "inferred=tensor [2] float32 cpu leaf",
            "scalar=tensor [] int64 cpu leaf",
            "result=tensor [3, 2] float32 cpu leaf",
        ]
    );
    // Views share storage; the version is how often it was written to, and inference tensors have none.
    let process = &RECORDED.process;
    let records = |function: &str| {
        let name = format!("__main__.{function}");
        let tensors = process.arguments.iter().filter(|argument| process.name(argument.function) == name);
        tensors.copied().collect::<Vec<_>>()
    };
    let tensors = records("tensors");
    let (plain, turned, viewed) = (tensors[0], tensors[3], tensors[10]);
    assert!(plain.storage != 0 && plain.storage == turned.storage && plain.storage == viewed.storage);
    assert_ne!(plain.storage, tensors[1].storage);
    assert_eq!(tensors[8].flags & tensor::VERSION_KNOWN, 0);
    let written: Vec<_> = records("written")
        .into_iter()
        .filter(|argument| argument.direction == Direction::Argument as u8)
        .collect();
    assert_eq!((written[0].value, written[1].value), (4, 4));
    assert_eq!(written[0].storage, written[1].storage);
    assert!(written.iter().all(|argument| argument.flags & tensor::VERSION_KNOWN != 0));
    // A parameter's storage has the number that its states give it.
    let weight = tensors[1].storage;
    assert!(process.states.iter().any(|state| state.attribute == 4 && state.int == i64::from(weight)));
}

#[test]
fn secrets_are_not_recorded_by_name_nor_by_value() {
    assert_eq!(
        of("secrets"),
        [
            "password=redacted",
            "api_key=redacted",
            "config=dict of 4",
            "config['db_password']=redacted",
            "config['lr']=0.1",
            "config['auth_token']=redacted",
            "config['nested']=dict of 1",
            "config['nested']['token']=redacted",
            "url=redacted",
            "plain=redacted",
            "token=redacted",
            "result=redacted"
        ]
    );
    assert!(!RECORDED.texts.contains("hunter2") && !RECORDED.texts.contains("sk-live"));
    assert!(!RECORDED.inspected.contains("hunter2"));
}

#[test]
fn objects_are_told_by_their_types_and_never_asked() {
    // The script prints if it is asked, and what it prints is compared.
    assert_eq!(
        of("hostile"),
        [
            "thing=__main__.Thing",
            "things=__main__.Listing of 1",
            "things[0]=__main__.Thing",
            "mapping=__main__.Mapping of 1",
            "mapping['a']=__main__.Thing",
            "text=__main__.Text",
            "number=__main__.Number",
            "of_meta=OfMeta",
            "result=__main__.Thing"
        ]
    );
    assert_eq!(
        of("modes"),
        [
            "dtype=torch.float16",
            "device=cpu",
            "optimizer=torch.optim.adamw.AdamW AdamW",
            "model=torch.nn.modules.linear.Linear Linear",
            "cls=type",
            "result=None"
        ]
    );
}

#[test]
fn methods_have_no_argument_for_their_object() {
    assert_eq!(of("Method.__init__"), ["width=8", "depth=2", "result=None"]);
    assert_eq!(of("Method.run")[..3], ["x=__main__.Pair of 2", "x[0]=1", "x[1]=2"]);
    assert_eq!(of("Method.made"), ["width=4", "result=None"]);
}

#[test]
fn a_call_that_fails_gives_back_the_type_of_its_exception() {
    assert_eq!(of("fails"), ["value=1", "exception=raised LookupError"]);
    assert_eq!(of("raises_own"), ["value=1", "exception=raised OwnError"]);
}

#[test]
fn calls_of_the_library_that_set_something_are_recorded_with_what_they_set() {
    let process = &RECORDED.process;
    let calls = |name: &str| process.arguments_of(name);
    let first =
        |name: &str| calls(name).into_iter().next().unwrap_or_else(|| panic!("{name} was not called"));
    let has = |name: &str, argument: &str| {
        let found = first(name);
        assert!(found.iter().any(|one| one == argument), "{name}: {argument} is not in {found:?}");
    };
    // Defaults, too.
    has("torch.optim.adamw.AdamW.__init__", "defaults['lr']=0.001");
    has("torch.optim.adamw.AdamW.__init__", "defaults['betas'][1]=0.999");
    has("torch.nn.utils.clip_grad.clip_grad_norm_", "max_norm=1.0");
    has("torch.nn.utils.clip_grad.clip_grad_norm_", "norm_type=2.0");
    has("torch.nn.utils.clip_grad.clip_grad_norm_", "result=tensor [] float32 cpu leaf");
    has("torch.nn.modules.linear.Linear.train", "mode=false");
    has("torch.nn.modules.linear.Linear.load_state_dict", "strict=false");
    has("torch.random.manual_seed", "seed=1234");
    has("torch.autograd.grad_mode.set_grad_enabled.__init__", "mode=true");
    // Only what a module is called with from outside, by position or by name.
    let module = calls("torch.nn.modules.linear.Linear.__call__");
    assert_eq!(
        module[0],
        ["args[0]=tensor [3, 4] float32 cpu leaf", "result=tensor [3, 2] float32 cpu requires_grad"]
    );
    assert_eq!(module[1][0], "kwargs['input']=tensor [1, 4] float32 cpu leaf");
}

#[test]
fn inspect_shows_them_with_the_call() {
    let shown = &RECORDED.inspected;
    for line in [
        "given a=1.5, b=2, c=True, d=\"sum\"",
        "gave result=3.5",
        "given value=1",
        "gave exception=LookupError",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
}

/// Records lie in the ring behind the entry of their call and before what the call does.
#[test]
fn every_record_belongs_to_a_call() {
    let process = &RECORDED.process;
    let time = |kind: EventKind, call: u64| {
        process.of_kind(kind).find(|event| event.call == call).map(|event| event.time)
    };
    assert!(!process.arguments.is_empty());
    for argument in &process.arguments {
        let end =
            if argument.direction == Direction::Argument as u8 { EventKind::Enter } else { EventKind::Exit };
        assert_eq!(time(end, argument.call), Some(argument.time));
    }
}
