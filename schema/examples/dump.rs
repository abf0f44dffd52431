//! Prints a run record by record: `cargo run -p traincheck-schema --example dump -- RUN`.
use traincheck_schema::record::*;
use traincheck_schema::run::Run;
fn main() {
    let run = Run::open(std::path::Path::new(&std::env::args().nth(1).expect("a run"))).unwrap();
    for process in &run.processes {
        let mut reader = process.reader();
        let mut depth = std::collections::HashMap::<u16, usize>::new();
        while let Some(batch) = reader.next_batch() {
            let batch = match batch {
                Ok(b) => b,
                Err(e) => {
                    println!("ERROR {e}");
                    continue;
                }
            };
            println!(
                "--- batch {} events {} states dropped {:?} recovered {}",
                batch.events.len(),
                batch.states.len(),
                batch.dropped,
                batch.recovered
            );
            let d = reader.dictionary();
            let mut states = batch.states.iter().peekable();
            let mut first = None;
            for e in &batch.events {
                while let Some(s) = states.peek() {
                    if s.time > e.time {
                        break;
                    }
                    println!(
                        "      {:>9} state {} {:?} = {:?} int {} float {} text {:?} hash {:x} l2 {} el {} since {} call {}",
                        s.time / 1000 % 100000000,
                        d.text(s.variable),
                        Attribute::try_from(s.attribute),
                        ValueKind::try_from(s.value_kind),
                        s.int,
                        s.float,
                        d.text(s.text),
                        s.hash_low,
                        s.l2,
                        s.elements,
                        s.since / 1000 % 100000000,
                        s.call
                    );
                    states.next();
                }
                let t0 = *first.get_or_insert(e.time);
                let k = EventKind::try_from(e.kind).unwrap();
                let dp = depth.entry(e.thread).or_default();
                if k == EventKind::Exit || k == EventKind::OpExit {
                    *dp = dp.saturating_sub(1);
                }
                println!(
                    "{:>9} t{} i{} s{} {:?} f{:03x} {}{:?} {} @{}:{} obj={} call={} parent={} v={}",
                    (e.time - t0) / 1000,
                    e.thread,
                    e.iteration,
                    e.step,
                    Stage::try_from(e.stage).unwrap(),
                    e.flags,
                    "  ".repeat(*dp),
                    k,
                    d.text(e.name),
                    d.text(e.site),
                    d.get(e.site).map_or(0, |x| x.line),
                    d.text(e.object),
                    e.call,
                    e.parent,
                    e.value
                );
                if k == EventKind::Enter || k == EventKind::OpEnter {
                    *dp += 1;
                }
            }
            for s in states {
                println!(
                    "      state {} {:?} {:?}",
                    d.text(s.variable),
                    Attribute::try_from(s.attribute),
                    s.value_kind
                );
            }
        }
        println!("ending {:?} torn {:?}", reader.ending(), reader.torn());
    }
}
