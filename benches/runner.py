"""Runs pipelines of tests/pipelines with and without the agent, and the `traincheck` command; measures each run."""

import collections
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PIPELINES = ROOT / "tests" / "pipelines"

# What it is, its script and the option that sets its length, a length that gives 200 measured iterations or more,
# two short ones for what counts instructions (none: nothing does), the slow-down to reach in the profile `training`, and how many
# ranks it is trained on.
Workload = collections.namedtuple("Workload", "title script option length short target ranks", defaults=[1])
WORKLOADS = {
    "transformer": Workload("small transformer", "transformer.py", "--iterations", 220, (22, 42), 1.02),
    "ranks": Workload("the same on two ranks", "transformer.py", "--iterations", 220, (), 1.03, 2),
    "digits": Workload("digits CNN", "digits.py", "--epochs", 12, (1, 4), 1.05),
    "mlp": Workload("tiny MLP", "mlp.py", "--iterations", 2020, (40, 140), 1.10),
    "calls": Workload("call-heavy pure-Python loop", "calls.py", "--iterations", 1020, (40, 140), None),
}

# The ways to record, and what the environment says for them.
WAYS = {
    "training": {"TRAINCHECK_PROFILE": "training"},
    "full": {"TRAINCHECK_PROFILE": "full"},
    "overhead-2%": {"TRAINCHECK_PROFILE": "training", "TRAINCHECK_OVERHEAD": "2%"},
}
# The slow-down to reach with a budget, whatever the pipeline.
BUDGET_TARGET = 1.02

Run = collections.namedtuple("Run", "iterations wall cpu")


class Runner:
    def __init__(self, bin_folder, scratch):
        self.agent = bin_folder / "libtraincheck.so"
        self.command = bin_folder / "traincheck"
        self.scratch = scratch

    def environment(self, way, run_folder):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAINCHECK_")}
        environment.pop("LD_PRELOAD", None)
        if way:
            environment |= WAYS[way]
            environment |= {"LD_PRELOAD": str(self.agent), "TRAINCHECK_RUN_DIR": str(run_folder)}
        return environment

    def train(self, workload, way=None, length=None, under=(), keep=None, **variables):
        """Trains, under another command if one is given; returns what the loop measured of itself: how many iterations
        it was without the first ones, wall seconds, and CPU seconds of all threads."""
        run_folder = keep or self.scratch / "run"
        shutil.rmtree(run_folder, ignore_errors=True)
        out = self.scratch / "measured.json"
        out.unlink(missing_ok=True)
        environment = self.environment(way, run_folder) | {"TRAINCHECK_BENCH_OUT": str(out)} | variables
        ranks = [str(ROOT / "scripts" / "ranks.py"), str(workload.ranks)] if workload.ranks > 1 else []
        script = [str(PIPELINES / workload.script), workload.option, str(length or workload.length)]
        training = [sys.executable, *ranks, *script]
        done = subprocess.run([*under, *training], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit(f"{' '.join(training)} ended with exit code {done.returncode}:\n{done.stderr.decode(errors='replace')}")
        if way and not run_folder.is_dir():
            sys.exit(f"nothing was recorded by {' '.join(training)}")
        measured = json.loads(out.read_text())
        return Run(measured["iterations"], measured["wall_s"], measured["cpu_s"])

    def start_up(self, code, way):
        """Wall seconds of one start of Python."""
        environment = self.environment(way, self.scratch / "run")
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
