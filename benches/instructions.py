"""Instructions that an iteration takes: the same whatever else the machine does.

They are counted by `perf stat` where the processor lets it, else by valgrind's callgrind, which simulates one without
AVX-512 and shows the order of things more than the time. A pipeline is run at two lengths, on one thread; what the
longer one takes more, divided by its iterations more, leaves out all that happens once. A budget is steered by the
clock, which means nothing here.
"""

import re
import shutil
import subprocess
import sys

from runner import WORKLOADS
from table import print_table

WAYS = ["training", "full"]


def counter(scratch):
    """The name of what counts here, the command under which it does, and what reads its count; None if nothing does."""
    out = scratch / "instructions.txt"
    perf = ["perf", "stat", "-x,", "-e", "instructions:u", "-o", str(out), "--"]
    callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={out}"]
    for under, pattern in [(perf, r"^(\d+),.*instructions"), (callgrind, r"Collected : (\d+)")]:
        if not shutil.which(under[0]):
            continue

        def count(pattern=pattern):
            found = re.search(pattern, out.read_text(), re.MULTILINE)
            return int(found[1]) if found else None

        tried = subprocess.run([*under, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if tried.returncode == 0 and count():
            return under[0], under, count
    return None


def bench(runner, names):
    found = counter(runner.scratch)
    if found is None:
        print("Instructions are not counted: neither perf (Debian: linux-perf) nor valgrind does it here.\n", flush=True)
        return
    tool, under, count = found

    def an_iteration(workload, way):
        totals = []
        for length in workload.short:
            print(f"  {workload.title}, {way or 'plain'}, {workload.option} {length}", file=sys.stderr, flush=True)
            run = runner.train(workload, way, length, under, OMP_NUM_THREADS="1")
            totals.append((run.iterations, count()))
        (fewer, less), (more, total) = totals
        return (total - less) / (more - fewer)

    for name in names:
        workload = WORKLOADS[name]
        if not workload.short:
            continue
        plain = an_iteration(workload, None)
        rows = [[f"{workload.title}, instructions by {tool}", "an iteration", "to plain"], ["plain", f"{plain:,.0f}", "1"]]
        for way in WAYS:
            instructions = an_iteration(workload, way)
            rows.append([way, f"{instructions:,.0f}", f"{instructions / plain:.3f}"])
        print_table(rows)
