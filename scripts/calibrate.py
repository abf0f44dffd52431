"""Measures how often clean runs violate what was learned from other clean runs.

Takes folders with a folder for each program, and in that its runs, all known to be good: those that scripts/corpus,
scripts/precision.py (`--out`) and scripts/zoo.py (`--out`) have kept. Each run is checked by what others say, with all that
`infer` takes for an alarm (with no budget to speak of):

    seed            other runs of its program with the same command line but for the seed
    configuration   runs of its program with other command lines
    program         runs of other programs

What the runs differ in, `check` itself says, by what `run.json` has; where the corpus knows more, it counts. Counts for
each family of claims (one relation, the same kinds of subject and outcome) in how many runs a claim of it came up, and which
runs violate one: of the alarms, and of the notices that the rules are in doubt of, by their doubt. The result is
analyzer/library/levels.json, by which `check` tells which alarms count and which notices are alarms, and the tables in
docs/levels.md between the two marks. Results of single checks are kept in the folder of `--keep`, so that it can be
interrupted.
"""

import argparse
import collections
import concurrent.futures
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

from library import runs
from tool import Failed, check, infer, spread

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEVELS = ROOT / "analyzer" / "library" / "levels.json"
GUIDE = ROOT / "docs" / "levels.md"
MARKS = "<!-- measured: scripts/calibrate -->", "<!-- /measured -->"
DIFFERENCES = ("seed", "configuration", "program")
# References of a check. More would take longer and make more claims that no run violates.
MOST_REFERENCES = 3
# Programs that one of them is checked by, and runs of each.
OTHER_PROGRAMS, RUNS_OF_EACH = 8, 2


class Run:
    def __init__(self, program, name, path):
        self.program = program
        self.name = f"{program}/{name}"
        self.path = path
        command = json.loads((path / "run.json").read_text()).get("command", [])
        self.script = next((argument for argument in command[1:] if argument.endswith(".py")), None)
        # The corpus says what its configurations are: of options whose value is a text, run.json has the name alone.
        done = path.parent / "done.json"
        told = json.loads(done.read_text())["configuration"] if done.is_file() else without_seed(command[1:])
        self.configuration = tuple(told)


def without_seed(arguments):
    """Options and values but for a seed."""
    seed = False
    for argument in arguments:
        if not seed and "seed" not in argument:
            yield argument
        seed = argument.startswith("-") and "seed" in argument and "=" not in argument


def all_runs(folders, most):
    """By program: its runs, no more than `most`."""
    programs = collections.defaultdict(list)
    for folder in folders:
        for program in sorted(path for path in folder.iterdir() if path.is_dir()):
            found = [Run(program.name, name, path) for name, path in runs(program)]
            programs[program.name] += spread(found, most)
    return {name: found for name, found in programs.items() if found}


def checks(programs):
    """What is checked by what: pairs of a run and its references."""
    names = sorted(programs)
    for name in names:
        for run in programs[name]:
            others = [other for other in programs[name] if other is not run]
            same = [other for other in others if other.configuration == run.configuration]
            other = [other for other in others if other.configuration != run.configuration]
            if len(same) > 1:
                yield run, spread(same, MOST_REFERENCES)
            if other:
                yield run, spread(other, MOST_REFERENCES)
    # Each is checked by those that come after it in a circle, so all teach alike. Programs of one script differ in options whose
    # values are not recorded, so they would be taken for one.
    for at, name in enumerate(names):
        script = programs[name][0].script
        following = [other for other in names[at + 1 :] + names[:at] if programs[other][0].script != script]
        following = following[:OTHER_PROGRAMS]
        teachers = [run for other in following for run in spread(programs[other], RUNS_OF_EACH)]
        if teachers:
            for run in spread(programs[name], RUNS_OF_EACH):
                yield run, teachers


def judge(args, run, references):
    """What came of a check: the difference, and by family how many claims came up and how many were violated."""
    key = "\n".join(str(one.path) for one in (run, *references))
    kept = args.keep / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    with tempfile.TemporaryDirectory(prefix="traincheck-calibrate-") as scratch:
        learned, report = pathlib.Path(scratch, "invariants.json"), pathlib.Path(scratch, "report.json")
        infer(args.bin, [one.path for one in references], learned)
        _, said, _ = check(args.bin, run.path, learned, report, "--alarm-budget", "0.999", "--no-library")
    # What was raised by a measurement before is a notice by the rules, which alone are tried.
    fared = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0]))
    for invariant in said["invariants"]:
        if invariant["status"] in ("held", "violated") and (invariant["doubt"] or invariant["level"] == "alarm"):
            of = fared[invariant["doubt"]][invariant["family"]]
            of[0] += 1
            of[1] += invariant["status"] == "violated"
    difference = said["difference"]["from_references"]
    if difference == "seed" and run.configuration not in (one.configuration for one in references):
        difference = "configuration"
    result = {"difference": difference, "families": fared.pop(None, {}), "notices": fared}
    kept.write_text(json.dumps(result) + "\n")
    return result


def add(families, run, found):
    """Adds how families fared in a run; those that it violates."""
    for family, (claims, violated) in found.items():
        fared = families.setdefault(family, {"runs": set(), "claims": 0, "broken": set()})
        fared["runs"].add(run.name)
        fared["claims"] += claims
        if violated:
            fared["broken"].add(run.name)
    return [family for family, (_, violated) in found.items() if violated]


def measure(args, programs):
    todo = list(checks(programs))
    measured = {difference: {"runs": set(), "families": {}, "notices": {}} for difference in DIFFERENCES}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for number, (run, found) in enumerate(
            zip((run for run, _ in todo), pool.map(lambda pair: judge(args, *pair), todo), strict=True), start=1
        ):
            of = measured[found["difference"]]
            of["runs"].add(run.name)
            broken = add(of["families"], run, found["families"])
            for doubt, families in found["notices"].items():
                add(of["notices"].setdefault(doubt, {}), run, families)
            if broken:
                print(f"  {run.name} ({found['difference']}): {'; '.join(broken)}", file=sys.stderr)
            if number % 50 == 0:
                print(f"  {number} of {len(todo)}", file=sys.stderr, flush=True)
    return measured


def levels(args, measured):
    """Writes the table for `check` and puts the one for people into the guide."""
    file = args.keep / "measured.json"
    file.write_text(json.dumps(measured, default=sorted, indent=1) + "\n")
    command = [args.bin / "traincheck", "levels", file, "-o", args.output]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"levels ended with exit code {done.returncode}")
    text = args.guide.read_text()
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    args.guide.write_text(f"{before}{MARKS[0]}\n\n{done.stdout}{MARKS[1]}{after}")
    print(done.stdout, end="")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the results of single checks")
    parser.add_argument("--output", type=pathlib.Path, default=LEVELS, help="the table for `check` (%(default)s)")
    parser.add_argument("--guide", type=pathlib.Path, default=GUIDE, help="the page with the table (%(default)s)")
    parser.add_argument("--most", type=int, default=8, metavar="N", help="runs of a program (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="checks at the same time (1)")
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="DIR", help="a folder for each program in it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="traincheck-calibrate-") as scratch:
        args.keep = args.keep or pathlib.Path(scratch)
        args.keep.mkdir(parents=True, exist_ok=True)
        programs = all_runs(args.folders, args.most)
        levels(args, measure(args, programs))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"calibrate: {error}")
