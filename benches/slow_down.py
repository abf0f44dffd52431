"""Slow-down: pipelines with the agent beside themselves without it.

A round runs a pipeline plainly, in each way to record, and plainly again, one after the other, so that what else the
machine does falls on all of them alike; every second round goes the other way round. Each run gives two ratios to the
first plain run of its round, of wall and of CPU time (user and system, all threads) of an iteration. Of the ratios of
all rounds the median is taken, with a 95 % interval from a bootstrap; the slow-down is the larger of the two medians.
Plain against plain, taken in the same way, says how much of it is noise.
"""

import collections
import importlib.metadata
import os
import platform
import statistics
import sys
import time

import numpy
import scipy.stats

from runner import BUDGET_TARGET, WAYS, WORKLOADS
from table import print_markdown, print_table

# Fewer say too little.
PAIRS = 15
AGAIN = "plain against plain"


class Estimate(collections.namedtuple("Estimate", "median low high")):
    @classmethod
    def of(cls, ratios):
        if len(ratios) < 2:
            return cls(ratios[0], ratios[0], ratios[0])
        # Of few values, the percentiles of resampled medians; the same every time.
        found = scipy.stats.bootstrap((ratios,), numpy.median, method="percentile", confidence_level=0.95, rng=1)
        return cls(statistics.median(ratios), *found.confidence_interval)

    def __str__(self):
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


class Measured:
    """The rounds of one pipeline."""

    def __init__(self, workload, rounds):
        self.workload = workload
        self.rounds = rounds
        self.iteration = statistics.median(one["plain"].wall / one["plain"].iterations for one in rounds)

    def ratios(self, way, clock):
        def of(run):
            return getattr(run, clock) / run.iterations

        return Estimate.of([of(one[way]) / of(one["plain"]) for one in self.rounds])

    def slow_down(self, way):
        return max(self.ratios(way, "wall"), self.ratios(way, "cpu"))

    def title(self):
        milliseconds = self.iteration * 1e3
        return f"{self.workload.title} ({milliseconds:.{0 if milliseconds >= 10 else 1}f} ms)"


def target(workload, way):
    """The slow-down to reach, if there is one."""
    if way == AGAIN:
        return "1"
    found = {"training": workload.target, "overhead-2%": BUDGET_TARGET}.get(way)
    return f"{found:.2f}" if found else "-"


def measure(runner, workload, ways, pairs, seconds):
    """Rounds of a pipeline: so many, or, but for three, what fits into the time."""
    variants = ["plain", *ways, AGAIN]
    rounds, ends = [], time.monotonic() + seconds
    # Not measured: it warms the file cache.
    runner.train(workload)
    while len(rounds) < pairs:
        begun = time.monotonic()
        order = variants if len(rounds) % 2 == 0 else variants[::-1]
        rounds.append({variant: runner.train(workload, variant if variant in WAYS else None) for variant in order})
        now = time.monotonic()
        print(f"  {workload.title}: round {len(rounds)} of {pairs}, {now - begun:.0f} s", file=sys.stderr, flush=True)
        if len(rounds) >= 3 and now + (now - begun) > ends:
            break
    return Measured(workload, rounds)


def bench(runner, names, ways, pairs, minutes, markdown):
    """Prints a table for each pipeline, so that what was measured is there if the rest is cut short; then, as Markdown,
    the table of the README."""
    ends = time.monotonic() + minutes * 60
    measured = []
    for number, name in enumerate(names):
        share = (ends - time.monotonic()) / (len(names) - number)
        found = measure(runner, WORKLOADS[name], ways, pairs, share)
        measured.append(found)
        rows = [[f"{found.title()}, median of {len(found.rounds)} pairs", "slow-down (95 % interval)", "target", "wall", "cpu"]]
        for way in [*ways, AGAIN]:
            clocks = [str(found.ratios(way, clock)) for clock in ("wall", "cpu")]
            rows.append([way, str(found.slow_down(way)), target(found.workload, way), *clocks])
        print_table(rows)
        if len(found.rounds) < PAIRS:
            print(f"{len(found.rounds)} pairs are too few for figures to publish: it takes {PAIRS}.\n", flush=True)
    if markdown:
        heads = {"training": "`training` profile", "full": "`full` profile", "overhead-2%": "`--overhead 2%`"}
        print(
            "Measured by `scripts/bench`, side by side with the plain program: slow-down is the larger of the ratios of wall and\n"
            "CPU time per iteration, each the median of pairs of runs in alternation, with its 95 % interval (bootstrap). \"Plain\n"
            "against plain\" is the same figure for two runs without the agent: what lies between it and 1 is noise. Time per\n"
            f"iteration is that of the plain program. {os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}, "
            f"CPython {platform.python_version()}, PyTorch {importlib.metadata.version('torch')}, {time.strftime('%B %Y')}.\n"
        )
        head = ["pipeline (time of an iteration)", *(heads[way] for way in ways), AGAIN, "pairs"]
        rows = [[m.title(), *(str(m.slow_down(way)) for way in [*ways, AGAIN]), str(len(m.rounds))] for m in measured]
        print_markdown([head, *rows])
