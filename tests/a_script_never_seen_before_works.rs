//! Nothing in the agent knows any script: a quite different one is recorded just as well, and does the same.

use traincheck_schema::record::{Attribute, Role};
use traincheck_tests::{Trace, finish, folder, plain, preloaded, script, traincheck};

#[test]
fn recurrent_and_flat() {
    let expected = finish(plain().arg(script("recurrent.py"))).exited(0).stdout;
    let temporary = folder();
    let run = temporary.path().join("run");
    let found = finish(preloaded(&run).arg(script("recurrent.py"))).exited(0).stdout;
    assert_eq!(found, expected);

    let process = Trace::read(&run).only();
    process.assert_whole();
    assert_eq!((process.iterations(), process.steps()), (60, 60));
    assert!(process.called("torch.optim.sgd.SGD.step"));
    assert!(process.entered(Role::ZeroGrad).count() >= 60);
    assert!(process.entered(Role::Backward).count() >= 60);
    let mut looked_at: Vec<_> = process
        .states
        .iter()
        .filter(|state| state.attribute == Attribute::Data as u8)
        .map(|state| process.name(state.variable))
        .collect();
    looked_at.sort_unstable();
    looked_at.dedup();
    // The script calls the two modules, and clears the gradients of the list of both: that is the outermost one.
    for name in ["0.weight_ih_l0", "0.weight_hh_l1", "0.bias_hh_l1", "1.weight", "1.bias"] {
        let name = format!("ModuleList.{name}");
        assert!(looked_at.iter().any(|seen| *seen == name), "{name} in {looked_at:?}");
    }
    let text = finish(traincheck().arg("inspect").arg(&run)).exited(0).stdout;
    assert!(text.contains("SGD.step") && text.contains("60 iterations"), "{text}");
}
