"""What recording costs, measured side by side.

For every pipeline a round runs it plainly, in each way to record, and plainly again, one after the other, so that what
else the machine does falls on all of them alike; rounds alternate their order. Each run measures itself: wall and
CPU time (user and system, all threads) of its loop without the first iterations. A slow-down is the larger of the
two ratios to the plain run of the round; of the rounds the first quartile is shown, beside the same figure for
plain against plain, which says how much of it is noise.

Also: start-up of Python and of `import torch`, size of the traces, and the speed of infer and check on them and on
made-up ones of growing length (scaling.py).
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import scaling

PIPELINES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "pipelines"

# Name, what it is, and arguments that give 200 measured iterations or more.
WORKLOADS = {
    "mlp": ("tiny MLP", ["mlp.py", "--iterations", "2020"]),
    "digits": ("digits CNN", ["digits.py", "--epochs", "12"]),
    "transformer": ("transformer", ["transformer.py", "--iterations", "220"]),
    "calls": ("call-heavy loop", ["calls.py", "--iterations", "1020"]),
}
PROFILES = ["training", "full"]
# The ways to record whose slow-down is measured, and what the environment says for them.
WAYS = {
    "training": {"TRAINCHECK_PROFILE": "training"},
    "full": {"TRAINCHECK_PROFILE": "full"},
    "overhead-2%": {"TRAINCHECK_PROFILE": "training", "TRAINCHECK_OVERHEAD": "2%"},
}


class Bench:
    def __init__(self, bin_folder, scratch):
        self.agent = bin_folder / "libtraincheck.so"
        self.command = bin_folder / "traincheck"
        self.scratch = scratch

    def environment(self, way, run_folder):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAINCHECK_")}
        environment.pop("LD_PRELOAD", None)
        if way:
            environment["LD_PRELOAD"] = str(self.agent)
            environment |= WAYS[way]
            environment["TRAINCHECK_RUN_DIR"] = str(run_folder)
        return environment

    def measure(self, arguments, way, keep=None):
        """Runs a pipeline; returns wall and CPU seconds per iteration of its loop."""
        run_folder = keep or self.scratch / "run"
        shutil.rmtree(run_folder, ignore_errors=True)
        out = self.scratch / "measured.json"
        out.unlink(missing_ok=True)
        environment = self.environment(way, run_folder)
        environment["TRAINCHECK_BENCH_OUT"] = str(out)
        command = [sys.executable, str(PIPELINES / arguments[0])] + arguments[1:]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        if way and not run_folder.is_dir():
            sys.exit(f"nothing was recorded by {' '.join(command)}")
        measured = json.loads(out.read_text())
        return tuple(measured[key] / measured["iterations"] for key in ("wall_s", "cpu_s"))

    def start_up(self, code, profile):
        """Wall seconds of one start of Python."""
        environment = self.environment(profile, self.scratch / "run")
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        return time.perf_counter() - begun

    def traincheck(self, *arguments):
        """Runs the command; returns its output, wall seconds, and CPU seconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        done = subprocess.run([self.command, *map(str, arguments)], capture_output=True, text=True)
        wall = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode not in (0, 1):
            sys.exit(f"traincheck {arguments[0]} ended with exit code {done.returncode}: {done.stderr}")
        return done.stdout, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_quartile(values):
    values = sorted(values)
    return values[0] if len(values) < 4 else statistics.quantiles(values, n=4, method="inclusive")[0]


def slow_down(rounds, variant):
    """First quartiles of the larger ratio, of wall time and of CPU time, to the plain run of each round."""
    wall = [one[variant][0] / one["plain"][0] for one in rounds]
    cpu = [one[variant][1] / one["plain"][1] for one in rounds]
    return first_quartile(map(max, wall, cpu)), first_quartile(wall), first_quartile(cpu)


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())
    print(flush=True)


def bench_slow_down(bench, names, pairs, ways):
    for name in names:
        title, arguments = WORKLOADS[name]
        # A table for each, so that what was measured is there if the rest is cut short.
        rows = [[f"{title}, first quartile of {pairs} pairs", "plain us", "slow-down", "wall", "cpu"]]
        variants = ["plain", *ways, "plain again"]
        rounds = []
        # Not measured: it warms the file cache.
        bench.measure(arguments, None)
        for number in range(pairs):
            order = variants if number % 2 == 0 else variants[::-1]
            rounds.append({v: bench.measure(arguments, v if v in WAYS else None) for v in order})
            print(f"  {title}: round {number + 1} of {pairs}", file=sys.stderr, flush=True)
        plain = statistics.median(one["plain"][0] for one in rounds) * 1e6
        for variant in [*ways, "plain again"]:
            label = "plain against plain" if variant == "plain again" else variant
            ratios = [f"{ratio:.3f}" for ratio in slow_down(rounds, variant)]
            rows.append([label, f"{plain:.0f}", *ratios])
        print_table(rows)


def bench_start_up(bench, quick):
    rows = [["start-up (median)", "starts", "plain ms", "with agent ms", "added ms"]]
    for code, starts in [("pass", 40 if quick else 200), ("import torch", 4 if quick else 20)]:
        times = {"": [], "training": []}
        for number in range(starts):
            for profile in sorted(times, reverse=number % 2 == 1):
                times[profile].append(bench.start_up(code, profile) * 1e3)
        plain, traced = (statistics.median(times[profile]) for profile in ("", "training"))
        rows.append([f"python -c '{code}'", str(starts), f"{plain:.2f}", f"{traced:.2f}", f"{traced - plain:+.2f}"])
    print_table(rows)


def bench_traces(bench, names):
    sizes = [["trace", "iterations", "calls", "MB", "bytes/iteration", "bytes/call", "lost"]]
    speeds = [["analysis", "records", "infer s", "infer cpu s", "infer rec/s", "check s", "check cpu s", "check rec/s"]]
    for name in names:
        title, arguments = WORKLOADS[name]
        for profile in PROFILES:
            folder = bench.scratch / f"{name}-{profile}"
            bench.measure(arguments, profile, keep=folder)
            summary = json.loads(bench.traincheck("inspect", folder, "--format", "json")[0])
            processes = summary["processes"]
            total = {key: sum(process[key] for process in processes) for key in ("iterations", "bytes", "events", "states")}
            calls = sum(function["calls"] for process in processes for function in process["functions"])
            lost = sum(gap["count"] for process in processes for gap in process["lost"])
            label = f"{title}, profile {profile}"
            sizes.append(
                [label, str(total["iterations"]), str(calls), f"{total['bytes'] / 1e6:.2f}"]
                + [f"{total['bytes'] / max(1, count):.1f}" for count in (total["iterations"], calls)]
                + [str(lost)]
            )
            records = total["events"] + total["states"]
            invariants = bench.scratch / "invariants.json"
            infer = bench.traincheck("infer", folder, "-o", invariants)[1:]
            check = bench.traincheck("check", folder, "-i", invariants)[1:]
            speeds.append(
                [label, str(records)]
                + [cell for wall, cpu in (infer, check) for cell in (f"{wall:.2f}", f"{cpu:.2f}", f"{records / wall:,.0f}")]
            )
    print_table(sizes)
    print_table(speeds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck and libtraincheck.so")
    parser.add_argument("--pairs", type=int, default=15, help="rounds for each pipeline (15)")
    parser.add_argument("--quick", action="store_true", help="3 rounds, fewer starts: to see that it works")
    parser.add_argument("--only", choices=["slow-down", "start-up", "traces", "scaling"], help="one part only")
    parser.add_argument("--way", action="append", choices=WAYS, help="slow-down of this way to record only")
    parser.add_argument("pipelines", nargs="*", metavar="PIPELINE", help=f"of {', '.join(WORKLOADS)}; all")
    args = parser.parse_args()
    names = args.pipelines or list(WORKLOADS)
    for name in names:
        if name not in WORKLOADS:
            parser.error(f"no pipeline {name}; there are {', '.join(WORKLOADS)}")

    load = os.getloadavg()[0]
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load:.2f} at the start")
    if load > 0.5:
        print("The machine is busy: these figures are not to be trusted.", file=sys.stderr)
    print(flush=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="traincheck-bench-"))
    try:
        bench = Bench(args.bin.resolve(), scratch)
        if args.only in (None, "start-up"):
            bench_start_up(bench, args.quick)
        if args.only in (None, "slow-down"):
            bench_slow_down(bench, names, 3 if args.quick else args.pairs, args.way or list(WAYS))
        if args.only in (None, "traces"):
            bench_traces(bench, names)
        if args.only in (None, "scaling"):
            synthesize = args.bin.resolve() / "examples" / "synthesize"
            rounds = 1 if args.quick else 3
            print_table(scaling.rows(bench.command, synthesize, scratch, args.quick, rounds))
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
