"""Runs the programs of tests/corpus under the agent and keeps what is recorded.

A program is a package's own training loop, called by a short driver (tests/corpus/drivers) with options, or a job of
several ranks written out in plain PyTorch (drivers/jobs), which ranks.py starts; programs.toml there says which. All its
configurations are correct. A run is in OUT/PROGRAM/CONFIGURATION:

    run/         what was recorded
    output.txt   what the program printed
    done.json    its configuration and arguments, exit code and seconds, written last: the run is complete

A run that is complete is left as it is; one that is not, since it failed or was interrupted, is made anew. Prints a
table; exits with 1 if a run failed.

With `--check` nothing is recorded: for each program every configuration is checked against what is learned from its
others, and each alarm is printed. Then it exits with 1 if there is one.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

from tool import Failed, check, infer, last_line, launcher, print_table, spread

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "corpus"
# The interpreter of all environments.
PYTHON = "3.11"
# A training that takes longer hangs.
TIME_LIMIT = 300
KEYS = {"packages", "group", "driver", "ranks", "arguments", "configurations"}
# No program of the corpus needs a network; what looks for one by itself finds none, and does not wait for it.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "YOLO_OFFLINE": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "WANDB_MODE": "disabled",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DDE_BACKEND": "pytorch",
    "MPLBACKEND": "Agg",
    "TOKENIZERS_PARALLELISM": "false",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
}


class Ended(Failed):
    """A training ended with an exit code that says that it failed."""

    def __init__(self, code, log):
        super().__init__(f"the training ended with exit code {code}; see {log}")
        self.code, self.log = code, log


class Program:
    def __init__(self, name, table):
        if unknown := set(table) - KEYS:
            raise Failed(f"programs.toml: {name}: no such key: {', '.join(sorted(unknown))}")
        self.name = name
        self.packages = table["packages"]
        self.requirements = CORPUS / f"requirements-{table['group']}.txt"
        self.driver = CORPUS / "drivers" / f"{table['driver']}.py"
        self.ranks = table.get("ranks", 1)
        self.arguments = table.get("arguments", [])
        configurations = enumerate(table["configurations"].items(), start=1)
        # Each has a seed of its own.
        self.configurations = [Configuration(self, title, seed, found) for seed, (title, found) in configurations]

    def named(self, pattern):
        """The configurations whose title has it; all of them where there is none."""
        return [one for one in self.configurations if pattern is None or pattern.search(one.title)]


class Configuration:
    """A way to run a program. `found` is a list of arguments, or a table of `arguments`, those of a run that comes
    `first`, in the same folder, to make the checkpoint that is resumed from, and how many `ranks` it has."""

    def __init__(self, program, title, seed, found):
        table = found if isinstance(found, dict) else {"arguments": found}
        if unknown := set(table) - {"first", "arguments", "ranks"}:
            raise Failed(f"programs.toml: {program.name}, {title}: no such key: {', '.join(sorted(unknown))}")
        self.program = program
        self.title = title
        self.path = pathlib.Path(program.name, title.replace(" ", "-"))
        common = [*program.arguments, "--seed", str(seed)]
        self.arguments = [*common, *table["arguments"]]
        self.first = [*common, *table["first"]] if "first" in table else None
        self.ranks = table.get("ranks", program.ranks)
        if not isinstance(self.ranks, int) or self.ranks < 1:
            raise Failed(f"programs.toml: {program.name}, {title}: `ranks` must be a number of processes")

    def record(self, args, python):
        """Trains under the agent."""
        try:
            self.train(args, python)
        except Ended as error:
            if self.ranks == 1:
                raise
            # One rank in some hundred aborts as it ends, when it has done everything. Such a job is run once more, and it
            # is said.
            said = f"ended with exit code {error.code}, once more: {last_line(error.log)}"
            print(f"  {self.program.name}, {self.title}: {said}", file=sys.stderr, flush=True)
            self.train(args, python)

    def train(self, args, python):
        folder, work = args.out / self.path, args.out / self.path / "work"
        shutil.rmtree(folder, ignore_errors=True)
        work.mkdir(parents=True)
        begun = time.monotonic()
        driver = [python, *launcher(self.ranks), self.program.driver]
        if self.first is not None:
            self.run(args, folder / "first.txt", [*driver, *self.first])
        collect = [args.bin / "traincheck", "collect", "-o", folder / "run", "--"]
        self.run(args, folder / "output.txt", [*collect, *driver, *self.arguments])
        if not (folder / "run").is_dir():
            raise Failed(f"nothing was recorded; see {folder}/output.txt")
        shutil.rmtree(work)
        done = {"configuration": self.title, "arguments": self.arguments, "exit_code": 0}
        done["seconds"] = round(time.monotonic() - begun, 1)
        # Complete under its name, or not there.
        (folder / "done.part").write_text(json.dumps(done, indent=2) + "\n")
        (folder / "done.part").rename(folder / "done.json")

    def run(self, args, log, command):
        # What packages keep in the user's home stays out of it.
        home = args.out / ".home"
        home.mkdir(exist_ok=True)
        environment = os.environ | ENVIRONMENT | {"HOME": str(home)}
        with open(log, "w") as out:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=log.parent / "work",
                start_new_session=True,
            )
            try:
                code = process.wait(TIME_LIMIT)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise Failed(f"it took more than {TIME_LIMIT} s; see {log}") from error
                raise
        if code != 0:
            raise Ended(code, log)

    def done(self, args):
        """What its marker says; none where it is not complete."""
        marker = args.out / self.path / "done.json"
        return json.loads(marker.read_text()) if marker.is_file() else None


def programs(names):
    """Those of programs.toml, or those of these names."""
    table = tomllib.loads((CORPUS / "programs.toml").read_text())
    if missing := [name for name in names or [] if name not in table]:
        raise Failed(f"no program {', '.join(missing)} in {CORPUS}/programs.toml")
    return [Program(name, table[name]) for name in names or table]


def environment_of(requirements):
    """The python of the environment with these requirements, which is made if it is not there."""
    shell = f'source "{ROOT}/scripts/lib.sh"; venv_with {PYTHON} "{requirements}"'
    made = subprocess.run(["bash", "-c", shell], stdout=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise Failed(f"the environment of {requirements.name} could not be made")
    return made.stdout.strip()


def record_all(args, wanted):
    """Records what is not complete; the titles of what failed, by program."""
    failed = {program.name: [] for program in wanted}
    chosen = [one for program in wanted for one in spread(program.named(args.matching), args.most)]
    left = [one for one in chosen if one.done(args) is None]
    pythons = {}
    for requirements in dict.fromkeys(one.program.requirements for one in left):
        try:
            pythons[requirements] = environment_of(requirements)
        except Failed as error:
            print(f"  {error}", file=sys.stderr, flush=True)

    def record(one):
        begun = time.monotonic()
        try:
            if one.program.requirements not in pythons:
                raise Failed("there is no environment for it")
            one.record(args, pythons[one.program.requirements])
            said = f"{time.monotonic() - begun:.0f} s"
        except (Failed, OSError) as error:
            failed[one.program.name].append(one.title)
            said = f"FAILED: {error}"
        print(f"  {one.program.name}, {one.title}: {said}", file=sys.stderr, flush=True)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(record, left))
    return failed


def iterations(args, run):
    """How many iterations a run has, those of all its processes together."""
    command = [args.bin / "traincheck", "inspect", run, "--format", "json"]
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if said.returncode != 0:
        raise Failed(f"inspect of {run} ended with exit code {said.returncode}: {said.stderr.strip()}")
    return sum(process["iterations"] for process in json.loads(said.stdout)["processes"])


def sum_up(args, wanted, failed):
    rows = [["program", "configurations", "done", "failed", "seconds", "iterations"]]
    for program in wanted:
        done = [one for one in program.configurations if one.done(args) is not None]
        seconds = sum(one.done(args)["seconds"] for one in done)
        counts = [iterations(args, args.out / one.path / "run") for one in done]
        of_each = f"{min(counts)} to {max(counts)}" if counts else "-"
        bad = failed[program.name]
        counted = [str(len(part)) for part in (program.configurations, done, bad)]
        rows.append([program.name, *counted, f"{seconds:.0f}", of_each])
    print_table(rows)


def check_all(args, wanted):
    """Checks each configuration against its program's others; how many alarms there are."""
    alarms = 0
    with tempfile.TemporaryDirectory(prefix="traincheck-corpus-") as scratch:
        learned, report = pathlib.Path(scratch, "invariants.json"), pathlib.Path(scratch, "report.json")
        for program in wanted:
            done = [one for one in program.configurations if one.done(args) is not None]
            for one in done:
                others = [args.out / other.path / "run" for other in done if other is not one]
                if not others:
                    continue
                infer(args.bin, others, learned)
                code, said, found = check(args.bin, args.out / one.path / "run", learned, report)
                verdict = {0: "clean", 1: "alarms"}.get(code, f"no verdict: {said.get('why_no_verdict')}")
                print(f"{program.name}, {one.title}: {verdict}", flush=True)
                for finding in found:
                    print(f"  {finding['title']} ({finding['cause']}), iteration {finding['first']['iteration']}")
                    for invariant in finding["invariants"]:
                        if invariant["level"] == "alarm":
                            print(f"    {invariant['id']}: {invariant['text']}")
                            print(f"      failed {invariant['failed']}, held {invariant['held']}")
                alarms += len(found)
    return alarms


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of traincheck and libtraincheck.so")
    parser.add_argument("--out", type=pathlib.Path, default=cache / "traincheck" / "corpus", help="folder for the runs")
    parser.add_argument("--programs", type=lambda text: text.split(","), metavar="A,B", help="only these")
    parser.add_argument("--most", type=int, metavar="N", help="of each program record N configurations; all without it")
    parser.add_argument("--matching", type=re.compile, metavar="REGEX", help="only configurations whose title has it")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time (1)")
    parser.add_argument("--list", action="store_true", help="only say what programs there are")
    parser.add_argument("--check", action="store_true", help="check the runs that there are against one another")
    args = parser.parse_args()
    args.out = args.out.resolve()
    wanted = programs(args.programs)
    if args.list:
        rows = [["program", "packages", "ranks", "configurations"]]
        rows += [[p.name, " ".join(p.packages), str(p.ranks), str(len(p.configurations))] for p in wanted]
        print_table(rows)
        return 0
    args.bin = args.bin.resolve()
    if args.check:
        return 1 if check_all(args, wanted) else 0
    args.out.mkdir(parents=True, exist_ok=True)
    failed = record_all(args, wanted)
    sum_up(args, wanted, failed)
    return 1 if any(failed.values()) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"corpus: {error}")
