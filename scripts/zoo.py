"""Silent errors in real training, each beside its clean twin: learns from the twin, checks both.

A case is a folder of tests/zoo with `clean.py`, `bug.py`, which is the same script with one silent error, and
`expect.toml`, which says what must be found. Both scripts take `--seed`. Two runs of clean.py teach; a third, with
another seed, must raise no alarm; of what is found in bug.py the first must be an alarm of the expected cause, found in
the expected iteration.

    iteration = 7                 # the first in which it can be decided
    cause = "gradients-not-cleared"
    call = "AdamW.step"           # part of the call it is found at, or
    variable = "Net.head.weight"  # part of the name of a variable concerned
    ranks = 2                     # started by ranks.py as so many processes; without it, as one process
    missed = "why"                # it is known not to be found yet; the twin must raise no alarm nevertheless

Prints a table, and how many cases passed, failed and are known to be missed; exits with 1 if one failed. A case that is
found although `missed` says that it is not has failed, too.
"""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

from tool import Failed, check, infer, last_line, launcher, print_table

ZOO = pathlib.Path(__file__).resolve().parent.parent / "tests" / "zoo"


class Case:
    def __init__(self, name, args):
        self.name = name
        self.folder = ZOO / name
        self.out = args.out / name
        self.bin = args.bin
        self.expect = tomllib.loads((self.folder / "expect.toml").read_text())
        unknown = set(self.expect) - {"iteration", "cause", "call", "variable", "ranks", "missed"}
        if unknown or not {"iteration", "cause"} <= set(self.expect):
            raise Failed(
                f"{name}/expect.toml must say `iteration` and `cause`, and can say `call`, `variable`, `ranks` and"
                " `missed`; nothing else"
            )
        self.ranks, self.missed = self.expect.get("ranks", 1), self.expect.get("missed")
        if not isinstance(self.ranks, int) or self.ranks < 1:
            raise Failed(f"{name}/expect.toml: `ranks` must be a number of processes")
        if self.missed is not None and not (isinstance(self.missed, str) and self.missed.strip()):
            raise Failed(f"{name}/expect.toml: `missed` must say why")
        if args.ranks is not None and self.ranks == 1:
            raise Failed(f"{name} is a case of one process: --ranks is for those of several")
        self.checked_ranks = args.ranks or self.ranks
        os.makedirs(self.out, exist_ok=True)

    def record(self, script, seed, ranks):
        folder, log = self.out / f"{script}-{seed}", self.out / f"{script}-{seed}.txt"
        command = [self.bin / "traincheck", "collect", "-o", folder, "--", sys.executable, *launcher(ranks)]
        command = [str(part) for part in command + [self.folder / f"{script}.py", "--seed", seed]]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        # One rank in some hundred aborts as it ends, when it has done everything. Such a job is run once more, and it is said.
        for attempt in range(min(ranks, 2)):
            with open(log, "w") as out:
                code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment).returncode
            if code == 0 and folder.is_dir():
                return folder
            if attempt == 0 and ranks > 1:
                print(f"  {self.name}: {script}.py ended with exit code {code}, once more: {last_line(log)}", flush=True)
                shutil.rmtree(folder, ignore_errors=True)
        raise Failed(f"{script}.py ended with exit code {code}; see {log}")

    def alarms(self, folder, invariants):
        code, said, alarms = check(self.bin, folder, invariants, self.out / f"{folder.name}.json")
        if code not in (0, 1):
            raise Failed(f"check of {folder.name} came to no verdict: {said['why_no_verdict']}")
        return alarms

    def judge(self):
        """What is wrong, in words (nothing: all is well), and the first finding."""
        references = [self.record("clean", seed, self.ranks) for seed in (1, 2)]
        invariants = self.out / "invariants.json"
        infer(self.bin, references, invariants)
        alarms = self.alarms(self.record("clean", 3, self.checked_ranks), invariants)
        wrong = [f"false alarm on clean.py: {alarms[0]['cause']}, {alarms[0]['title']}"] if alarms else []
        alarms = self.alarms(self.record("bug", 4, self.checked_ranks), invariants)
        differences = list(self.differences(alarms[0])) if alarms else ["missed"]
        if self.missed is None:
            wrong += differences
        elif not differences:
            wrong.append("it is found: take `missed` out of expect.toml")
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
    """The cells of a case in the table, and what became of it: passed, failed or missed."""
    begun = time.monotonic()
    missed = None
    try:
        case = Case(name, args)
        wrong, finding = case.judge()
        missed = case.missed
    except Failed as error:
        wrong, finding = [str(error)], None
    found = str(finding["first"]["iteration"]) if finding else "-"
    top = f"{finding['cause']}: {finding['title']}" if finding else "-"
    if wrong:
        result, verdict, said = "failed", "WRONG: " + "; ".join(wrong), "; ".join(wrong)
    elif missed is not None:
        result, verdict, said = "missed", "missed, as known", f"missed, as known: {missed}"
    else:
        result, verdict, said = "passed", "caught", "as it should be"
    print(f"  {name}: {said}", file=sys.stderr, flush=True)
    seconds = f"{time.monotonic() - begun:.0f}"
    return [name, verdict, found, seconds, top], result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck and libtraincheck.so")
    parser.add_argument("--out", type=pathlib.Path, help="folder for runs and reports; a temporary one without it")
    parser.add_argument("--jobs", type=int, default=1, help="cases at the same time (1)")
    parser.add_argument("--ranks", type=int, help="how many ranks the runs have that are checked; the references keep theirs")
    parser.add_argument("--every", type=int, default=1, help="of the cases of several ranks, one in so many (1)")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a folder of tests/zoo; all")
    args = parser.parse_args()
    names = args.cases or sorted(path.parent.name for path in ZOO.glob("*/expect.toml"))
    for name in names:
        if not (ZOO / name / "expect.toml").is_file():
            parser.error(f"no case {name} in {ZOO}")
    of_ranks = [name for name in names if "ranks" in tomllib.loads((ZOO / name / "expect.toml").read_text())]
    left_out = set(of_ranks) - set(of_ranks[:: args.every])
    names = [name for name in names if name not in left_out]
    with tempfile.TemporaryDirectory(prefix="traincheck-zoo-") as scratch:
        args.out = (args.out or pathlib.Path(scratch)).resolve()
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            judged = list(pool.map(lambda name: row(name, args), names))
    print_table([["case", "verdict", "iteration", "seconds", "finding"]] + [cells for cells, _ in judged])
    results = [result for _, result in judged]
    missed = [name for name, result in zip(names, results) if result == "missed"]
    if missed:
        print(f"\nknown to be missed: {', '.join(missed)}")
    failed = results.count("failed")
    known = f", {len(missed)} known to be missed" if missed else ""
    print(f"\n{results.count('passed')} passed, {failed} failed{known}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
