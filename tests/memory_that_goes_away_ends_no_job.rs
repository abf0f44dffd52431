//! Parameters can lie in memory that is not PyTorch's own: a file that is mapped, and becomes shorter while the job trains
//! on. The job never looks there again; neither may the agent but through the kernel.

use traincheck_schema::record::{Attribute, ValueKind};
use traincheck_tests::{Trace, finish, folder, plain, preloaded, script};

#[test]
fn when_files_of_parameters_become_shorter() {
    let temporary = folder();
    let at = |name: &str| temporary.path().join(name);
    for name in ["plain", "with"] {
        std::fs::create_dir(at(name)).expect("a folder");
    }
    let expected = finish(plain().arg(script("truncated.py")).arg(at("plain"))).exited(0);
    let run = at("run");
    finish(preloaded(&run).arg(script("truncated.py")).arg(at("with"))).assert_same(&expected);
    let process = Trace::read(&run).only();
    process.assert_whole();
    for name in ["private", "shared", "turned", "array", "number"] {
        let kinds: Vec<u8> = process
            .states_of(&format!("Net.{name}"), Attribute::Data)
            .iter()
            .map(|state| state.value_kind)
            .collect();
        // What they held was seen as long as it was there.
        let (tensor, unreadable) = (ValueKind::Tensor as u8, ValueKind::Unreadable as u8);
        assert!(kinds.first() == Some(&tensor) && kinds.last() == Some(&unreadable), "{name}: {kinds:?}");
    }
    let used = process.states_of("Net.used.weight", Attribute::Data);
    assert!(used.len() >= 10 && used.iter().all(|state| state.value_kind == ValueKind::Tensor as u8));
}
