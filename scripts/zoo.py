"""Silent errors in real training, each beside its clean twin: learns from the twin, checks both.

A case is a folder of tests/zoo with `clean.py`, `bug.py`, which is the same script with one silent error, and
`expect.toml`, which says what must be found. Both scripts take `--seed`. Two runs of clean.py teach; a third, with
another seed, must raise no alarm; bug.py must raise one whose cause is the expected one, among the first three
findings, found in the expected iteration or the one after it.

    iteration = 7                 # the first in which it can be decided
    cause = "gradients-not-cleared"
    call = "AdamW.step"           # part of the call it is found at, or
    variable = "Net.head.weight"  # part of the name of a variable concerned

Prints a table; exits with 1 if a row is not as it should be.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib

ZOO = pathlib.Path(__file__).resolve().parent.parent / "tests" / "zoo"
# How many of the findings may come before the right one, and it among them.
AMONG = 3


class Failed(Exception):
    """Something that must work did not."""


class Case:
    def __init__(self, name, args):
        self.name = name
        self.folder = ZOO / name
        self.out = args.out / name
        self.command = args.bin / "traincheck"
        self.expect = tomllib.loads((self.folder / "expect.toml").read_text())
        unknown = set(self.expect) - {"iteration", "cause", "call", "variable"}
        if unknown or not {"iteration", "cause"} <= set(self.expect):
            raise Failed(f"{name}/expect.toml must say `iteration`, `cause`, and `call` or `variable`; nothing else")
        os.makedirs(self.out, exist_ok=True)

    def run(self, log, *command):
        with open(self.out / log, "w") as out:
            environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            return subprocess.run(
                [str(part) for part in command], stdout=out, stderr=subprocess.STDOUT, env=environment
            ).returncode

    def record(self, script, seed):
        folder = self.out / f"{script}-{seed}"
        command = [self.command, "collect", "-o", folder, "--", sys.executable, self.folder / f"{script}.py"]
        code = self.run(f"{script}-{seed}.txt", *command, "--seed", str(seed))
        if code != 0 or not folder.is_dir():
            raise Failed(f"{script}.py ended with exit code {code}; see {self.out}/{script}-{seed}.txt")
        return folder

    def check(self, folder, invariants):
        done = subprocess.run(
            [str(part) for part in [self.command, "check", folder, "-i", invariants, "--format", "json"]],
            capture_output=True,
            text=True,
        )
        (self.out / f"{folder.name}.json").write_text(done.stdout)
        if done.returncode not in (0, 1):
            raise Failed(f"check of {folder.name} ended with exit code {done.returncode}: {done.stderr.strip()}")
        return [finding for finding in json.loads(done.stdout)["findings"] if finding["level"] == "alarm"]

    def judge(self):
        """What is wrong, in words (nothing: all is well), where it was found, and the first finding."""
        references = [self.record("clean", seed) for seed in (1, 2)]
        invariants = self.out / "invariants.json"
        code = self.run("infer.txt", self.command, "infer", *references, "-o", invariants)
        if code != 0:
            raise Failed(f"infer ended with exit code {code}; see {self.out}/infer.txt")
        alarms = self.check(self.record("clean", 3), invariants)
        wrong = [f"false alarm on clean.py: {alarms[0]['cause']}, {alarms[0]['title']}"] if alarms else []
        alarms = self.check(self.record("bug", 4), invariants)
        right = [finding for finding in alarms[:AMONG] if finding["cause"] == self.expect["cause"]]
        if not alarms:
            wrong.append("missed")
        elif not right:
            causes = ", ".join(str(finding["cause"]) for finding in alarms[:AMONG])
            wrong.append(f"expected {self.expect['cause']}, found {causes}")
        else:
            wrong += self.differences(right[0])
        shown = (right or alarms or [None])[0]
        return wrong, shown

    def differences(self, finding):
        expected, found = self.expect["iteration"], finding["first"]["iteration"]
        if not expected <= found <= expected + 1:
            yield f"expected in iteration {expected}, found in {found}"
        variables = [variable["name"] for variable in finding["variables"]]
        if "variable" in self.expect and not any(self.expect["variable"] in name for name in variables):
            yield f"expected {self.expect['variable']}, found {', '.join(variables[:4]) or 'no variable'}"
        calls = [str(entry["call"]) for entry in finding["stack"]]
        if "call" in self.expect and not any(self.expect["call"] in call for call in calls):
            yield f"expected a call of {self.expect['call']}, found {' > '.join(calls)}"


def row(name, args):
    begun = time.monotonic()
    try:
        wrong, finding = Case(name, args).judge()
    except Failed as error:
        wrong, finding = [str(error)], None
    found = str(finding["first"]["iteration"]) if finding else "-"
    top = f"{finding['cause']}: {finding['title']}" if finding else "-"
    print(f"  {name}: {'; '.join(wrong) or 'as it should be'}", file=sys.stderr, flush=True)
    seconds = f"{time.monotonic() - begun:.0f}"
    return [name, "WRONG: " + "; ".join(wrong) if wrong else "caught", found, seconds, top], not wrong


def print_table(rows):
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck and libtraincheck.so")
    parser.add_argument("--out", type=pathlib.Path, help="folder for runs and reports; a temporary one without it")
    parser.add_argument("--jobs", type=int, default=1, help="cases at the same time (1)")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a folder of tests/zoo; all")
    args = parser.parse_args()
    names = args.cases or sorted(path.parent.name for path in ZOO.glob("*/expect.toml"))
    for name in names:
        if not (ZOO / name / "expect.toml").is_file():
            parser.error(f"no case {name} in {ZOO}")
    with tempfile.TemporaryDirectory(prefix="traincheck-zoo-") as scratch:
        args.out = (args.out or pathlib.Path(scratch)).resolve()
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            judged = list(pool.map(lambda name: row(name, args), names))
    print_table([["case", "verdict", "iteration", "seconds", "finding"]] + [cells for cells, _ in judged])
    caught = sum(good for _, good in judged)
    print(f"\n{caught} of {len(names)} as they should be.")
    return 0 if caught == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
