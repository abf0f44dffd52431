"""Mutation score: how many of the mistakes that people make in training programs raise an alarm.

Makes mutants of programs that train (scripts/mutations.py: one mistake each), by default of all in tests/pipelines, and
runs each under the agent. Two clean runs of the original (seeds 1 and 2) teach, and `check` says what it makes of the
mutant (seed 3). A mutant is

    crashed      it ended with an error, or took too long
    equivalent   weights, losses and predictions are those of the original, bit by bit
    caught       there is an alarm, of whatever cause
    noticed      there is none, but a notice that the original of the same seed does not have
    missed       neither
    no verdict   `check` could not say anything

Whether two runs are the same is told by what they print, so a program has to print losses and predictions, and at its
end a line `weights` with a digest (`report_weights` of tests/pipelines/pipeline.py); of several ranks any may do so. It takes `--seed`, and with one
seed always prints the same. Lines that begin with `gradients` or `rng of` may differ.

The score is the share of those that are caught among all that neither crashed nor are equivalent. What the library alone
catches, without a run to learn from, has a column and a score of its own (`alone`). Prints a table by operator, and the survivors, which are all of these that were not caught, with the lines that were changed. With
`--out DIR` the results stay there (`results.json`, and the runs of survivors), and a mutant that has one is not run again.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

import mutations
from tool import Failed, check, infer, launcher, print_table

PIPELINES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "pipelines"
TEACH = (1, 2)
SEED = 3
# A mutant may take as many times as long as the original, and this many seconds more.
SLOWER, SLACK = 5, 30
# An original that takes longer hangs. In seconds.
TIME_LIMIT = 600
# What gloo says of its connections, of all ranks at a time and so in pieces.
GLOO = re.compile(r"\[Gloo\]|peer ranks|connected to|^[\s\d]*$")
DROPPED = ("crashed", "equivalent")
SURVIVED = ("noticed", "missed", "no verdict")
OUTCOMES = (*DROPPED, "caught", *SURVIVED)


def operators(ranks):
    """What makes mistakes in programs of so many ranks."""
    return mutations.OPERATORS | (mutations.OF_RANKS if ranks > 1 else {})


def pipelines():
    return tomllib.loads((PIPELINES / "variants.toml").read_text())


class Program:
    """A program to make mutants of: a pipeline by its name, or any other by its path."""

    def __init__(self, name, args):
        known = name in pipelines()
        table = pipelines()[name] if known else {"takes_out": False}
        self.path = PIPELINES / f"{name}.py" if known else pathlib.Path(name).resolve()
        if not self.path.is_file():
            raise Failed(f"{name} is neither in {PIPELINES}/variants.toml nor a file")
        self.name = self.path.stem
        self.arguments = table.get("arguments", [])
        self.takes_out = table.get("takes_out", True)
        self.bin = args.bin
        self.folder = args.out / self.name
        self.invariants = self.folder / "invariants.json"
        self.limit = TIME_LIMIT
        source = self.path.read_text()
        self.ranks = args.ranks
        self.original = mutations.original(source)
        self.mutants = mutations.mutants(self.name, source, operators(args.ranks))

    def prepare(self, known):
        """Trains the original, learns, and checks it, unless `known` is what came of that before. Returns what came of
        it, with the titles of alarms, of which there should be none."""
        twin = Run(self.folder / "original")
        if known is None or known["source"] != self.original or not twin.trace.is_dir():
            known = self.train_original(twin)
        self.printed = twin.said()
        self.usual = set(known["notices"])
        self.limit = SLOWER * known["seconds"] + SLACK
        return known

    def train_original(self, twin):
        references = [self.train(f"reference-{seed}", self.original, seed) for seed in TEACH]
        begun = time.monotonic()
        twin.train(self, self.original, SEED, self.limit)
        seconds = time.monotonic() - begun
        again = self.train("again", self.original, SEED)
        for run in (*references, twin, again):
            if run.code != 0 or not run.trace.is_dir():
                raise Failed(f"{self.name} ended with exit code {run.code}, or was not recorded; see {run.folder}")
        if not any(line.startswith("weights ") for line in twin.said()):
            raise Failed(f"{self.name} prints no digest of its weights, by which equivalent mutants are told")
        if again.said() != twin.said():
            raise Failed(f"{self.name} does not print the same twice with the same seed")
        infer(self.bin, [run.trace for run in references], self.invariants)
        _, report, alarms = self.check(twin)
        return {
            "source": self.original,
            "alarms": [alarm["title"] for alarm in alarms] + self.check_alone(twin),
            "notices": sorted(notices(report["findings"])),
            "seconds": round(seconds, 1),
        }

    def train(self, name, source, seed):
        run = Run(self.folder / name)
        run.train(self, source, seed, self.limit)
        return run

    def check(self, run):
        return check(self.bin, run.trace, self.invariants, run.folder / "report.json")

    def check_alone(self, run):
        """The causes of alarms that the library raises without references."""
        if run.code != 0 or not run.trace.is_dir():
            return []
        _, _, alarms = check(self.bin, run.trace, None, run.folder / "alone.json")
        return [alarm["cause"] for alarm in alarms]

    def judge(self, mutant):
        """What becomes of a mutant: the outcome, what there is to say of it, and what the library alone says."""
        run = self.train(mutant.id.replace(":", "-"), mutant.source, SEED)
        outcome, detail = self.outcome(run)
        alone = [] if outcome in DROPPED else self.check_alone(run)
        if outcome not in SURVIVED:
            shutil.rmtree(run.folder)
        return outcome, detail, alone

    def outcome(self, run):
        if run.code != 0:
            return "crashed", "took too long" if run.code is None else f"exit code {run.code}"
        equivalent = run.said() == self.printed
        if not run.trace.is_dir():
            return "equivalent" if equivalent else "no verdict", "nothing was recorded"
        code, report, alarms = self.check(run)
        if equivalent or alarms:
            return "equivalent" if equivalent else "caught", alarms[0]["cause"] if alarms else ""
        if code == 2:
            return "no verdict", report["why_no_verdict"]
        new = [finding["title"] for finding in report["findings"] if notices([finding]) - self.usual]
        return ("noticed", "; ".join(new[:3])) if new else ("missed", "")


def notices(findings):
    """The ids of the invariants they are about that are notices."""
    return {said["id"] for finding in findings for said in finding["invariants"] if said["level"] == "notice"}


class Run:
    """A training in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.trace = folder / "run"
        self.code = None

    def train(self, program, source, seed, limit):
        shutil.rmtree(self.folder, ignore_errors=True)
        # The script lies beside what lies beside the original, and has the same name in each run: by that the analyzer
        # tells which program it is.
        place = self.folder / "program"
        place.mkdir(parents=True)
        for beside in program.path.parent.iterdir():
            if beside != program.path and beside.name != "__pycache__":
                (place / beside.name).symlink_to(beside)
        (place / program.path.name).write_text(source)
        command = [program.bin / "traincheck", "collect", "-o", self.trace, "--", sys.executable]
        command += [*launcher(program.ranks), program.path.name]
        command += [*program.arguments, "--seed", seed]
        command += ["--out", self.folder / "out"] if program.takes_out else []
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        environment["PYTHONHASHSEED"] = "0"
        with open(self.folder / "stdout", "w") as out, open(self.folder / "stderr", "w") as errors:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=place, stdout=out, stderr=errors, env=environment, start_new_session=True,
            )  # fmt: skip
            try:
                self.code = process.wait(limit)
            except subprocess.TimeoutExpired:
                # With all that it started.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def said(self):
        """What the run printed of weights, losses and predictions, in whatever order."""
        lines = (self.folder / "stdout").read_text(errors="replace").splitlines()
        return sorted(line for line in lines if not line.startswith(("gradients ", "rng of ")) and not GLOO.search(line))


class Results:
    """What became of which mutant, and what there is to know of originals, in a file that is written after each."""

    def __init__(self, folder):
        self.path = folder / "results.json"
        found = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self.originals = found.get("originals", {})
        self.mutants = found.get("mutants", {})

    def of(self, mutant):
        """The result of a mutant; nothing if there is none, or one of an older program."""
        result = self.mutants.get(mutant.id)
        return result if result and result["diff"] == mutant.diff else None

    def add(self, mutant, outcome, detail, alone):
        self.mutants[mutant.id] = {
            "operator": mutant.operator,
            "line": mutant.line,
            "diff": mutant.diff,
            "outcome": outcome,
            "detail": detail,
            "alone": alone,
        }
        self.write()

    def add_original(self, name, known):
        self.originals[name] = known
        self.write()

    def write(self):
        partial = self.path.with_suffix(".partial")
        said = {"originals": self.originals, "mutants": self.mutants}
        partial.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
        partial.rename(self.path)


def sample(programs, args):
    """The mutants that are wanted, each with its program. A smaller sample of the same seed is part of a larger one."""
    of = [(program, mutant) for program in programs for mutant in program.mutants]
    of = [(program, mutant) for program, mutant in of if not args.operators or mutant.operator in args.operators]
    if args.sample is not None:
        random.Random(args.seed).shuffle(of)
        of = of[: args.sample]
    return of


def run(args, wanted, results):
    """Runs what has no result yet; returns what did not work."""
    wrong = []
    missing = [(program, mutant) for program, mutant in wanted if results.of(mutant) is None]
    programs = list(dict.fromkeys(program for program, _ in missing))
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        ready = set()
        prepared = {pool.submit(program.prepare, results.originals.get(program.name)): program for program in programs}
        for done in concurrent.futures.as_completed(prepared):
            program = prepared[done]
            try:
                results.add_original(program.name, done.result())
                ready.add(program)
                print(f"  {program.name}: learned", file=sys.stderr, flush=True)
            except Failed as error:
                wrong.append(str(error))
        judged = {pool.submit(program.judge, mutant): mutant for program, mutant in missing if program in ready}
        for done in concurrent.futures.as_completed(judged):
            mutant = judged[done]
            try:
                outcome, detail, alone = done.result()
            except Failed as error:
                wrong.append(f"{mutant.id}: {error}")
                continue
            results.add(mutant, outcome, detail, alone)
            print(f"  {mutant.id}: {outcome} {detail}".rstrip(), file=sys.stderr, flush=True)
    return wrong


def table(judged):
    """A row for each operator and one for all, and the scores of all; None where there was nothing to catch."""
    counts = collections.defaultdict(collections.Counter)
    for mutant, result in judged:
        counts[mutant.operator][result["outcome"]] += 1
        counts[mutant.operator]["alone"] += bool(result["alone"])
    rows = [(operator, counts[operator]) for operator in operators(2) if operator in counts]
    rows.append(("all", sum((of for _, of in rows), collections.Counter())))
    cells = [["operator", "mutants", *OUTCOMES, "score", "alone", "score"]]
    for operator, of in rows:
        total = sum(of[outcome] for outcome in OUTCOMES)
        decided = total - sum(of[outcome] for outcome in DROPPED)
        score, alone = (of[which] / decided if decided else None for which in ("caught", "alone"))
        shown = ["-" if number is None else f"{number:.2f}" for number in (score, alone)]
        numbers = [str(number) for number in (total, *(of[outcome] for outcome in OUTCOMES))]
        cells.append([operator, *numbers, shown[0], str(of["alone"]), shown[1]])
    return cells, score, alone


def conclude(args, wanted, results, wrong):
    """Prints everything; the exit code."""
    judged = [(mutant, results.of(mutant)) for _, mutant in wanted if results.of(mutant)]
    for mutant, result in judged:
        if result["outcome"] in SURVIVED:
            print("\n".join([f"{mutant.id}: {result['outcome']} {result['detail']}".rstrip(), *mutant.diff, ""]))
    cells, score, alone = table(judged)
    print_table(cells)
    names = dict.fromkeys(program.name for program, _ in wanted)
    alarms = [f"{name}: {alarm}" for name in names for alarm in results.originals.get(name, {"alarms": []})["alarms"]]
    for title, lines in (("alarms on originals:", alarms), ("FAILED:", wrong)):
        if lines:
            print("\n".join([f"\n{title}", *(f"  {line}" for line in lines)]))
    low = score is None or score < args.floor or alone < args.floor_alone
    if low:
        floors = f"{args.floor}, or that of the library alone below {args.floor_alone}"
        print("\nThere was nothing to catch." if score is None else f"\nThe score is below {floors}.")
    return 1 if low or wrong or alarms else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, help="folder of traincheck and libtraincheck.so")
    parser.add_argument("--out", type=pathlib.Path, help="folder for results and runs; a temporary one without it")
    parser.add_argument("--programs", nargs="+", metavar="PROGRAM", help="pipelines, or paths; all pipelines")
    parser.add_argument("--operators", nargs="+", metavar="OPERATOR", choices=operators(2), help="all")
    parser.add_argument("--ranks", type=int, default=1, help="ranks that train together; more than one make mistakes of their own (1)")
    parser.add_argument("--sample", type=int, metavar="N", help="so many mutants, drawn at random; all")
    parser.add_argument("--seed", type=int, default=0, help="of --sample (0)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time (1)")
    parser.add_argument("--floor", type=float, default=0.0, metavar="SCORE", help="fails below this score")
    parser.add_argument("--floor-alone", type=float, default=0.0, metavar="SCORE", help="likewise, of the library alone")
    parser.add_argument("--list", action="store_true", help="only show the mutants")
    args = parser.parse_args()
    if not args.list and args.bin is None:
        parser.error("--bin is needed to run anything")
    args.bin = args.bin and args.bin.resolve()
    with tempfile.TemporaryDirectory(prefix="traincheck-mutate-") as scratch:
        args.out = (args.out or pathlib.Path(scratch)).resolve()
        programs = [Program(name, args) for name in args.programs or pipelines()]
        wanted = sample(programs, args)
        if args.list:
            for _, mutant in wanted:
                print("\n".join([mutant.id, *(f"  {line}".rstrip() for line in mutant.diff)]))
            return 0
        args.out.mkdir(parents=True, exist_ok=True)
        results = Results(args.out)
        return conclude(args, wanted, results, run(args, wanted, results))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"mutate: {error}")
