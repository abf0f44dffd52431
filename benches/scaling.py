"""How fast infer and check are on made-up traces of growing length, with one thread and with two, and what memory they
take. Linear: a trace ten times as long takes ten times as long. On two cores two threads are to be near twice as fast.
The same of made-up jobs of several ranks, which are compared, by one thread: memory is to grow with their number, and not
with the length of the trace.
"""

import os
import shutil
import subprocess
import time

# Infer learns from two runs of this length each, as people do; check reads one.
SIZES = {"quick": [10**5], "full": [10**5, 10**6, 10**7]}
THREADS = [1, 2]
# (events a second on one core, the multiple of the compressed trace and the constant that memory stays under)
TARGETS = {"infer": 1e6, "check": 2e6}
MEMORY = (4, 500e6)
# (ranks, events of all of them together)
JOBS = {"quick": [(8, 10**5)], "full": [(8, 10**7), (64, 10**6), (64, 10**7), (1024, 10**7)]}


def measured(command):
    """Runs a command; returns wall seconds, CPU seconds, and the peak of its resident memory in bytes."""
    begun = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    complaint = child.stderr.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(map(str, command))} ended with {child.returncode}: {complaint}")
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def rows(traincheck, synthesize, scratch, quick, rounds):
    """A table: what took how long, and how that compares with a tenth of the length and with one thread."""
    table = [
        ["scaling", "events", "threads", "seconds", "cpu s", "events/s", "of target", "x length", "x one thread"]
        + ["peak MB", "of limit"]
    ]
    before = {}
    for events in SIZES["quick" if quick else "full"]:
        folders = [scratch / f"synthetic-{events}-{seed}" for seed in (1, 2)]
        for seed, folder in enumerate(folders, 1):
            subprocess.run([synthesize, "--events", str(events), "--seed", str(seed), folder], check=True, stdout=subprocess.DEVNULL)
        size = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
        invariants = scratch / "scaling.json"
        commands = {
            "infer": [traincheck, "infer", *folders, "-o", invariants],
            "infer, one run": [traincheck, "infer", folders[0], "-o", scratch / "one.json"],
            "check": [traincheck, "check", folders[0], "-i", invariants],
        }
        for what, command in commands.items():
            read = 2 * events if what == "infer" else events
            limit = MEMORY[0] * size + MEMORY[1]
            for threads in THREADS:
                runs = [measured([*command, "--threads", threads]) for _ in range(rounds)]
                wall, cpu, _ = min(runs)
                peak = max(run[2] for run in runs)
                speed = read / wall
                target = TARGETS[what.split(",")[0]] * threads
                last = before.get((what, threads))
                one = before.get((what, 1, events))
                table.append(
                    [what, f"{read:,}", str(threads), f"{wall:.2f}", f"{cpu:.2f}", f"{speed:,.0f}", f"{speed / target:.2f}"]
                    + [f"{wall / last:.2f}" if last else "", f"{one / wall:.2f}" if one else ""]
                    + [f"{peak / 1e6:.0f}", f"{peak / limit:.2f}"]
                )
                before[(what, threads)] = wall
                before[(what, threads, events)] = wall
        for folder in folders:
            shutil.rmtree(folder)
    return table


def of_ranks(traincheck, synthesize, scratch, quick, rounds):
    """A table: how fast jobs of several ranks are learned from and checked, and in what memory."""
    table = [["ranks", "events", "", "seconds", "cpu s", "events/s", "of target", "peak MB"]]
    for ranks, events in JOBS["quick" if quick else "full"]:
        job, invariants = scratch / f"ranks-{ranks}-{events}", scratch / "ranks.json"
        command = [synthesize, "--ranks", str(ranks), "--events", str(events // ranks), job]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for what, command in {
            "infer": [traincheck, "infer", job, "-o", invariants],
            "check": [traincheck, "check", job, "-i", invariants],
        }.items():
            runs = [measured([*command, "--threads", 1]) for _ in range(rounds)]
            wall, cpu, _ = min(runs)
            speed = events / wall
            cells = [f"{wall:.2f}", f"{cpu:.2f}", f"{speed:,.0f}", f"{speed / TARGETS[what]:.2f}"]
            peak = max(run[2] for run in runs)
            table.append([str(ranks), f"{events:,}", what, *cells, f"{peak / 1e6:.0f}"])
        shutil.rmtree(job)
    return table
