//! The agent runs no code of the script's: no finalizer, in which the script trains or lets other threads in, runs in the
//! middle of a look. And objects do not come by a dict that nobody asked for.

use traincheck_tests::{Trace, finish, folder, interpreters, plain_in, preloaded_in, script};

#[test]
fn while_everything_is_garbage_at_once() {
    for (version, python) in interpreters() {
        let temporary = folder();
        let run = temporary.path().join("run");
        // It prints how many parameters have a dict: none.
        let expected = finish(plain_in(&python).arg(script("finalizers.py"))).exited(0);
        finish(preloaded_in(&python, &run).arg(script("finalizers.py"))).assert_same(&expected);
        let process = Trace::read(&run).only();
        process.assert_whole();
        let ending = process.ending.as_ref().expect("a sealed trace");
        let in_use = ending.account.iter().find(|(item, _)| item == "state_in_use");
        assert!(
            in_use.is_none(),
            "{version}: the script's code ran in the middle of the agent's: {in_use:?}"
        );
    }
}
