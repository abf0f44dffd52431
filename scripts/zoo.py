"""Silent errors in real training, each beside its clean twin: learns from the twin, checks both.

A case is a folder of tests/zoo with `clean.py`, `bug.py`, which is the same script with one silent error, and
`expect.toml`, which says what must be found. Both scripts take `--seed`. Two runs of clean.py teach; a third, with
another seed, must raise no alarm; of what is found in bug.py the first must be an alarm of the expected cause, found in
the expected iteration.

    iteration = 7                 # the first in which it can be decided
    cause = "gradients-not-cleared"
    call = "AdamW.step"           # part of the call it is found at, or
    variable = "Net.head.weight"  # part of the name of a variable concerned

Prints a table, and how many cases passed and failed; exits with 1 if one failed.
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib

from tool import Failed, check, infer, print_table

ZOO = pathlib.Path(__file__).resolve().parent.parent / "tests" / "zoo"


class Case:
    def __init__(self, name, args):
        self.name = name
        self.folder = ZOO / name
        self.out = args.out / name
        self.bin = args.bin
        self.expect = tomllib.loads((self.folder / "expect.toml").read_text())
        unknown = set(self.expect) - {"iteration", "cause", "call", "variable"}
        if unknown or not {"iteration", "cause"} <= set(self.expect):
            raise Failed(f"{name}/expect.toml must say `iteration`, `cause`, and `call` or `variable`; nothing else")
        os.makedirs(self.out, exist_ok=True)

    def record(self, script, seed):
        folder, log = self.out / f"{script}-{seed}", self.out / f"{script}-{seed}.txt"
        command = [self.bin / "traincheck", "collect", "-o", folder, "--", sys.executable, self.folder / f"{script}.py"]
        command = [str(part) for part in command + ["--seed", seed]]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with open(log, "w") as out:
            code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment).returncode
        if code != 0 or not folder.is_dir():
            raise Failed(f"{script}.py ended with exit code {code}; see {log}")
        return folder

    def alarms(self, folder, invariants):
        code, said, alarms = check(self.bin, folder, invariants, self.out / f"{folder.name}.json")
        if code not in (0, 1):
            raise Failed(f"check of {folder.name} came to no verdict: {said['why_no_verdict']}")
        return alarms

    def judge(self):
        """What is wrong, in words (nothing: all is well), where it was found, and the first finding."""
        references = [self.record("clean", seed) for seed in (1, 2)]
        invariants = self.out / "invariants.json"
        infer(self.bin, references, invariants)
        alarms = self.alarms(self.record("clean", 3), invariants)
        wrong = [f"false alarm on clean.py: {alarms[0]['cause']}, {alarms[0]['title']}"] if alarms else []
        alarms = self.alarms(self.record("bug", 4), invariants)
        wrong += self.differences(alarms[0]) if alarms else ["missed"]
        return wrong, alarms[0] if alarms else None

    def differences(self, finding):
        if finding["cause"] != self.expect["cause"]:
            yield f"expected {self.expect['cause']}, found {finding['cause']}"
        expected, found = self.expect["iteration"], finding["first"]["iteration"]
        if found != expected:
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
    print(f"\n{caught} passed, {len(names) - caught} failed")
    return 0 if caught == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
