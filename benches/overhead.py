"""What recording costs: slow-down (slow_down.py), instructions (instructions.py), start-up of Python and of `import
torch`, size of the traces, and the speed of infer and check on them and on made-up ones of growing length (scaling.py).

The slow-down of all pipelines takes half an hour on two cores that do nothing else, and so many minutes at most with
`--minutes`. With `--markdown` its table is also printed as the README has it.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import tempfile

import instructions
import scaling
import slow_down
from runner import WAYS, WORKLOADS, Runner
from table import print_table

PROFILES = ["training", "full"]
PARTS = ["start-up", "slow-down", "instructions", "traces", "scaling"]


def bench_start_up(runner, quick):
    rows = [["start-up (median)", "starts", "plain ms", "with agent ms", "added ms"]]
    for code, starts in [("pass", 40 if quick else 200), ("import torch", 4 if quick else 20)]:
        times = {"": [], "training": []}
        for number in range(starts):
            for way in sorted(times, reverse=number % 2 == 1):
                times[way].append(runner.start_up(code, way) * 1e3)
        plain, traced = (statistics.median(times[way]) for way in ("", "training"))
        rows.append([f"python -c '{code}'", str(starts), f"{plain:.2f}", f"{traced:.2f}", f"{traced - plain:+.2f}"])
    print_table(rows)


def bench_traces(runner, names):
    sizes = [["trace", "iterations", "calls", "MB", "bytes/iteration", "bytes/call", "lost"]]
    speeds = [["analysis", "records", "infer s", "infer cpu s", "infer rec/s", "check s", "check cpu s", "check rec/s"]]
    for name in names:
        for profile in PROFILES:
            folder = runner.scratch / f"{name}-{profile}"
            runner.train(WORKLOADS[name], profile, keep=folder)
            summary = json.loads(runner.traincheck("inspect", folder, "--format", "json")[0])
            processes = summary["processes"]
            total = {key: sum(process[key] for process in processes) for key in ("iterations", "bytes", "events", "states")}
            calls = sum(function["calls"] for process in processes for function in process["functions"])
            lost = sum(gap["count"] for process in processes for gap in process["lost"])
            label = f"{WORKLOADS[name].title}, profile {profile}"
            sizes.append(
                [label, str(total["iterations"]), str(calls), f"{total['bytes'] / 1e6:.2f}"]
                + [f"{total['bytes'] / max(1, count):.1f}" for count in (total["iterations"], calls)]
                + [str(lost)]
            )
            records = total["events"] + total["states"]
            invariants = runner.scratch / "invariants.json"
            infer = runner.traincheck("infer", folder, "-o", invariants)[1:]
            check = runner.traincheck("check", folder, "-i", invariants)[1:]
            speeds.append(
                [label, str(records)]
                + [cell for wall, cpu in (infer, check) for cell in (f"{wall:.2f}", f"{cpu:.2f}", f"{records / wall:,.0f}")]
            )
    print_table(sizes)
    print_table(speeds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck and libtraincheck.so")
    parser.add_argument("--pairs", type=int, default=slow_down.PAIRS, help="rounds for each pipeline (%(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="fewer rounds where slow-down takes longer")
    parser.add_argument("--markdown", action="store_true", help="print the README's table of slow-downs, too")
    parser.add_argument("--quick", action="store_true", help="3 rounds, fewer starts: to see that it works")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part only; may be given often")
    parser.add_argument("--way", action="append", choices=WAYS, help="slow-down of this way to record only; likewise")
    parser.add_argument("pipelines", nargs="*", metavar="PIPELINE", help=f"of {', '.join(WORKLOADS)}; all")
    args = parser.parse_args()
    names = args.pipelines or list(WORKLOADS)
    for name in names:
        if name not in WORKLOADS:
            parser.error(f"no pipeline {name}; there are {', '.join(WORKLOADS)}")
    parts = args.only or PARTS

    load = os.getloadavg()[0]
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load:.2f} at the start")
    if load > 0.5:
        print("The machine is busy: only instructions and sizes are to be trusted.")
    print(flush=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="traincheck-bench-"))
    try:
        runner = Runner(args.bin.resolve(), scratch)
        if "start-up" in parts:
            bench_start_up(runner, args.quick)
        if "slow-down" in parts:
            pairs = 3 if args.quick else args.pairs
            slow_down.bench(runner, names, args.way or list(WAYS), pairs, args.minutes, args.markdown)
        if "instructions" in parts:
            instructions.bench(runner, names[-1:] if args.quick else names)
        if "traces" in parts:
            bench_traces(runner, names)
        if "scaling" in parts:
            synthesize = args.bin.resolve() / "examples" / "synthesize"
            rounds = 1 if args.quick else 3
            print_table(scaling.rows(runner.command, synthesize, scratch, args.quick, rounds))
            print_table(scaling.of_ranks(runner.command, synthesize, scratch, args.quick, rounds))
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
