//! Of two networks with an optimizer each, the one that does not step is found without references, and one that waits for its
//! turn, or whose network is trained by hand, is not.

use traincheck_tests::{Finished, finish, folder, python, script, traincheck};

fn two_networks(way: &str) -> Finished {
    let temporary = folder();
    let mut command = traincheck();
    command.arg("run").arg("-o").arg(temporary.path().join("run")).arg("--").arg(python());
    command.arg(script("two_networks.py")).arg(way).env("OMP_NUM_THREADS", "1");
    finish(&mut command)
}

#[test]
fn one_that_is_forgotten() {
    for (way, network) in [("encoder forgotten", "Encoder"), ("generator forgotten", "Decoder")] {
        let report = two_networks(way).exited(1).stdout;
        assert!(report.contains("ALARM: The optimizer does not step."), "{way}: {report}");
        assert!(report.contains(&format!("Concerned: all 4 parameters of `{network}`.")), "{way}: {report}");
        assert!(report.contains("Verdict: 1 alarm."), "{way}: {report}");
    }
}

#[test]
fn one_that_is_not() {
    for way in
        ["encoder and decoder", "generator and critic", "encoder later", "encoder by hand", "critic ahead"]
    {
        let report = two_networks(way).exited(0).stdout;
        assert!(report.contains("Verdict: clean."), "{way}: {report}");
    }
}
