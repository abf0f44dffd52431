//! PyTorch's, Python's and numpy's random numbers: their states are equal in the trace exactly where the libraries say
//! that they are, and the numbers that are drawn are the same as without the agent.

use std::collections::BTreeMap;

use traincheck_schema::record::{Attribute, Role, State};
use traincheck_tests::{Trace, finish, folder, plain, preloaded, script};

#[test]
fn the_trace_agrees_with_the_libraries() {
    let expected = finish(plain().arg(script("random_streams.py"))).exited(0).stdout;
    let temporary = folder();
    let run = temporary.path().join("run");
    let found = finish(preloaded(&run).arg(script("random_streams.py"))).exited(0).stdout;
    assert_eq!(found, expected, "random numbers, and states of their streams, with and without the agent");

    let process = Trace::read(&run).only();
    process.assert_whole();
    let mut told: Vec<&str> = expected.lines().collect();
    told.pop();
    let told: Vec<BTreeMap<String, String>> =
        told.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len(), 10);

    // At the beginning of each pass over the loader.
    let passes: Vec<u64> = process.entered(Role::LoaderIter).map(|event| event.call).collect();
    assert_eq!(passes.len(), told.len());
    for name in ["torch.default_generator", "random", "numpy.random"] {
        let states = process.states_of(name, Attribute::Data);
        let at_passes: Vec<&State> = passes
            .iter()
            .map(|call| *states.iter().find(|state| state.call == *call).expect("a look at the pass"))
            .collect();
        for (first, one) in at_passes.iter().enumerate() {
            for (second, other) in at_passes.iter().enumerate() {
                assert_eq!(
                    (one.hash_low, one.hash_high) == (other.hash_low, other.hash_high),
                    told[first][name] == told[second][name],
                    "{name}, passes {first} and {second}"
                );
            }
        }
    }

    // The loader's own stream gives a seed to each pass.
    let own = process.states_of("DataLoader.generator", Attribute::Data);
    assert_eq!(own.len(), 10);
    assert!(own.windows(2).all(|pair| pair[0].hash_low != pair[1].hash_low));

    // Seeding is looked at: before anything was recorded, too.
    let seeds: Vec<u64> = process.entered(Role::Seed).map(|event| event.call).collect();
    assert_eq!(seeds.len(), 2);
    let random = process.states_of("random", Attribute::Data);
    assert!(seeds.iter().all(|call| random.iter().any(|state| state.call == *call)));
}
