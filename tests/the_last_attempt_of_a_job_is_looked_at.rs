//! A job that torchrun starts again records all attempts into one folder; the ranks of the last one are compared.

use serde_json::Value;
use traincheck_tests::{Trace, finish, folder, preloaded, script, traincheck};

#[test]
fn and_what_is_left_out_is_said() {
    let temporary = folder();
    let run = temporary.path().join("restarted");
    let mut command = preloaded(&run);
    command.args(["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]);
    command.args(["--max-restarts", "1"]).arg(script("restarted.py")).arg(temporary.path());
    finish(&mut command).exited(0);

    let mut places: Vec<_> = Trace::read(&run)
        .processes
        .into_iter()
        .map(|process| process.header)
        .map(|header| (header.attempt, header.rank, header.world_size, header.local_rank, header.node))
        .collect();
    places.sort_unstable();
    let place = |attempt, rank| (Some(attempt), Some(rank), Some(2), Some(rank), Some(0));
    assert_eq!(places, [place(0, 0), place(0, 1), place(1, 0), place(1, 1)]);

    let checked = finish(traincheck().arg("check").arg(&run));
    let said = "Ranks: of 2 attempts of the job only the ranks of the last were compared; earlier ones have 2 processes.";
    assert!(checked.stdout.contains(said), "{}{}", checked.stdout, checked.stderr);
    assert!(!checked.stdout.contains("Ranks were not compared"), "{}", checked.stdout);

    let shown = finish(traincheck().arg("inspect").arg(&run)).exited(0).stdout;
    let rows: Vec<Vec<&str>> = shown
        .lines()
        .skip_while(|line| !line.starts_with("job (torchelastic-"))
        .skip(2)
        .take(4)
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    assert_eq!(rows, [["1", "0"], ["1", "1"], ["2", "0"], ["2", "1"]], "attempt and rank in\n{shown}");

    for (command, key) in [("hang", "hang"), ("stragglers", "stragglers")] {
        let text = finish(traincheck().arg(command).arg(&run)).exited(0).stdout;
        assert!(text.contains("2 ranks in attempt 2 of the job, the last"), "{text}");
        let json = finish(traincheck().args([command, "--format", "json"]).arg(&run)).exited(0).stdout;
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json[key]["attempt"], 2, "{json}");
    }
}
