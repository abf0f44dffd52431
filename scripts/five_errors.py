"""Has `traincheck run` find an error in tests/pipelines/digits.py by what holds in any training and shows its report. Then it
records two good runs, learns from them, and checks six others.

Five of the six have one silent error each, and each must be caught by a finding that names its cause; the sixth
is good, with another seed and batch size, and must be clean. Prints a table; exits with 1 if a row is not as it
should be. Used by scripts/quickstart and by the end-to-end tests; it needs the Python that trains.
"""

import argparse
import os
import pathlib
import subprocess
import sys

from tool import Failed, check, infer, print_table

PIPELINE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "pipelines" / "digits.py"

# What `traincheck run` is shown first, and the cause that it must name.
FIRST = ["--bug", "stale-optimizer"]
FIRST_TITLE = "ALARM: The optimizer holds the parameters of a model that does not run."

REFERENCES = {"good-1": ["--seed", "1"], "good-2": ["--seed", "2"]}

# Name of the run, its arguments, and the cause that `check` must name; None: it must find nothing.
CHECKED = [
    ("clean", ["--seed", "3", "--batch-size", "48"], None),
    ("no-zero-grad", ["--seed", "4", "--bug", "no-zero-grad"], "gradients-not-cleared"),
    ("stale-optimizer", ["--seed", "5", "--bug", "stale-optimizer"], "stale-optimizer"),
    ("no-scheduler-step", ["--seed", "6", "--bug", "no-scheduler-step"], "scheduler-not-stepped"),
    ("frozen-backbone", ["--seed", "7", "--bug", "frozen-backbone"], "frozen-parameters"),
    ("eval-mode", ["--seed", "8", "--bug", "eval-mode"], "evaluation-mode"),
]


def run(command, log):
    """Runs a command with its output in a file; returns its exit code."""
    with open(log, "w") as out:
        return subprocess.run([str(part) for part in command], stdout=out, stderr=subprocess.STDOUT).returncode


def first_run(args):
    """Records and checks one run, without references, and prints the report."""
    report = args.out / "reports" / "first.txt"
    log = args.out / "logs" / "first.txt"
    print(f"  traincheck run --report first.txt -- python {PIPELINE.name} {' '.join(FIRST)}\n", file=sys.stderr, flush=True)
    command = [args.bin / "traincheck", "run", "-o", args.out / "runs" / "first", "--report", report, "--"]
    code = run(command + [sys.executable, PIPELINE] + FIRST, log)
    if code != 1:
        raise Failed(f"the first run raised no alarm: exit code {code}; what was said is in {log}")
    page = report.read_text()
    print(page, flush=True)
    if FIRST_TITLE not in page:
        raise Failed(f"another alarm was expected of the first run: {FIRST_TITLE}")


def record(args, name, arguments):
    """Trains under the agent; returns the folder of the run."""
    folder = args.out / "runs" / name
    log = args.out / "logs" / f"{name}.txt"
    print(f"  training {name}", file=sys.stderr, flush=True)
    command = [args.bin / "traincheck", "collect", "-o", folder, "--", sys.executable, PIPELINE]
    command += ["--out", args.out / "checkpoints" / name] + arguments
    code = run(command, log)
    if code != 0:
        raise Failed(f"the training run {name} ended with exit code {code}; its output is in {log}")
    if not folder.is_dir():
        raise Failed(f"nothing was recorded in {folder}; what the run printed is in {log}")
    return folder


def row(name, cause, code, alarms):
    """A row of the table, and whether it is as it should be."""
    verdict = {0: "clean", 1: "caught"}.get(code, f"exit code {code}")
    first = str(alarms[0]["first"]["iteration"]) if alarms else "-"
    top = f'{alarms[0]["cause"]}: {alarms[0]["title"]}' if alarms else "-"
    if cause is None:
        good = code == 0 and not alarms
    else:
        good = code == 1 and bool(alarms) and alarms[0]["cause"] == cause
    return [name, verdict if good else f"{verdict} (WRONG)", first, top], good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck and libtraincheck.so")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for runs, checkpoints and reports")
    args = parser.parse_args()
    for folder in ["runs", "logs", "checkpoints", "reports"]:
        os.makedirs(args.out / folder, exist_ok=True)

    first_run(args)
    references = [record(args, name, arguments) for name, arguments in REFERENCES.items()]
    invariants = args.out / "invariants.json"
    infer(args.bin, references, invariants)

    rows = [["run", "verdict", "first iteration", "top finding"]]
    all_good = True
    for name, arguments, cause in CHECKED:
        folder = record(args, name, arguments)
        code, _, alarms = check(args.bin, folder, invariants, args.out / "reports" / f"{name}.json")
        cells, good = row(name, cause, code, alarms)
        rows.append(cells)
        all_good &= good

    print()
    print_table(rows)
    print(f"\nTraces: {args.out / 'runs'}   invariants: {invariants}   findings: {args.out / 'reports'}")
    if not all_good:
        print("Not every row is as it should be.")
    return 0 if all_good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"five_errors: {error}")
